"""A caption in the comment tags of one audio file: ID3, Vorbis comments, MP4 atoms."""

from pathlib import Path
from typing import Any

_TAG_PREFIX = "AI-generated: "


def tag_file(path: str | Path, caption: str, *, model_id: str) -> None:
    """Write a caption into an audio file's comment, marked as AI-generated; keep everyone else's comments.

    ID3 (MP3, WAV, AIFF): a COMM frame and two TXXX frames called muscaps. Vorbis comments (FLAC, Ogg, Opus):
    a COMMENT beside those there are, MUSCAPS_CAPTION and MUSCAPS_MODEL. MP4: the comment atom where it is
    empty or ours, and two freeform atoms. Writing again replaces only what was written before.

    Args:
        path: The file to change, in place.
        caption: The sentence.
        model_id: The checkpoint that wrote it.

    Raises:
        ValueError: mutagen does not know the format, or cannot read the file.
    """
    import mutagen
    import mutagen.id3
    import mutagen.mp4

    id3: Any = mutagen.id3
    mp4: Any = mutagen.mp4
    try:
        audio = mutagen.File(path)
    except mutagen.MutagenError as error:
        raise ValueError(f"tags could not be read: {error}") from error
    if audio is None:
        raise ValueError("this format holds no tags that mutagen knows: use sidecars")
    if audio.tags is None:
        audio.add_tags()
    text = _TAG_PREFIX + caption
    tags = audio.tags
    if isinstance(audio, mp4.MP4):
        if not tags.get("\xa9cmt") or str(tags["\xa9cmt"][0]).startswith(_TAG_PREFIX):
            tags["\xa9cmt"] = [text]
        tags["----:com.muscaps:CAPTION"] = [mp4.MP4FreeForm(caption.encode())]
        tags["----:com.muscaps:MODEL"] = [mp4.MP4FreeForm(model_id.encode())]
    elif hasattr(tags, "add") and hasattr(tags, "delall"):  # ID3
        tags.delall("COMM:muscaps:eng")
        tags.add(id3.COMM(encoding=3, lang="eng", desc="muscaps", text=[text]))
        tags.add(id3.TXXX(encoding=3, desc="MUSCAPS_CAPTION", text=[caption]))
        tags.add(id3.TXXX(encoding=3, desc="MUSCAPS_MODEL", text=[model_id]))
    else:
        others = [c for c in tags.get("COMMENT", []) if not c.startswith(_TAG_PREFIX)]
        tags["COMMENT"] = [*others, text]
        tags["MUSCAPS_CAPTION"] = [caption]
        tags["MUSCAPS_MODEL"] = [model_id]
    try:
        audio.save()
    except mutagen.MutagenError as error:
        raise ValueError(f"tags could not be written: {error}") from error
