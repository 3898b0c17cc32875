"""Text files: bytes unzipped where the name ends in `.gz`, and lines of strict UTF-8."""

import contextlib
import gzip
import io
import zlib
from collections.abc import Iterator
from typing import Any

from pipeline import storage
from pipeline.catalogue.errors import CatalogueError

GZIP_ERRORS = (EOFError, gzip.BadGzipFile, zlib.error)
"""What reading a damaged gzip file raises."""


@contextlib.contextmanager
def open_text(source: str) -> Iterator[Any]:
    """Open a text file for reading bytes.

    Raises:
        StorageError: It cannot be opened.
    """
    with storage.open_for_reading(source) as file:
        if source.lower().endswith(".gz"):
            with gzip.open(file, "rb") as unzipped:
                yield unzipped
        else:
            yield file


def numbered_lines(source: str) -> Iterator[tuple[int, str]]:
    r"""Yield (line number, line) of a text file, lines with their ends: `\n`, `\r\n` or `\r`.

    Raises:
        CatalogueError: A line is not UTF-8, or the gzip file is damaged; the message names the line.
        StorageError: The file cannot be read.
    """
    number = 0
    try:
        with open_text(source) as stream:
            # Bytes that are not UTF-8 become surrogates here, so that the line that holds them can be named.
            lines = io.TextIOWrapper(stream, "utf-8-sig", errors="surrogateescape", newline="")
            for number, line in enumerate(lines, start=1):
                if not line.isascii() and not is_unicode(line):
                    raise CatalogueError(f"{source}: line {number} is not UTF-8; save the file as UTF-8 and try again")
                yield number, line
    except GZIP_ERRORS as error:
        raise CatalogueError(f"{source}: not a whole gzip file, from line {number + 1} on: {error}") from None


def is_unicode(text: str) -> bool:
    """Check that a text has no lone surrogates, which no file in UTF-8 can hold."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
