"""Bytes of text files, unzipped where the name ends in `.gz`."""

import contextlib
import gzip
from collections.abc import Iterator
from typing import Any

from pipeline import storage

GZIP_ERRORS = (EOFError, gzip.BadGzipFile)
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
