"""Files with an ID3v2 tag at their start (MP3, TrueAudio) or at their end (DSF)."""

from typing import BinaryIO

from pipeline.reading.comment_tags.comment import Comment
from pipeline.reading.comment_tags.id3 import HEADER_BYTES, edited_tag, tag_size
from pipeline.reading.comment_tags.pieces import Piece, Span, file_size, read_span


def edit_leading_tag(source: BinaryIO, comment: Comment) -> list[Piece]:
    """Edit the tag at the start of a file; ID3v1, APEv2 and Lyrics3 at its end stay as they are."""
    size = file_size(source)
    length = tag_size(read_span(source, 0, min(HEADER_BYTES, size)))
    return [edited_tag(read_span(source, 0, length), comment), Span(length, size)]


def edit_dsf(source: BinaryIO, comment: Comment) -> list[Piece]:
    """Edit the tag to which the header of a DSF file points."""
    header = read_span(source, 0, 28)
    size = file_size(source)
    if header[:4] != b"DSD ":
        raise ValueError("the header is not that of a DSF file")
    start = int.from_bytes(header[20:28], "little") or size
    length = tag_size(read_span(source, start, min(HEADER_BYTES, size - start)))
    if start + length != size:
        raise ValueError("the tag of the DSF file is not at its end")
    tag = edited_tag(read_span(source, start, length), comment)
    new_size = (start + len(tag)).to_bytes(8, "little")
    return [header[:12] + new_size + start.to_bytes(8, "little"), Span(28, start), tag]
