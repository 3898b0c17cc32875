"""A new file as pieces: bytes, and spans of the file that it is made from.

An editor reads a file and returns pieces. What it does not understand stays a span, so it is copied byte for byte.
"""

import os
from collections.abc import Iterable
from typing import BinaryIO, NamedTuple

COPY_BYTES = 8 * 2**20
"""Bytes copied at a time."""


class Span(NamedTuple):
    """Bytes of the source file."""

    start: int
    """Offset of the first byte."""
    end: int
    """Offset after the last byte."""


Piece = bytes | Span


def file_size(source: BinaryIO) -> int:
    """Return the length of an open file in bytes."""
    return source.seek(0, os.SEEK_END)


def read_span(source: BinaryIO, start: int, size: int) -> bytes:
    """Read exactly `size` bytes.

    Raises:
        ValueError: The file ends before.
    """
    source.seek(start)
    data = source.read(size)
    if len(data) < size:
        raise ValueError("the file ends inside its header")
    return data


def copy_pieces(source: BinaryIO, pieces: Iterable[Piece], sink: BinaryIO) -> None:
    """Write pieces one after the other.

    Raises:
        ValueError: A span ends after the end of the file.
    """
    for piece in pieces:
        if isinstance(piece, bytes):
            sink.write(piece)
            continue
        source.seek(piece.start)
        left = piece.end - piece.start
        while left:
            data = source.read(min(left, COPY_BYTES))
            if not data:
                raise ValueError("the file became shorter while it was read")
            sink.write(data)
            left -= len(data)
