"""ASF (WMA): attributes in the Extended Content Description, and the Description where it is empty or ours.

All other header objects and attributes are copied byte for byte.
"""

import uuid
from collections.abc import Callable
from typing import BinaryIO

from pipeline.reading.comment_tags.comment import CAPTION_KEY, MODEL_KEY, Comment, FieldName, is_own_text
from pipeline.reading.comment_tags.pieces import Piece, Span, file_size, read_span

_HEADER = uuid.UUID("75b22630-668e-11cf-a6d9-00aa0062ce6c").bytes_le
_FILE_PROPERTIES = uuid.UUID("8cabdca1-a947-11cf-8ee4-00c00c205365").bytes_le
_CONTENT = uuid.UUID("75b22633-668e-11cf-a6d9-00aa0062ce6c").bytes_le
_EXTENDED = uuid.UUID("d2d0a440-e307-11d2-97f0-00a0c95ea850").bytes_le
_OBJECT_BYTES = 24
_HEADER_BYTES = 30
_MAX_ATTRIBUTE = 65_535
_FIELDS: dict[FieldName, str] = {"genre": "WM/Genre", "mood": "WM/Mood"}


def edit_asf(source: BinaryIO, comment: Comment) -> list[Piece]:
    """Edit the attributes of an ASF file."""
    size = file_size(source)
    header = read_span(source, 0, _HEADER_BYTES)
    length = int.from_bytes(header[16:24], "little")
    if header[:16] != _HEADER or length > size:
        raise ValueError("the file has no ASF header")
    objects = _objects(read_span(source, _HEADER_BYTES, length - _HEADER_BYTES))
    objects = _replaced(objects, _CONTENT, lambda data: _edited_content(data, comment), bytes(10))
    objects = _replaced(objects, _EXTENDED, lambda data: _edited_attributes(data, comment), bytes(2))
    new_length = _HEADER_BYTES + sum(_OBJECT_BYTES + len(data) for _, data in objects)
    new_size = size - length + new_length
    objects = _replaced(objects, _FILE_PROPERTIES, lambda data: data[:16] + new_size.to_bytes(8, "little") + data[24:])
    body = b"".join(name + (_OBJECT_BYTES + len(data)).to_bytes(8, "little") + data for name, data in objects)
    start = _HEADER + new_length.to_bytes(8, "little") + len(objects).to_bytes(4, "little") + header[28:30]
    return [start + body, Span(length, size)]


def _objects(data: bytes) -> list[tuple[bytes, bytes]]:
    """Return identifier and data of each header object."""
    objects, start = [], 0
    while start < len(data):
        length = int.from_bytes(data[start + 16 : start + 24], "little")
        if length < _OBJECT_BYTES or start + length > len(data):
            raise ValueError("the ASF header is damaged")
        objects.append((data[start : start + 16], data[start + _OBJECT_BYTES : start + length]))
        start += length
    return objects


def _replaced(
    objects: list[tuple[bytes, bytes]], name: bytes, edit: Callable[[bytes], bytes], empty: bytes | None = None
) -> list[tuple[bytes, bytes]]:
    """Edit the first object of a name; add one that is edited from `empty` where there is none."""
    for index, (own, data) in enumerate(objects):
        if own == name:
            return [*objects[:index], (own, edit(data)), *objects[index + 1 :]]
    return objects if empty is None else [*objects, (name, edit(empty))]


def _edited_content(data: bytes, comment: Comment) -> bytes:
    """Set the description, the fourth of five texts, where it is empty or ours."""
    lengths = [int.from_bytes(data[at : at + 2], "little") for at in range(0, 10, 2)]
    texts, start = [], 10
    for length in lengths:
        texts.append(data[start : start + length])
        start += length
    current = texts[3].decode("utf-16-le", "replace").rstrip("\0")
    asked_for = "description" in comment.values and comment.overwrite
    if current and not is_own_text(current) and not asked_for:
        return data
    texts[3] = _text(comment.text)
    return b"".join(len(text).to_bytes(2, "little") for text in texts) + b"".join(texts) + data[start:]


def _edited_attributes(data: bytes, comment: Comment) -> bytes:
    """Replace our attributes, after all others. The description is in the content description."""
    count, start = int.from_bytes(data[:2], "little"), 2
    kept: list[tuple[str, bytes, str]] = []
    for _ in range(count):
        name_end = start + 2 + int.from_bytes(data[start : start + 2], "little")
        end = name_end + 4 + int.from_bytes(data[name_end + 2 : name_end + 4], "little")
        if end > len(data):
            raise ValueError("an ASF attribute ends after its object")
        name = data[start + 2 : name_end].decode("utf-16-le", "replace").rstrip("\0")
        if name not in (CAPTION_KEY, MODEL_KEY):
            value = data[name_end + 4 : end].decode("utf-16-le", "replace").rstrip("\0")
            kept.append((name, data[start:end], value))
        start = end
    own = [_attribute(name, value) for name, value in comment.fields]
    for field, title in _FIELDS.items():
        if field in comment.values and comment.writes([value for name, _, value in kept if name == title]):
            kept = [entry for entry in kept if entry[0] != title]
            own += [_attribute(title, text) for text in comment.values[field]]
    attributes = [*(entry[1] for entry in kept), *own]
    return len(attributes).to_bytes(2, "little") + b"".join(attributes) + data[start:]


def _attribute(name: str, value: str) -> bytes:
    named, data = _text(name), _text(value)
    return len(named).to_bytes(2, "little") + named + bytes(2) + len(data).to_bytes(2, "little") + data


def _text(text: str) -> bytes:
    data = (text + "\0").encode("utf-16-le", "replace")
    if len(data) > _MAX_ATTRIBUTE:
        raise ValueError("the caption is too long for an ASF attribute")
    return data
