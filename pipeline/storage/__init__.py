"""Files by URI, local or in a bucket: listing, reading, writing whole files, and the conditional writes of leases.

Conventions:

- A location is a plain local path, `file://`, `s3://bucket/key` (or `s3a://`), `gs://bucket/key`, `az://container/key`,
  or, for reading only, `http(s)://` and `azure://`. `store_of` chooses the store; nothing else depends on the scheme.
- Endpoint, region and credentials of S3 come from the standard AWS chain (`AWS_ENDPOINT_URL_S3`, `AWS_ENDPOINT_URL`,
  profiles, instance roles). Clients are created on first use, once per process and environment, so that callers can be
  pickled.
- Every failure raises `StorageError`. Its text is for a catalogue editor and never contains a key, a password or a
  signed query string. Throttling, server errors and broken connections are first retried for `retry_seconds()`.
- A write is atomic: one PUT, or locally a hidden temporary file, fsync and `os.replace`.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from pyarrow import fs

from pipeline.storage.cloud import CloudStore
from pipeline.storage.errors import StorageError
from pipeline.storage.local import LocalStore
from pipeline.storage.read_only import ReadOnlyStore
from pipeline.storage.retry import retry_seconds
from pipeline.storage.s3 import S3Store
from pipeline.storage.store import OnUnreadable, Store, StoredFile
from pipeline.storage.uris import (
    absolute,
    absolute_base,
    is_bucket,
    is_remote,
    join,
    public_uri,
    redacted,
    resolve,
    scheme_of,
)

__all__ = [
    "StorageError",
    "Store",
    "StoredFile",
    "absolute",
    "absolute_base",
    "create_exclusively",
    "delete",
    "exists",
    "filesystem",
    "is_bucket",
    "is_folder",
    "is_remote",
    "join",
    "list_files",
    "open_for_reading",
    "public_uri",
    "read_bytes",
    "read_versioned",
    "redacted",
    "remove_partial_writes",
    "replace_if_unchanged",
    "resolve",
    "retry_seconds",
    "store_of",
    "write_file_once",
    "write_once",
]

_STORES: dict[str, Store] = {
    "local": LocalStore(),
    "s3": S3Store(),
    "cloud": CloudStore(),
    "read_only": ReadOnlyStore(),
}


def store_of(uri: str) -> Store:
    """Return the store for the scheme of `uri`."""
    return _STORES[scheme_of(uri).store]


def exists(uri: str) -> bool:
    """Return whether there is a file at `uri`, or a folder (S3: a prefix of at least one object).

    Raises:
        StorageError: The check failed: no such bucket, no permission, no answer.
    """
    return store_of(uri).exists(uri)


def is_folder(uri: str) -> bool:
    """Return whether `uri` is a local folder, or an S3 prefix of at least one object.

    Raises:
        StorageError: The check failed: no such bucket, no permission, no answer.
    """
    return store_of(uri).is_folder(uri)


def list_files(
    uri: str, suffix: str | tuple[str, ...] = "", *, on_unreadable: OnUnreadable | None = None
) -> Iterator[StoredFile]:
    """List the files below the folder or prefix `uri`, at any depth, in the order of their paths' bytes.

    Names that start with a dot are left out at every level, among them temporary files of writes in progress. So are
    the zero-byte objects with which some tools mark a folder. A folder that does not exist counts as empty, because S3
    does not distinguish the two. Symbolic links are followed, each folder once.

    Args:
        uri: A local folder, `file://`, `s3://`, `gs://` or `az://`.
        suffix: Only names with this ending, or with one of these endings.
        on_unreadable: Called with each folder below `uri` that may not be read, and with each symbolic link whose
            target is missing, the link itself or a listed folder; they are left out. Without it, such a folder is an
            error.

    Yields:
        The files; the next page of an S3 listing is requested meanwhile.

    Raises:
        StorageError: The bucket is missing, the folder may not be read, or the scheme cannot be listed.
    """
    yield from store_of(uri).list_files(uri, suffix, on_unreadable)


def read_bytes(uri: str, *, max_bytes: int | None = None) -> bytes:
    """Read a whole file; a large S3 object in parallel ranges of one version of it.

    Args:
        uri: Any location that can be read.
        max_bytes: Maximum size; a larger file is an error, before it is fetched if its size is known.

    Raises:
        StorageError: The file cannot be read, or is larger than `max_bytes` (too_large).
    """
    return store_of(uri).read(uri, max_bytes)


def read_versioned(uri: str) -> tuple[bytes, str]:
    """Read a small object and the etag that `replace_if_unchanged` needs.

    Raises:
        StorageError: The object cannot be read.
    """
    return store_of(uri).read_versioned(uri)


def open_for_reading(uri: str) -> BinaryIO:
    """Open a file, seekable and buffered; an S3 object is fetched in ranges as it is read, in bounded memory.

    Raises:
        StorageError: The file cannot be opened; later, from `read`: it cannot be read, or has changed meanwhile.
    """
    return store_of(uri).open(uri)


def write_once(uri: str, data: bytes) -> None:
    """Write a file so that readers see all of it or none; an existing file is replaced.

    Locally, missing folders are created, and the bytes are on disk on return.

    Raises:
        StorageError: The file cannot be written; no partial file is visible.
    """
    store_of(uri).write(uri, data)


def write_file_once(uri: str, source: str | Path) -> None:
    """Write a copy of the local file `source`, as `write_once` does, without loading it into memory.

    Raises:
        StorageError: The file cannot be written; no partial file is visible.
    """
    store_of(uri).write(uri, Path(source))


def create_exclusively(uri: str, data: bytes) -> bool:
    """Write a file only if none exists; of several callers exactly one succeeds.

    Args:
        uri: An object of a bucket (S3: `If-None-Match: *`) or a local file.
        data: Must be different for each caller. If the store's answer is lost, the content shows which caller wrote it.

    Returns:
        Whether this call created the file.

    Raises:
        StorageError: The file cannot be written; unsupported if the store has no conditional writes.
    """
    return store_of(uri).create_exclusively(uri, data)


def replace_if_unchanged(uri: str, data: bytes, etag: str) -> bool:
    """Replace a small file only if it has not changed since it was read; of several callers exactly one succeeds.

    Args:
        uri: An object of a bucket (S3: `If-Match`) or a local file.
        data: Must be different for each caller, as for `create_exclusively`, and different from the old content.
        etag: From `read_versioned`.

    Returns:
        Whether this call replaced the file; False also if the file no longer exists.

    Raises:
        StorageError: The file cannot be written; unsupported if the store has no conditional writes.
    """
    return store_of(uri).replace_if_unchanged(uri, data, etag)


def delete(uri: str) -> None:
    """Remove a file; a missing file is not an error.

    Raises:
        StorageError: The file cannot be removed.
    """
    store_of(uri).delete(uri)


def remove_partial_writes(uri: str, *, older_than_s: float) -> None:
    """Remove the hidden files that killed writers left in a local folder; S3 has no such files.

    Args:
        uri: The folder; folders below it are not searched.
        older_than_s: Files younger than this, in seconds, are kept, because their writers may still run.

    Raises:
        StorageError: The folder cannot be read, or a file cannot be removed.
    """
    store_of(uri).remove_partial_writes(uri, older_than_s)


def filesystem(uri: str) -> tuple[fs.FileSystem, str]:
    """Return a pyarrow filesystem for reading tables, and the path of `uri` in it.

    For S3 it has the endpoint, credentials, retries and errors of this package. It can be pickled and cannot write.

    Raises:
        StorageError: unsupported, for schemes that are only read.
    """
    return store_of(uri).filesystem(uri)
