"""Files made of chunks: WAV, AIFF and DSDIFF. The ID3 chunk is replaced or added at the end of the form.

All other chunks (`bext`, `iXML`, `LIST`, `COMM`, ...) and bytes after the form are copied.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Literal

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
    tagged = next((chunk for chunk in chunks if chunk.name.upper() == b"ID3 "), None)
    old = b"" if tagged is None else read_span(source, tagged.start + form.header_bytes, tagged.size)
    known = tag_size(old[:10])
    tag = edited_tag(old[:known], comment) + old[known:]
    name = form.tag_name if tagged is None else tagged.name
    chunk = name + len(tag).to_bytes(form.size_bytes, form.byte_order) + tag + bytes(len(tag) % 2)
    start, after = (end, end) if tagged is None else (tagged.start, min(tagged.end, length))
    padding = bytes(start % 2)  # a last chunk of odd length without the byte that makes it even
    new_size = size + len(padding) + len(chunk) - (min(after, end) - min(start, end))
    if new_size >= 1 << (8 * form.size_bytes) - (1 if form.size_bytes == 8 else 0):
        raise ValueError("the file is too large for another chunk: use sidecars")
    return [
        form.name + new_size.to_bytes(form.size_bytes, form.byte_order),
        Span(form.header_bytes, start),
        padding + chunk,
        Span(after, length),
    ]


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
