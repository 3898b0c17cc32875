"""A caption in the comment tags of one audio file: ID3, Vorbis comments or MP4 atoms.

Conventions: a comment of ours starts with `AI-generated: `. Writing again replaces only comments of ours.
"""

from pathlib import Path
from typing import Any

COMMENT_PREFIX = "AI-generated: "


def tag_file(path: str | Path, caption: str, *, model_id: str) -> None:
    """Write a caption into an audio file's comment tags and keep all other comments.

    Args:
        path: The file to change, in place.
        caption: The sentence.
        model_id: The checkpoint that wrote it.

    Raises:
        ValueError: mutagen does not support the format, or cannot read or write the file.
    """
    import mutagen  # optional dependency
    import mutagen.mp4

    try:
        audio: Any = mutagen.File(path)
    except mutagen.MutagenError as error:
        raise ValueError(f"tags could not be read: {error}") from error
    if audio is None:
        raise ValueError("mutagen supports no tags in this format: use sidecars")
    if audio.tags is None:
        audio.add_tags()
    if isinstance(audio, mutagen.mp4.MP4):
        _write_mp4(audio.tags, caption, model_id)
    elif hasattr(audio.tags, "add") and hasattr(audio.tags, "delall"):
        _write_id3(audio.tags, caption, model_id)
    else:
        _write_vorbis(audio.tags, caption, model_id)
    try:
        audio.save()
    except mutagen.MutagenError as error:
        raise ValueError(f"tags could not be written: {error}") from error


def _write_mp4(tags: Any, caption: str, model_id: str) -> None:
    """Write the comment atom where it is empty or ours, and two freeform atoms."""
    import mutagen.mp4

    mp4: Any = mutagen.mp4
    if not tags.get("\xa9cmt") or str(tags["\xa9cmt"][0]).startswith(COMMENT_PREFIX):
        tags["\xa9cmt"] = [COMMENT_PREFIX + caption]
    tags["----:com.muscaps:CAPTION"] = [mp4.MP4FreeForm(caption.encode())]
    tags["----:com.muscaps:MODEL"] = [mp4.MP4FreeForm(model_id.encode())]


def _write_id3(tags: Any, caption: str, model_id: str) -> None:
    """Write a COMM frame and two TXXX frames (MP3, WAV, AIFF)."""
    import mutagen.id3

    id3: Any = mutagen.id3
    tags.delall("COMM:muscaps:eng")
    tags.add(id3.COMM(encoding=3, lang="eng", desc="muscaps", text=[COMMENT_PREFIX + caption]))
    tags.add(id3.TXXX(encoding=3, desc="MUSCAPS_CAPTION", text=[caption]))
    tags.add(id3.TXXX(encoding=3, desc="MUSCAPS_MODEL", text=[model_id]))


def _write_vorbis(tags: Any, caption: str, model_id: str) -> None:
    """Write a COMMENT after the existing ones, MUSCAPS_CAPTION and MUSCAPS_MODEL (FLAC, Ogg, Opus)."""
    others = [comment for comment in tags.get("COMMENT", []) if not comment.startswith(COMMENT_PREFIX)]
    tags["COMMENT"] = [*others, COMMENT_PREFIX + caption]
    tags["MUSCAPS_CAPTION"] = [caption]
    tags["MUSCAPS_MODEL"] = [model_id]
