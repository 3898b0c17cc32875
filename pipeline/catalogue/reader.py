"""What every catalogue reader offers, whatever the format."""

from collections.abc import Iterator, Sequence
from typing import Protocol

import pyarrow as pa

BATCH_ROWS = 65_536
"""Rows that a reader yields at a time."""
MAX_NAMED = 5
"""Rows that an error message lists."""


class Reader(Protocol):
    """Reads one catalogue, front to back, as often as needed."""

    source: str
    """The file, folder or prefix that is read."""
    base: str
    """What relative URIs count from, as `storage.resolve` takes it."""

    def tables(self) -> Iterator[pa.Table]:
        """Yield the rows with the catalogue's own column names, `BATCH_ROWS` at a time.

        Raises:
            CatalogueError: The catalogue cannot be read.
            StorageError: The storage cannot be reached.
        """

    def describe_rows(self, rows: Sequence[int]) -> str:
        """Name the places of rows, counted from 0, for a message: "lines 3 and 17"."""

    def no_tracks_message(self) -> str:
        """Explain an empty catalogue."""


def numbered(unit: str, numbers: Sequence[int], *, and_more: bool = False) -> str:
    """Format line or row numbers: "line 3", "lines 3 and 17", "lines 3, 4 and more"."""
    if len(numbers) == 1 and not and_more:
        return f"{unit} {numbers[0]}"
    if and_more:
        return f"{unit}s {', '.join(map(str, numbers))} and more"
    return f"{unit}s {', '.join(map(str, numbers[:-1]))} and {numbers[-1]}"
