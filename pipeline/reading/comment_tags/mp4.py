"""MP4 and M4A: our items in `moov.udta.meta.ilst`; all other items and atoms are copied byte for byte.

The comment item `©cmt` is written where it is empty or ours. Where `moov` changes its length, chunk offsets behind it
are moved.
"""

from collections.abc import Callable
from typing import BinaryIO

from pipeline.reading.comment_tags.comment import Comment, FieldName, is_own_text
from pipeline.reading.comment_tags.pieces import Piece, Span, file_size, read_span

FREE_BYTES = 1024
"""Room for later edits in a `meta` atom that had to grow."""
_MEAN = b"com.muscaps"
_ITUNES = b"com.apple.iTunes"
_NAMES = (b"CAPTION", b"MODEL")
_COMMENT_NAME = b"\xa9cmt"
_ABSOLUTE = (b"moof", b"mfra")
"""Top-level atoms that may hold offsets in the file."""
_CONTAINERS = (b"trak", b"mdia", b"minf", b"stbl")
_OFFSETS = {b"stco": 4, b"co64": 8}
"""Atoms of chunk offsets, and bytes of one offset."""

Atom = tuple[bytes, bytes]
"""Name and data."""


def edit_mp4(source: BinaryIO, comment: Comment) -> list[Piece]:
    """Edit the items of an MP4 file."""
    size = file_size(source)
    atoms = _top_level(source, size)
    moov = next((span for name, span in atoms if name == b"moov"), None)
    if moov is None:
        raise ValueError("the file has no moov atom: use sidecars")
    old = read_span(source, moov.start, moov.end - moov.start)
    is_long = int.from_bytes(old[:4], "big") == 1
    children, tail = _children(old[16 if is_long else 8 :])
    children = _with_child(children, b"udta", lambda data: _edited_udta(data, comment), b"")
    new = _atom(b"moov", _joined(children) + tail, is_long=is_long)
    growth = len(new) - len(old)
    if growth:
        if any(name in _ABSOLUTE for name, _ in atoms):
            raise ValueError("a fragmented MP4 file without room for a comment: use sidecars")
        new = _atom(b"moov", _joined(_moved(children, moov.start, growth)) + tail, is_long=is_long)
    return [Span(0, moov.start), new, Span(moov.end, size)]


def _top_level(source: BinaryIO, size: int) -> list[tuple[bytes, Span]]:
    """Return name and place of each atom of the file."""
    atoms, start = [], 0
    while start + 8 <= size:
        header = read_span(source, start, 8)
        length = int.from_bytes(header[:4], "big")
        if length == 1:
            length = int.from_bytes(read_span(source, start + 8, 8), "big")
        end = size if length == 0 else start + length
        if end > size or end < start + 8:
            raise ValueError(f"atom {header[4:]!r} ends after the end of the file: use sidecars")
        if length == 0 and header[4:] == b"moov":
            raise ValueError("the moov atom has no length: use sidecars")
        atoms.append((header[4:], Span(start, end)))
        start = end
    return atoms


def _children(data: bytes) -> tuple[list[Atom], bytes]:
    """Return the atoms in the data of a container, and bytes after them that are no atom."""
    atoms, start = [], 0
    while start + 8 <= len(data):
        length = int.from_bytes(data[start : start + 4], "big")
        if length == 0 and not data[start:].strip(b"\0"):
            break
        if length < 8 or start + length > len(data):
            raise ValueError(f"atom {data[start + 4 : start + 8]!r} is damaged: use sidecars")
        atoms.append((data[start + 4 : start + 8], data[start + 8 : start + length]))
        start += length
    return atoms, data[start:]


def _atom(name: bytes, data: bytes, *, is_long: bool = False) -> bytes:
    if is_long:
        return (1).to_bytes(4, "big") + name + (len(data) + 16).to_bytes(8, "big") + data
    return (len(data) + 8).to_bytes(4, "big") + name + data


def _joined(atoms: list[Atom]) -> bytes:
    return b"".join(_atom(name, data) for name, data in atoms)


def _with_child(atoms: list[Atom], name: bytes, edit: Callable[[bytes], bytes], empty: bytes) -> list[Atom]:
    """Edit the first child of a name; add one that is edited from `empty` where there is none."""
    for index, (own, data) in enumerate(atoms):
        if own == name:
            return [*atoms[:index], (name, edit(data)), *atoms[index + 1 :]]
    return [*atoms, (name, edit(empty))]


def _edited_udta(data: bytes, comment: Comment) -> bytes:
    children, tail = _children(data)
    edited = _with_child(children, b"meta", lambda meta: _edited_meta(meta, comment), b"")
    return _joined(edited) + tail


