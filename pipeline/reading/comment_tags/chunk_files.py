"""Files made of chunks: WAV, AIFF and DSDIFF. The ID3 chunk is replaced or added at the end of the form.

In WAV, `bext` and `iXML` are edited if that is asked for; a new `bext` is put before the audio, where every program
reads it. All other chunks (`LIST`, `COMM`, ...) and bytes after the form are copied.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO, Literal

from pipeline.reading.comment_tags.broadcast_wave import edited_bext, edited_ixml
from pipeline.reading.comment_tags.comment import Comment
from pipeline.reading.comment_tags.id3 import edited_tag, tag_size
from pipeline.reading.comment_tags.pieces import Piece, Span, file_size, read_span


@dataclass(frozen=True, kw_only=True)
class _Form:
    """How a kind of chunk file is laid out."""

    name: bytes
    size_bytes: int
    byte_order: Literal["little", "big"]
    tag_name: bytes

    @property
    def header_bytes(self) -> int:
        return 4 + self.size_bytes


_WAV = _Form(name=b"RIFF", size_bytes=4, byte_order="little", tag_name=b"id3 ")
_AIFF = _Form(name=b"FORM", size_bytes=4, byte_order="big", tag_name=b"ID3 ")
_DSDIFF = _Form(name=b"FRM8", size_bytes=8, byte_order="big", tag_name=b"ID3 ")


_BEFORE_DATA = (b"bext",)


@dataclass(frozen=True, kw_only=True)
class _Chunk:
    """One chunk of a form."""

    name: bytes
    start: int
    """Offset of its header."""
    size: int
    """Length of its data in bytes."""
    end: int
    """Offset after its data and the byte that makes its length even."""


def edit_wav(source: BinaryIO, comment: Comment) -> list[Piece]:
    """Edit the tag of a WAV file."""
    return _edit(source, comment, _WAV)


def edit_aiff(source: BinaryIO, comment: Comment) -> list[Piece]:
    """Edit the tag of an AIFF or AIFF-C file."""
    return _edit(source, comment, _AIFF)


def edit_dsdiff(source: BinaryIO, comment: Comment) -> list[Piece]:
    """Edit the tag of a DSDIFF file."""
    return _edit(source, comment, _DSDIFF)


def _edit(source: BinaryIO, comment: Comment, form: _Form) -> list[Piece]:
    header = read_span(source, 0, form.header_bytes)
    if header[:4] != form.name:
        raise ValueError(f"the file does not start with {form.name.decode()}: use sidecars")
    size = int.from_bytes(header[4:], form.byte_order)
    end = form.header_bytes + size
    length = file_size(source)
    if end > length:
        raise ValueError("the header gives another length than the file has: use sidecars")
    chunks = list(_chunks(source, form, end))
    new = _new_chunks(source, chunks, comment, form)
    pieces: list[Piece] = []
    position = form.header_bytes
    added_first = [name for name in _BEFORE_DATA if name in new and name not in {chunk.name for chunk in chunks}]
    for chunk in chunks:
        before_data = [new.pop(name) for name in added_first if chunk.name == b"data" and name in new]
        replaced = new.pop(chunk.name, None)
        if before_data or replaced is not None:
            pieces += [Span(position, chunk.start), *before_data]
            position = chunk.start if replaced is None else min(chunk.end, length)
            pieces += [] if replaced is None else [replaced]
    pieces.append(Span(position, max(position, end)))
    if new and end % 2:
        pieces.append(b"\0")  # a last chunk of odd length without the byte that makes it even
    pieces += new.values()
    new_size = sum(len(piece) if isinstance(piece, bytes) else piece.end - piece.start for piece in pieces)
    if new_size >= 1 << (8 * form.size_bytes) - (1 if form.size_bytes == 8 else 0):
        raise ValueError("the file is too large for another chunk: use sidecars")
    after = max(position, end)
    return [form.name + new_size.to_bytes(form.size_bytes, form.byte_order), *pieces, Span(after, length)]


def _new_chunks(source: BinaryIO, chunks: Sequence[_Chunk], comment: Comment, form: _Form) -> dict[bytes, bytes]:
    """Return the chunks that are replaced or added, by the name that the file has for them."""
    tagged = next((chunk for chunk in chunks if chunk.name.upper() == b"ID3 "), None)
    old = _data(source, tagged, form) or b""
    known = tag_size(old[:10])
    name = form.tag_name if tagged is None else tagged.name
    found = {name: edited_tag(old[:known], comment) + old[known:]}
    if form is _WAV:
        editors = {"bext": (b"bext", edited_bext), "ixml": (b"iXML", edited_ixml)}
        for wanted in comment.chunks:
            name, edited = editors[wanted]
            data = edited(_data(source, next((chunk for chunk in chunks if chunk.name == name), None), form), comment)
            if data is not None:
                found[name] = data
    return {
        name: name + len(data).to_bytes(form.size_bytes, form.byte_order) + data + bytes(len(data) % 2)
        for name, data in found.items()
    }


def _data(source: BinaryIO, chunk: _Chunk | None, form: _Form) -> bytes | None:
    return None if chunk is None else read_span(source, chunk.start + form.header_bytes, chunk.size)


def _chunks(source: BinaryIO, form: _Form, end: int) -> Iterator[_Chunk]:
    start = form.header_bytes + 4
    while start + form.header_bytes <= end:
        header = read_span(source, start, form.header_bytes)
        size = int.from_bytes(header[4:], form.byte_order)
        data_end = start + form.header_bytes + size
        if data_end > end:
            raise ValueError(f"chunk {header[:4]!r} ends after the end of the file: use sidecars")
        yield _Chunk(name=header[:4], start=start, size=size, end=data_end + size % 2)
        start = data_end + size % 2
