"""Reading one version of an object in ranges: as a whole, in parallel, or as a seekable file."""

import io
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pipeline.storage.errors import StorageError
from pipeline.storage.uris import redacted

RANGE_BYTES = 8 * 2**20
"""Size of a range. An object up to this size is read with one request, a larger one in parallel ranges."""
PARALLEL_RANGES = 4
"""Parallel requests for one large object. One S3 connection has about 90 MB/s, four fill a 2.5 Gbit/s network card."""
READ_AHEAD_BYTES = 2**20
"""Minimum size of a request of a reader, so that a header or a small part file needs one request."""


@dataclass(frozen=True, kw_only=True)
class Range:
    """Some bytes of an object, and properties of the whole object."""

    data: bytes
    size: int
    """Size of the whole object in bytes."""
    etag: str
    modified: datetime


GetRange = Callable[[str, int, int, str | None], Range]
"""Returns up to so many bytes of a URI from a position, of a version (etag) if given."""


def read_whole(uri: str, get_range: GetRange, max_bytes: int | None = None) -> tuple[bytes, str]:
    """Read an object and its etag; a large one in parallel ranges of one version.

    Raises:
        StorageError: too_large, if the object has more than `max_bytes`; changed, if it changed between two ranges.
    """
    first = get_range(uri, 0, RANGE_BYTES, None)
    if max_bytes is not None and first.size > max_bytes:
        raise StorageError(f"{redacted(uri)}: {first.size:,} bytes, more than the {max_bytes:,} allowed", "too_large")
    if first.size <= len(first.data):
        return first.data, first.etag

    def read_at(start: int) -> bytes:
        return get_range(uri, start, RANGE_BYTES, first.etag).data

    with ThreadPoolExecutor(PARALLEL_RANGES) as pool:
        rest = pool.map(read_at, range(RANGE_BYTES, first.size, RANGE_BYTES))
        return b"".join([first.data, *rest]), first.etag


class ObjectReader(io.RawIOBase):
    """One version of an object, fetched in ranges when they are read."""

    def __init__(self, uri: str, get_range: GetRange) -> None:
        """Fetch the beginning of an object."""
        self._uri, self._get_range = uri, get_range
        self._position = 0
        self._start = 0
        first = get_range(uri, 0, READ_AHEAD_BYTES, None)
        self._ahead, self._size, self._etag = first.data, first.size, first.etag

    @classmethod
    def opened(cls, uri: str, get_range: GetRange) -> io.BufferedReader:
        """Open an object, seekable and buffered."""
        return io.BufferedReader(cls(uri, get_range), READ_AHEAD_BYTES)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        origin = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        if origin + offset < 0:
            raise ValueError(f"cannot seek to {origin + offset}, before the start of the file")
        self._position = origin + offset
        return self._position

    def readinto(self, buffer: Any) -> int:
        length = min(len(buffer), max(0, self._size - self._position))
        if length == 0:
            return 0
        skip = self._position - self._start
        if not 0 <= skip < len(self._ahead):
            wanted = min(max(length, READ_AHEAD_BYTES), self._size - self._position)
            self._ahead = self._get_range(self._uri, self._position, wanted, self._etag).data
            self._start, skip = self._position, 0
        data = self._ahead[skip : skip + length]
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)
