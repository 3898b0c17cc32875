"""Listings of S3, and checks for objects and prefixes."""

from collections.abc import Iterator
from datetime import UTC
from typing import Any

from pipeline.storage.errors import StorageError
from pipeline.storage.retry import retried
from pipeline.storage.s3_client import client
from pipeline.storage.s3_errors import explain
from pipeline.storage.s3_ranges import get_range
from pipeline.storage.store import StoredFile
from pipeline.storage.uris import bucket_and_key, scheme_name


def describe(uri: str) -> StoredFile | None:
    """Return an object's size and etag, or None if there is none."""
    try:
        # Not HEAD: its error answers have no body and therefore no cause.
        first = get_range(uri, 0, 1)
    except StorageError as error:
        if error.error_type != "not_found":
            raise
        return None
    return StoredFile(uri=uri, size=first.size, etag=first.etag, modified=first.modified)


def is_prefix(uri: str) -> bool:
    """Return whether there is an object below `uri/`."""
    bucket, prefix = _bucket_and_prefix(uri)
    page = retried(uri, lambda: client().list_objects_v2(Bucket=bucket, Prefix=prefix, MaxKeys=1), explain)
    return bool(page["KeyCount"])


def list_objects(uri: str, suffix: str | tuple[str, ...]) -> Iterator[StoredFile]:
    """List the objects below `uri/`; `storage.list_files` says which are left out."""
    bucket, prefix = _bucket_and_prefix(uri)
    root = f"{scheme_name(uri)}://{bucket}/"
    request = {"Bucket": bucket, "Prefix": prefix}
    while True:
        page = retried(uri, lambda: _list_page(request), explain)
        for item in page.get("Contents", []):
            key, size = item["Key"], item["Size"]
            hidden = any(name.startswith(".") for name in key[len(prefix) :].split("/"))
            marker = key.endswith("/") or (size == 0 and key.endswith("_$folder$"))
            if not hidden and not marker and key.endswith(suffix):
                etag = item["ETag"].strip('"')
                yield StoredFile(uri=root + key, size=size, etag=etag, modified=item["LastModified"].astimezone(UTC))
        if not page.get("IsTruncated"):
            return
        request["ContinuationToken"] = page["NextContinuationToken"]


def _list_page(request: dict[str, str]) -> dict[str, Any]:
    answer: dict[str, Any] = client().list_objects_v2(**request)
    return answer


def _bucket_and_prefix(uri: str) -> tuple[str, str]:
    """Split `s3://bucket/folder` into the bucket and `folder/`; the prefix of the bucket itself is empty."""
    bucket, key = bucket_and_key(uri)
    return bucket, key if not key or key.endswith("/") else f"{key}/"
