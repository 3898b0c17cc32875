"""Recognise an audio file's format and write a tagged version of it."""

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from pipeline.reading.comment_tags.ape import edit_ape
from pipeline.reading.comment_tags.asf import edit_asf
from pipeline.reading.comment_tags.chunk_files import edit_aiff, edit_dsdiff, edit_wav
from pipeline.reading.comment_tags.comment import Comment
from pipeline.reading.comment_tags.flac import edit_flac
from pipeline.reading.comment_tags.id3_files import edit_dsf, edit_leading_tag
from pipeline.reading.comment_tags.mp4 import edit_mp4
from pipeline.reading.comment_tags.ogg import edit_ogg
from pipeline.reading.comment_tags.pieces import Piece, copy_pieces

_EDITORS: dict[str, Callable[[BinaryIO, Comment], list[Piece]]] = {
    "MP3": edit_leading_tag,
    "TrueAudio": edit_leading_tag,
    "DSF": edit_dsf,
    "WAVE": edit_wav,
    "AIFF": edit_aiff,
    "DSDIFF": edit_dsdiff,
    "FLAC": edit_flac,
    "MP4": edit_mp4,
    "ASF": edit_asf,
    "APEv2File": edit_ape,
    "MonkeysAudio": edit_ape,
    "Musepack": edit_ape,
    "OptimFROG": edit_ape,
    "TAK": edit_ape,
    "WavPack": edit_ape,
}
"""Editors by mutagen's name of the format."""
_OGG = ("OggVorbis", "OggOpus", "OggFLAC", "OggSpeex", "OggTheora")


def write_tagged(source: str | Path, target: str | Path, comment: Comment) -> None:
    """Write a copy of an audio file that has a caption in its comment tags.

    Args:
        source: The audio file; it is only read.
        target: Another path; what is there is replaced.
        comment: The caption, and further fields.

    Raises:
        ValueError: The format has no tags that can be edited safely, or the file is damaged.
        OSError: A file cannot be read or written.
    """
    import mutagen  # optional dependency

    try:
        kind = _kind(Path(source))
        if kind in _OGG:
            shutil.copyfile(source, target)
            edit_ogg(Path(target), comment)
            return
        with open(source, "rb") as file, open(target, "wb") as sink:
            copy_pieces(file, _EDITORS[kind](file, comment), sink)
    except (mutagen.MutagenError, EOFError, IndexError) as error:
        raise ValueError(f"tags could not be read: {error or type(error).__name__}") from error


def tag_file(path: str | Path, comment: Comment) -> None:
    """Replace an audio file by a copy with a caption in its comment tags.

    Args:
        path: The file; nothing is written where the comment is there already.
        comment: The caption, and further fields.

    Raises:
        ValueError: As for `write_tagged`.
        OSError: As for `write_tagged`.
    """
    path = Path(path)
    handle, name = tempfile.mkstemp(prefix=".tag-", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        write_tagged(path, temporary, comment)
        shutil.copymode(path, temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _kind(path: Path) -> str:
    """Return mutagen's name of a file's format.

    Raises:
        ValueError: There is no editor for it.
        mutagen.MutagenError: The file cannot be read.
    """
    import mutagen  # optional dependency

    with path.open("rb") as file:
        start = file.read(4)
    if start in (b"RF64", b"BW64", b"RIFX"):
        raise ValueError(f"{start.decode()} files are not edited: use sidecars")
    audio = mutagen.File(path)
    kind = type(audio).__name__
    if audio is None or kind not in (*_EDITORS, *_OGG):
        raise ValueError("no tags can be written in this format: use sidecars")
    return kind
