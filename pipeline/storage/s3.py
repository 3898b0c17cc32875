"""S3: whole-object PUTs, and the conditional PUTs of leases."""

import base64
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from pyarrow import fs

from pipeline.storage.object_filesystem import ObjectFileSystemHandler
from pipeline.storage.object_reader import ObjectReader, read_whole
from pipeline.storage.retry import retried
from pipeline.storage.s3_client import client
from pipeline.storage.s3_errors import error_code, explain
from pipeline.storage.s3_listing import describe, is_prefix, list_objects
from pipeline.storage.s3_ranges import get_range
from pipeline.storage.store import OnUnreadable, StoredFile
from pipeline.storage.uris import bucket_and_key

LARGEST_PUT_BYTES = 5 * 2**30
"""Maximum size of an object in one PUT of S3, 5 GiB."""
UPLOAD_ATTEMPTS = 10
"""Attempts of boto3 for each part of a multipart upload."""


class S3Store:
    """Objects of any S3 store."""

    def exists(self, uri: str) -> bool:
        """Return whether there is an object at `uri`, or an object below it."""
        key = bucket_and_key(uri)[1]
        is_file = bool(key) and not key.endswith("/") and describe(uri) is not None
        return is_file or is_prefix(uri)

    def describe(self, uri: str) -> StoredFile | None:
        """Return an object's size and etag, or None if there is none."""
        return describe(uri)

    def is_folder(self, uri: str) -> bool:
        """Return whether there is an object below `uri`."""
        return is_prefix(uri)

    def list_files(
        self, uri: str, suffix: str | tuple[str, ...], on_unreadable: OnUnreadable | None
    ) -> Iterator[StoredFile]:
        """List the objects below `uri/`."""
        return list_objects(uri, suffix)

    def read(self, uri: str, max_bytes: int | None) -> bytes:
        """Read a whole object."""
        return read_whole(uri, get_range, max_bytes)[0]

    def read_versioned(self, uri: str) -> tuple[bytes, str]:
        """Read a whole object and its etag."""
        return read_whole(uri, get_range)

    def open(self, uri: str) -> BinaryIO:
        """Open one version of an object."""
        return ObjectReader.opened(uri, get_range)

    def write(self, uri: str, data: bytes | Path) -> None:
        """Write bytes with one PUT, or a local file of any size in parts; the object appears after the last part."""
        if isinstance(data, Path):
            _upload(uri, str(data))
        else:
            retried(uri, lambda: _put(uri, data, {}), explain)

    def create_exclusively(self, uri: str, data: bytes) -> bool:
        """PUT with `If-None-Match: *`."""
        return _put_if(uri, data, {"IfNoneMatch": "*"})

    def replace_if_unchanged(self, uri: str, data: bytes, etag: str) -> bool:
        """PUT with `If-Match`."""
        return _put_if(uri, data, {"IfMatch": f'"{etag}"'})

    def delete(self, uri: str) -> None:
        """Remove an object; for S3 a missing object is not an error."""
        bucket, key = bucket_and_key(uri, need_key=True)
        retried(uri, lambda: client().delete_object(Bucket=bucket, Key=key), explain)

    def remove_partial_writes(self, uri: str, older_than_s: float) -> None:
        """Do nothing: an interrupted write is not visible in S3."""

    def filesystem(self, uri: str) -> tuple[fs.FileSystem, str]:
        """Return a pyarrow file system with this store's retries and errors."""
        bucket, key = bucket_and_key(uri)
        return fs.PyFileSystem(ObjectFileSystemHandler(self, "s3")), f"{bucket}/{key}"


def _put(uri: str, data: bytes, condition: dict[str, str]) -> None:
    bucket, key = bucket_and_key(uri, need_key=True)
    if len(data) > LARGEST_PUT_BYTES:
        raise ValueError(f"{uri}: {len(data):,} bytes are more than 5 GiB, the maximum of one PUT; use write_file_once")
    md5 = base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()
    client().put_object(Bucket=bucket, Key=key, Body=data, ContentMD5=md5, **condition)


def _put_if(uri: str, data: bytes, condition: dict[str, str]) -> bool:
    """PUT on a condition.

    If the answer to an attempt was lost, a later "condition failed" may be caused by that attempt. The object is then
    read and compared with `data`.

    Args:
        uri: The object.
        data: Must differ between callers.
        condition: `IfNoneMatch` or `IfMatch`, an argument of boto3.

    Returns:
        Whether this call wrote `data`.

    Raises:
        StorageError: unsupported, if the store has no conditional PUTs.
    """
    from botocore.exceptions import ClientError  # imported here, see s3_client

    answer_lost = False

    def attempt() -> bool:
        nonlocal answer_lost
        try:
            _put(uri, data, condition)
        except ClientError as error:
            status = error.response["ResponseMetadata"]["HTTPStatusCode"]
            if status == 412 or (status == 404 and "IfMatch" in condition and error_code(error) != "NoSuchBucket"):
                return answer_lost and status == 412 and read_whole(uri, get_range)[0] == data
            answer_lost = answer_lost or status >= 500
            raise
        except ValueError:
            raise
        except Exception:
            answer_lost = True
            raise
        return True

    return retried(uri, attempt, explain)


def _upload(uri: str, path: str) -> None:
    """Write an object from a local file of any size, in parts if large."""
    from boto3.exceptions import S3UploadFailedError  # imported here, see s3_client
    from botocore.exceptions import ClientError

    bucket, key = bucket_and_key(uri, need_key=True)

    def attempt() -> None:
        try:
            client(attempts=UPLOAD_ATTEMPTS).upload_file(path, bucket, key)
        except S3UploadFailedError as error:
            # boto3 wraps the store's answer; only the answer has the cause.
            raise (error.__context__ if isinstance(error.__context__, ClientError) else error) from None

    retried(uri, attempt, explain)
