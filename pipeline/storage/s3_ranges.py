"""Reading one version of an S3 object in ranges: as a whole, in parallel, or as a seekable file."""

import contextlib
import io
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pipeline.storage.errors import StorageError
from pipeline.storage.retry import retried
from pipeline.storage.s3_client import client
from pipeline.storage.s3_errors import error_code, explain
from pipeline.storage.uris import bucket_and_key, redacted

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


def get_range(uri: str, start: int, length: int, etag: str | None = None) -> Range:
    """Return up to `length` bytes from `start`, of version `etag` if given."""
    bucket, key = bucket_and_key(uri, need_key=True)
    return retried(uri, lambda: _get_range(bucket, key, start, length, etag), explain)


def _get_range(bucket: str, key: str, start: int, length: int, etag: str | None) -> Range:
    from botocore.exceptions import ClientError  # imported here, see s3_client

    same = {"IfMatch": f'"{etag}"'} if etag else {}
    try:
        answer = client().get_object(Bucket=bucket, Key=key, Range=f"bytes={start}-{start + length - 1}", **same)
    except ClientError as error:
        if error_code(error) != "InvalidRange" or start:
            raise
        answer = client().get_object(Bucket=bucket, Key=key)  # an empty object has no first byte
    with contextlib.closing(answer["Body"]) as body:
        data = body.read()
    total = answer.get("ContentRange", "").rpartition("/")[2]
    return Range(
        data=data,
        size=int(total) if total.isdecimal() else len(data),
        etag=answer["ETag"].strip('"'),
        modified=answer["LastModified"].astimezone(UTC),
    )


def read_object(uri: str, max_bytes: int | None = None) -> tuple[bytes, str]:
    """Read an object and its etag; a large one in parallel ranges of one version.

    Raises:
        StorageError: too_large, if the object has more than `max_bytes`; changed, if it changed between two ranges.
    """
    first = get_range(uri, 0, RANGE_BYTES)
    if max_bytes is not None and first.size > max_bytes:
        raise StorageError(f"{redacted(uri)}: {first.size:,} bytes, more than the {max_bytes:,} allowed", "too_large")
    if first.size <= len(first.data):
        return first.data, first.etag

    def read_at(start: int) -> bytes:
        return get_range(uri, start, RANGE_BYTES, first.etag).data

    with ThreadPoolExecutor(PARALLEL_RANGES) as pool:
        rest = pool.map(read_at, range(RANGE_BYTES, first.size, RANGE_BYTES))
        return b"".join([first.data, *rest]), first.etag


def open_object(uri: str) -> io.BufferedReader:
    """Open one version of an object, seekable and buffered."""
    return io.BufferedReader(_ObjectReader(uri), READ_AHEAD_BYTES)


class _ObjectReader(io.RawIOBase):
    """One version of an S3 object, fetched in ranges when they are read."""

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._position = 0
        self._start = 0
        first = get_range(uri, 0, READ_AHEAD_BYTES)
        self._ahead, self._size, self._etag = first.data, first.size, first.etag

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
            self._ahead = get_range(self._uri, self._position, wanted, self._etag).data
            self._start, skip = self._position, 0
        data = self._ahead[skip : skip + length]
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)
