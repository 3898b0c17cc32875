"""APEv2 tags at the end of a file: Monkey's Audio, Musepack, WavPack, OptimFROG and TAK.

Other items are copied byte for byte. Lyrics3 and ID3v1 tags after the APE tag stay where they are.
"""

from typing import BinaryIO

from pipeline.reading.comment_tags.comment import CAPTION_KEY, MODEL_KEY, Comment, is_own_text
from pipeline.reading.comment_tags.pieces import Piece, Span, file_size, read_span

_MAGIC = b"APETAGEX"
_HEADER_BYTES = 32
_VERSION = 2000
_HAS_HEADER, _IS_HEADER = 1 << 31, 1 << 29


def edit_ape(source: BinaryIO, comment: Comment) -> list[Piece]:
    """Edit the APEv2 tag at the end of a file, or add one."""
    size = file_size(source)
    end = _end_of_ape(source, size)
    footer = read_span(source, end - _HEADER_BYTES, _HEADER_BYTES) if end >= _HEADER_BYTES else b""
    if footer[:8] != _MAGIC:
        return [Span(0, end), _tag([], comment, _VERSION), Span(end, size)]
    version, length, count, flags = (int.from_bytes(footer[at : at + 4], "little") for at in (8, 12, 16, 20))
    first = end - length
    items = _items(read_span(source, first, length - _HEADER_BYTES), count)
    start = first - _HEADER_BYTES if flags & _HAS_HEADER else first
    if start < 0:
        raise ValueError("the APE tag is longer than the file")
    return [Span(0, start), _tag(items, comment, max(version, _VERSION)), Span(end, size)]


def _end_of_ape(source: BinaryIO, size: int) -> int:
    """Return the offset at which an APE tag ends: before ID3v1 and Lyrics3v2."""
    end = size
    if end >= 128 and read_span(source, end - 128, 3) == b"TAG":
        end -= 128
    if end >= 15 and read_span(source, end - 9, 9) == b"LYRICS200":
        digits = read_span(source, end - 15, 6)
        if digits.isdigit() and int(digits) + 15 <= end:
            end -= int(digits) + 15
    return end


def _items(data: bytes, count: int) -> list[tuple[bytes, bytes]]:
    """Return name and whole bytes of each item."""
    items, start = [], 0
    for _ in range(count):
        name_end = data.find(b"\0", start + 8)
        end = name_end + 1 + int.from_bytes(data[start : start + 4], "little")
        if name_end < 0 or end > len(data):
            raise ValueError("the APE tag is damaged")
        items.append((data[start + 8 : name_end], data[start:end]))
        start = end
    return items


def _tag(items: list[tuple[bytes, bytes]], comment: Comment, version: int) -> bytes:
    names = {CAPTION_KEY.encode(), MODEL_KEY.encode()}
    own = [_item(name, value) for name, value in comment.fields]
    for field, texts in comment.values.items():
        present = [item[8 + len(name) + 1 :] for name, item in items if name.upper() == field.upper().encode()]
        if comment.writes([value.decode("utf-8", "replace") for value in present]):
            names.add(field.upper().encode())
            own.append(_item(field.capitalize(), "\0".join(texts)))
    kept = [item for name, item in items if name.upper() not in names and not _is_own_comment(name, item)]
    if not any(name.upper() == b"COMMENT" and not _is_own_comment(name, item) for name, item in items):
        own.insert(0, _item("Comment", comment.text))
    data = b"".join([*kept, *own])
    numbers = [version, len(data) + _HEADER_BYTES, len(kept) + len(own)]
    start = _MAGIC + b"".join(number.to_bytes(4, "little") for number in numbers)
    header, footer = ((_HAS_HEADER | flag).to_bytes(4, "little") + bytes(8) for flag in (_IS_HEADER, 0))
    return start + header + data + start + footer


def _is_own_comment(name: bytes, item: bytes) -> bool:
    value = item[8 + len(name) + 1 :]
    return name.upper() == b"COMMENT" and is_own_text(value)


def _item(name: str, value: str) -> bytes:
    data = value.encode("utf-8", "replace")
    return len(data).to_bytes(4, "little") + bytes(4) + name.encode() + b"\0" + data