def _edited_meta(data: bytes, comment: Comment) -> bytes:
    """Edit the items; a `free` atom keeps the length, where there is one that is large enough."""
    if not data:
        data = bytes(4) + _atom(b"hdlr", bytes(8) + b"mdirappl" + bytes(9))
    if data[4:8] == b"hdlr":
        raise ValueError("QuickTime metadata is not supported: use sidecars")
    children, tail = _children(data[4:])
    edited = _with_child(children, b"ilst", lambda items: _edited_items(items, comment), b"")
    free = next((index for index, (name, _) in enumerate(edited) if name == b"free"), None)
    growth = len(_joined(edited)) - len(_joined(children))
    if free is not None and len(edited[free][1]) >= growth:
        edited[free] = (b"free", bytes(len(edited[free][1]) - growth))
    elif free is not None:
        edited[free] = (b"free", bytes(FREE_BYTES))
    else:
        edited.append((b"free", bytes(FREE_BYTES)))
    return data[:4] + _joined(edited) + tail


def _edited_items(data: bytes, comment: Comment) -> bytes:
    items, tail = _children(data)
    kept = [item for item in items if not _is_own(*item)]
    if not any(name == _COMMENT_NAME and _item_text(data) for name, data in kept):
        kept = [item for item in kept if item[0] != _COMMENT_NAME]
        kept.append((_COMMENT_NAME, _text_data(comment.text)))
    for name, value in zip(_NAMES, (comment.caption, comment.model_id), strict=True):
        kept.append((b"----", _atom(b"mean", bytes(4) + _MEAN) + _atom(b"name", bytes(4) + name) + _text_data(value)))
    for field, texts in comment.values.items():
        present = [item for item in kept if _is_field(*item, field)]
        if comment.writes([_item_text(data).decode("utf-8", "replace") or "?" for _, data in present]):
            kept = [item for item in kept if item not in present]
            kept.append(_field_item(field, "; ".join(texts)))
    return _joined(kept) + tail


def _is_field(name: bytes, data: bytes, field: FieldName) -> bool:
    if field != "mood":
        return name in ((b"\xa9gen", b"gnre") if field == "genre" else (b"desc",))
    parts = dict(reversed(_children(data)[0])) if name == b"----" else {}
    return parts.get(b"mean", b"")[4:] == _ITUNES and parts.get(b"name", b"")[4:].upper() == b"MOOD"


def _field_item(field: FieldName, text: str) -> Atom:
    if field == "genre":
        return b"\xa9gen", _text_data(text)
    if field == "description":
        return b"desc", _text_data(text)
    return b"----", _atom(b"mean", bytes(4) + _ITUNES) + _atom(b"name", bytes(4) + b"MOOD") + _text_data(text)


def _is_own(name: bytes, data: bytes) -> bool:
    if name == _COMMENT_NAME:
        return is_own_text(_item_text(data))
    if name != b"----":
        return False
    parts = dict(reversed(_children(data)[0]))
    return parts.get(b"mean", b"")[4:] == _MEAN and parts.get(b"name", b"")[4:] in _NAMES


def _item_text(data: bytes) -> bytes:
    return dict(reversed(_children(data)[0])).get(b"data", b"")[8:]


def _text_data(text: str) -> bytes:
    return _atom(b"data", (1).to_bytes(4, "big") + bytes(4) + text.encode("utf-8", "replace"))


def _moved(atoms: list[Atom], threshold: int, growth: int) -> list[Atom]:
    """Add the growth to chunk offsets behind the threshold."""
    moved = []
    for name, data in atoms:
        if name in _CONTAINERS:
            children, tail = _children(data)
            data = _joined(_moved(children, threshold, growth)) + tail
        elif name in _OFFSETS:
            data = _moved_offsets(data, _OFFSETS[name], threshold, growth)
        moved.append((name, data))
    return moved


def _moved_offsets(data: bytes, width: int, threshold: int, growth: int) -> bytes:
    import numpy as np

    count = int.from_bytes(data[4:8], "big")
    end = 8 + count * width
    if end > len(data):
        raise ValueError("a table of chunk offsets is damaged: use sidecars")
    offsets = np.frombuffer(data[8:end], f">u{width}").astype(np.uint64)
    offsets[offsets > threshold] += np.uint64(growth % 2**64)
    if width == 4 and offsets.size and int(offsets.max()) >= 2**32:
        raise ValueError("the file is too large for its chunk offsets: use sidecars")
    return data[:8] + offsets.astype(f">u{width}").tobytes() + data[end:]
