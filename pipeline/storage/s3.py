"""The S3 side of `pipeline.storage`: one boto3 client a process, ranged reads, conditional PUTs, pyarrow's view.

Endpoint, region and credentials come from the standard AWS chain. boto3 makes one attempt per call; retries are
`storage_errors.retried`, because only the caller knows whether a repeated conditional PUT has already won, and
because a body that breaks off half-way must be read again, which boto3 leaves to its caller.
"""

import base64
import contextlib
import functools
import hashlib
import io
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
from pyarrow import fs

from pipeline.storage.storage_errors import StorageError, redacted, retried, scheme_of

RANGE_BYTES = 8 * 2**20
"""An object up to this size is read with one request, a larger one in ranges of it, several at a time."""
PARALLEL_RANGES = 4
"""Ranges of one large object in flight; one S3 connection gives some 90 MB/s, four fill a 2.5 Gbit/s card."""
READ_AHEAD_BYTES = 2**20
"""What a reader fetches at least, so that a header, or the whole of a small part file, costs one request."""
LARGEST_PUT_BYTES = 5 * 2**30
"""The largest object S3 takes in one PUT, 5 GiB."""

Environment = tuple[tuple[str, str], ...]
_making = threading.Lock()


@dataclass(frozen=True, kw_only=True)
class StoredFile:
    """One file of a listing."""

    uri: str
    """Where it is; the same text every other function here takes."""
    size: int
    """In bytes."""
    etag: str
    """Changes when the file does: S3's ETag without quotes, locally modification time and size."""
    modified: datetime
    """When it was last written, UTC."""


def bucket_and_key(uri: str, *, need_key: bool = False) -> tuple[str, str]:
    """Split `s3://bucket/key`; the key is literal and may be empty unless `need_key`."""
    bucket, _, key = uri.partition("://")[2].partition("/")
    if "@" in bucket or ":" in bucket:
        raise StorageError(
            f"{redacted(uri)}: credentials do not belong into a URI; use AWS_PROFILE, AWS_ACCESS_KEY_ID or a role",
            "bad_uri",
        )
    if not bucket or (need_key and not key):
        raise StorageError(f"{uri}: not an object of a bucket; write s3://bucket/key", "bad_uri")
    return bucket, key


def bucket_and_prefix(uri: str) -> tuple[str, str]:
    """Split `s3://bucket/folder` into the bucket and `folder/`, or nothing for the bucket itself."""
    bucket, key = bucket_and_key(uri)
    return bucket, key if not key or key.endswith("/") else f"{key}/"


def client(*, attempts: int = 1) -> Any:
    """Return this process's boto3 client for the AWS_* environment as it is now.

    Clients can be neither pickled nor shared across a fork, so nobody keeps one.

    Args:
        attempts: How often boto3 itself tries; more than once only for multipart uploads, whose parts it repeats.
    """
    environment = tuple(sorted(item for item in os.environ.items() if item[0].startswith("AWS_")))
    with _making:
        return _client_for(os.getpid(), environment, attempts)


