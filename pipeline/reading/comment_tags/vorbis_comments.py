"""Vorbis comments as bytes; all other comments, the vendor and whatever follows the comments stay as they are."""

from pipeline.reading.comment_tags.comment import CAPTION_KEY, MODEL_KEY, Comment, is_own_text

EMPTY = len(b"muscaps").to_bytes(4, "little") + b"muscaps" + bytes(4)
"""Comments of a file that has none."""


def edited_comments(data: bytes, comment: Comment) -> bytes:
    """Return the data of a comment header with our comments replaced, after all others.

    Raises:
        ValueError: The header is damaged.
    """
    start = 4 + _number(data, 0)
    vendor = data[:start]
    others = []
    count = _number(data, start)
    start += 4
    for _ in range(count):
        end = start + 4 + _number(data, start)
        if end > len(data):
            raise ValueError("a comment ends after the end of its header")
        if not _is_own(data[start + 4 : end]):
            others.append(data[start:end])
        start = end
    fields = [("COMMENT", comment.text), *comment.fields]
    for field, texts in comment.values.items():
        present = [entry for entry in others if _name(entry) == field.upper().encode()]
        if comment.writes([entry[4:].partition(b"=")[2].decode("utf-8", "replace") for entry in present]):
            others = [entry for entry in others if entry not in present]
            fields += [(field.upper(), text) for text in texts]
    own = [_with_length(f"{name}={value}".encode("utf-8", "replace")) for name, value in fields]
    total = (len(others) + len(own)).to_bytes(4, "little")
    return vendor + total + b"".join([*others, *own]) + data[start:]


def _name(entry: bytes) -> bytes:
    """Return the name of a comment with its length in front."""
    return entry[4:].partition(b"=")[0].upper()


def _is_own(entry: bytes) -> bool:
    name, _, value = entry.partition(b"=")
    name = name.upper()
    if name == b"COMMENT":
        return is_own_text(value)
    return name in (CAPTION_KEY.encode(), MODEL_KEY.encode())


def _number(data: bytes, start: int) -> int:
    if start + 4 > len(data):
        raise ValueError("the comment header is too short")
    return int.from_bytes(data[start : start + 4], "little")


def _with_length(data: bytes) -> bytes:
    return len(data).to_bytes(4, "little") + data
