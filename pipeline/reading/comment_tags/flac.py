"""FLAC: the block of comments is replaced, all other metadata blocks are copied."""

from typing import BinaryIO

from pipeline.reading.comment_tags.comment import Comment
from pipeline.reading.comment_tags.id3 import HEADER_BYTES, tag_size
from pipeline.reading.comment_tags.pieces import Piece, Span, file_size, read_span
from pipeline.reading.comment_tags.vorbis_comments import EMPTY, edited_comments

_PADDING, _COMMENTS = 1, 4
_LAST = 0x80
_MAX_BLOCK = (1 << 24) - 1


def edit_flac(source: BinaryIO, comment: Comment) -> list[Piece]:
    """Edit the comments of a FLAC file; a padding block gives the room, where there is one."""
    size = file_size(source)
    start = tag_size(read_span(source, 0, min(HEADER_BYTES, size)))  # some programs put an ID3 tag in front
    if read_span(source, start, 4) != b"fLaC":
        raise ValueError("the file has no FLAC header")
    blocks, audio = _blocks(source, start + 4)
    index = next((number for number, (kind, _) in enumerate(blocks) if kind == _COMMENTS), None)
    if index is None:
        blocks.insert(1, (_COMMENTS, EMPTY))
        index, before = 1, -4
    else:
        span = blocks[index][1]
        assert isinstance(span, Span)
        before = span.end - span.start
        blocks[index] = (_COMMENTS, read_span(source, span.start, before))
    data = blocks[index][1]
    assert isinstance(data, bytes)
    data = edited_comments(data, comment)
    blocks[index] = (_COMMENTS, data)
    _absorb(blocks, len(data) - before)
    pieces: list[Piece] = [Span(0, start + 4)]
    for number, (kind, content) in enumerate(blocks):
        length = len(content) if isinstance(content, bytes) else content.end - content.start
        if length > _MAX_BLOCK:
            raise ValueError("the comments are too large for a FLAC block: use sidecars")
        last = _LAST if number == len(blocks) - 1 else 0
        pieces += [bytes([kind | last]) + length.to_bytes(3, "big"), content]
    return [*pieces, Span(audio, size)]


def _blocks(source: BinaryIO, start: int) -> tuple[list[tuple[int, Piece]], int]:
    """Return type and data of every metadata block, and the offset of the audio."""
    blocks: list[tuple[int, Piece]] = []
    while True:
        header = read_span(source, start, 4)
        end = start + 4 + int.from_bytes(header[1:], "big")
        blocks.append((header[0] & ~_LAST, Span(start + 4, end)))
        start = end
        if header[0] & _LAST:
            return blocks, start


def _absorb(blocks: list[tuple[int, Piece]], growth: int) -> None:
    """Change the first padding block by the growth of the comments, if it is large enough."""
    for number, (kind, content) in enumerate(blocks):
        if kind == _PADDING and isinstance(content, Span) and growth:
            left = content.end - content.start - growth
            if 0 <= left <= _MAX_BLOCK:
                blocks[number] = (_PADDING, bytes(left))
            return