@functools.lru_cache(maxsize=4)
def _client_for(_process: int, _environment: Environment, attempts: int) -> Any:
    import boto3  # here, since it takes 0.2 s that local work need not pay
    from botocore.config import Config

    config = Config(
        retries={"mode": "standard", "total_max_attempts": attempts},
        connect_timeout=10,
        read_timeout=60,
        max_pool_connections=32,
        tcp_keepalive=True,
        # Stores other than AWS often do not know the newer checksums; PUTs carry Content-MD5 instead.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    return boto3.Session().client("s3", config=config)


def put(uri: str, data: bytes) -> None:
    """Write an object with one PUT, over whatever is there."""
    bucket, key = bucket_and_key(uri, need_key=True)
    retried(uri, lambda: _put(bucket, key, data, {}))


def _put(bucket: str, key: str, data: bytes, condition: dict[str, str]) -> None:
    if len(data) > LARGEST_PUT_BYTES:
        raise ValueError(
            f"s3://{bucket}/{key}: {len(data):,} bytes are more than one PUT takes, 5 GiB; use write_file_once"
        )
    md5 = base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()
    client().put_object(Bucket=bucket, Key=key, Body=data, ContentMD5=md5, **condition)


def put_if(uri: str, data: bytes, condition: dict[str, str]) -> bool:
    """PUT on a condition; after an answer was lost, a refusal is checked against what is there.

    Args:
        uri: The object.
        data: Must differ between callers.
        condition: `IfNoneMatch` or `IfMatch`, as boto3 takes it.

    Returns:
        Whether the object is now `data` by this call.

    Raises:
        StorageError: unsupported, where the store refuses conditional PUTs.
    """
    from botocore.exceptions import ClientError

    bucket, key = bucket_and_key(uri, need_key=True)
    answer_lost = False

    def attempt() -> bool:
        nonlocal answer_lost
        try:
            _put(bucket, key, data, condition)
        except ClientError as error:
            status = error.response["ResponseMetadata"]["HTTPStatusCode"]
            if status == 412 or (status == 404 and "IfMatch" in condition and _code(error) != "NoSuchBucket"):
                return answer_lost and status == 412 and read(uri)[0] == data
            answer_lost = answer_lost or status >= 500
            raise
        except ValueError:
            raise
        except Exception:
            answer_lost = True
            raise
        return True

    return retried(uri, attempt)


def upload(uri: str, path: str) -> None:
    """Write an object from a local file of any size, in parts if large; it appears when all are there."""
    from boto3.exceptions import S3UploadFailedError
    from botocore.exceptions import ClientError

    bucket, key = bucket_and_key(uri, need_key=True)

    def attempt() -> None:
        try:
            client(attempts=10).upload_file(path, bucket, key)
        except S3UploadFailedError as error:
            # boto3 wraps the store's answer, which alone says what went wrong.
            raise (error.__context__ if isinstance(error.__context__, ClientError) else error) from None

    retried(uri, attempt)


def delete(uri: str) -> None:
    """Remove an object; S3 does not mind if there is none."""
    bucket, key = bucket_and_key(uri, need_key=True)
    retried(uri, lambda: client().delete_object(Bucket=bucket, Key=key))


def _code(error: Any) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def read(uri: str, max_bytes: int | None = None) -> tuple[bytes, str]:
    """Read an object and its etag; a large one in parallel ranges of one version.

    Raises:
        StorageError: too_large, if it has more than `max_bytes`; changed, if it did between two ranges.
    """
    bucket, key = bucket_and_key(uri, need_key=True)
    first = retried(uri, lambda: _get_range(bucket, key, 0, RANGE_BYTES, None))
    if max_bytes is not None and first.size > max_bytes:
        raise StorageError(f"{redacted(uri)}: {first.size:,} bytes, more than the {max_bytes:,} allowed", "too_large")
    if first.size <= len(first.data):
        return first.data, first.etag

    def read_at(start: int) -> bytes:
        return retried(uri, lambda: _get_range(bucket, key, start, RANGE_BYTES, first.etag)).data

    with ThreadPoolExecutor(PARALLEL_RANGES) as pool:
        rest = pool.map(read_at, range(RANGE_BYTES, first.size, RANGE_BYTES))
        return b"".join([first.data, *rest]), first.etag


@dataclass(frozen=True, kw_only=True)
class _Range:
    """Some bytes of an object, and what the answer says about the whole."""

    data: bytes
    size: int
    etag: str
    modified: datetime


def _get_range(bucket: str, key: str, start: int, length: int, etag: str | None) -> _Range:
    """Return up to `length` bytes from `start`; of version `etag` if given."""
    from botocore.exceptions import ClientError

    same = {"IfMatch": f'"{etag}"'} if etag else {}
    try:
        answer = client().get_object(Bucket=bucket, Key=key, Range=f"bytes={start}-{start + length - 1}", **same)
    except ClientError as error:
        if _code(error) != "InvalidRange" or start:
            raise
        answer = client().get_object(Bucket=bucket, Key=key)  # an empty object has no first byte
    with contextlib.closing(answer["Body"]) as body:
        data = body.read()
    total = answer.get("ContentRange", "").rpartition("/")[2]
    return _Range(
        data=data,
        size=int(total) if total.isdecimal() else len(data),
        etag=answer["ETag"].strip('"'),
        modified=answer["LastModified"].astimezone(UTC),
    )


def open_object(uri: str) -> io.BufferedReader:
    """Open one version of an object, seekable and buffered."""
    return io.BufferedReader(_ObjectReader(uri), READ_AHEAD_BYTES)


class _ObjectReader(io.RawIOBase):
    """One version of an S3 object, fetched in ranges as they are asked for."""

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._bucket, self._key = bucket_and_key(uri, need_key=True)
        self._position = 0
        self._start = 0
        self._etag: str | None = None
        first = self._fetch(0, READ_AHEAD_BYTES)
        self._ahead, self._size, self._etag = first.data, first.size, first.etag

    def _fetch(self, start: int, length: int) -> _Range:
        return retried(self._uri, lambda: _get_range(self._bucket, self._key, start, length, self._etag))

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
            self._ahead = self._fetch(self._position, wanted).data
            self._start, skip = self._position, 0
        data = self._ahead[skip : skip + length]
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)


def describe(uri: str) -> StoredFile | None:
    """Return an object's size and etag, or None if there is none."""
    bucket, key = bucket_and_key(uri, need_key=True)
    try:
        # Not HEAD, whose refusals have no body and so do not say what is wrong.
        data = retried(uri, lambda: _get_range(bucket, key, 0, 1, None))
    except StorageError as error:
        if error.error_type != "not_found":
            raise
        return None
    return StoredFile(uri=uri, size=data.size, etag=data.etag, modified=data.modified)


def is_prefix(uri: str) -> bool:
    """Tell whether there is an object below `uri/`."""
    bucket, prefix = bucket_and_prefix(uri)
    page = retried(uri, lambda: client().list_objects_v2(Bucket=bucket, Prefix=prefix, MaxKeys=1))
    return bool(page["KeyCount"])


def list_objects(uri: str, suffix: str | tuple[str, ...]) -> Iterator[StoredFile]:
    """List the objects below `uri/`; see `storage.list_files` for what is left out."""
    bucket, prefix = bucket_and_prefix(uri)
    root = f"{scheme_of(uri)}://{bucket}/"
    token: dict[str, str] = {}
    while True:
        request = {"Bucket": bucket, "Prefix": prefix, **token}
        page = retried(uri, functools.partial(_list_page, request))
        for item in page.get("Contents", []):
            key, size = item["Key"], item["Size"]
            hidden = any(name.startswith(".") for name in key[len(prefix) :].split("/"))
            marker = key.endswith("/") or (size == 0 and key.endswith("_$folder$"))
            if not hidden and not marker and key.endswith(suffix):
                etag = item["ETag"].strip('"')
                yield StoredFile(uri=root + key, size=size, etag=etag, modified=item["LastModified"].astimezone(UTC))
        if not page.get("IsTruncated"):
            return
        token = {"ContinuationToken": page["NextContinuationToken"]}


def _list_page(request: dict[str, str]) -> dict[str, Any]:
    answer: dict[str, Any] = client().list_objects_v2(**request)
    return answer


class ArrowFiles(fs.FileSystemHandler):  # type: ignore[misc]
    """S3 as pyarrow reads it, through this module.

    Not pyarrow's own S3FileSystem: its SDK takes a throttled or cut answer for "failed to flush response stream"
    and gives up, it does not know all of boto3's ways to credentials and endpoints, and it needs three requests
    for a part file that costs one here. Read-only: a file written as a stream would be committed when an
    exception closes it.
    """

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ArrowFiles)

    def __ne__(self, other: object) -> bool:
        return not isinstance(other, ArrowFiles)

    __hash__ = None  # type: ignore[assignment]

    def get_type_name(self) -> str:
        return "muscaps-s3"

    def normalize_path(self, path: str) -> str:
        return path

    def get_file_info(self, paths: list[str]) -> list[fs.FileInfo]:
        return [self._info(path) for path in paths]

    def _info(self, path: str) -> fs.FileInfo:
        file = describe(f"s3://{path}") if "/" in path.strip("/") else None
        if file is not None:
            return fs.FileInfo(path, fs.FileType.File, size=file.size, mtime=file.modified)
        return fs.FileInfo(path, fs.FileType.Directory if is_prefix(f"s3://{path}") else fs.FileType.NotFound)

    def get_file_info_selector(self, selector: fs.FileSelector) -> list[fs.FileInfo]:
        root = selector.base_dir.rstrip("/")
        files = list(list_objects(f"s3://{root}", ""))
        if not files and not selector.allow_not_found:
            raise FileNotFoundError(f"s3://{root}: there is nothing below it")
        infos = {}
        for file in files:
            path = file.uri.removeprefix("s3://")
            names = path[len(root) + 1 :].split("/")
            for depth in range(1, len(names)):
                folder = "/".join([root, *names[:depth]])
                infos[folder] = fs.FileInfo(folder, fs.FileType.Directory)
            infos[path] = fs.FileInfo(path, fs.FileType.File, size=file.size, mtime=file.modified)
        return [info for path, info in infos.items() if selector.recursive or "/" not in path[len(root) + 1 :]]

    def open_input_file(self, path: str) -> pa.NativeFile:
        return pa.PythonFile(open_object(f"s3://{path}"), mode="r")

    open_input_stream = open_input_file

    def _refuse(self, *_arguments: object, **_options: object) -> Any:
        raise StorageError("files are written with pipeline.storage, whole or not at all", "unsupported")

    create_dir = delete_dir = delete_dir_contents = delete_root_dir_contents = delete_file = _refuse
    move = copy_file = open_output_stream = open_append_stream = _refuse
