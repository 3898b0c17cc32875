"""Files by URI, local or in a bucket: list, read, write whole files, and the conditional writes leases are made of.

Conventions:

- A location is a plain local path, `file://`, `s3://bucket/key` (or `s3a://`), or, for reading only, `http(s)://`,
  `gs://` and `azure://`. `store_of` chooses the store; nothing else depends on the scheme.
- Endpoint, region and credentials of S3 come from the standard AWS chain (`AWS_ENDPOINT_URL_S3`, `AWS_ENDPOINT_URL`,
  profiles, instance roles). Clients are made on first use, once per process and environment, so that nothing here keeps
  a caller from being pickled.
- Everything that fails raises `StorageError`, whose text is for a catalogue editor and never holds a key, a password or
  a signed query string. Throttling, server errors and cut connections are retried for `retry_seconds()` first.
- A write is whole or not there: one PUT, or locally a hidden temporary file, fsync and `os.replace`.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from pyarrow import fs

from pipeline.storage.errors import StorageError
from pipeline.storage.local import LocalStore
from pipeline.storage.read_only import ReadOnlyStore
from pipeline.storage.retry import retry_seconds
from pipeline.storage.s3 import S3Store
from pipeline.storage.store import OnUnreadable, Store, StoredFile
from pipeline.storage.uris import is_remote, join, public_uri, redacted, resolve, scheme_of

__all__ = [
    "StorageError",
    "Store",
    "StoredFile",
    "create_exclusively",
    "delete",
    "exists",
    "filesystem",
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

_STORES: dict[str, Store] = {"local": LocalStore(), "s3": S3Store(), "read_only": ReadOnlyStore()}


def store_of(uri: str) -> Store:
    """Return the store that serves `uri`."""
    return _STORES[scheme_of(uri).store]


def exists(uri: str) -> bool:
    """Tell whether there is a file at `uri`, or a folder (S3: a prefix with something below it).

    Raises:
        StorageError: It cannot be known: no such bucket, no permission, no answer.
    """
    return store_of(uri).exists(uri)


def is_folder(uri: str) -> bool:
    """Tell whether `uri` is a local folder, or an S3 prefix with something below it.

    Raises:
        StorageError: It cannot be known: no such bucket, no permission, no answer.
    """
    return store_of(uri).is_folder(uri)


def list_files(
    uri: str, suffix: str | tuple[str, ...] = "", *, on_unreadable: OnUnreadable | None = None
) -> Iterator[StoredFile]:
    """List the files below the folder or prefix `uri`, at any depth, in the order of their paths' bytes.

    Left out: everything whose name starts with a dot, at any level (temporary files of writes in progress
    among it), and the zero-byte objects some tools leave to mark a folder. A folder that does not exist is
    empty, as S3 knows no difference; symbolic links are followed, each folder once.

    Args:
        uri: A local folder, `file://` or `s3://`.
        suffix: Only names ending in this, or in one of these.
        on_unreadable: Called with each folder below `uri` that may not be read and each symbolic link that leads
            nowhere or to itself, which are then left out; without it a folder that may not be read raises.

    Yields:
        One StoredFile each, while S3 is still being asked for the next thousand.

    Raises:
        StorageError: The bucket is missing, the folder may not be read, or the scheme cannot be listed.
    """
    yield from store_of(uri).list_files(uri, suffix, on_unreadable)


def read_bytes(uri: str, *, max_bytes: int | None = None) -> bytes:
    """Read a whole file; a large S3 object in parallel ranges of one version of it.

    Args:
        uri: Any location that can be read.
        max_bytes: Refuse a larger file before it is fetched, or as soon as its size is known.

    Raises:
        StorageError: too_large, or whatever kept it from being read.
    """
    return store_of(uri).read(uri, max_bytes)


def read_versioned(uri: str) -> tuple[bytes, str]:
    """Read a small object together with the etag `replace_if_unchanged` wants.

    Raises:
        StorageError: It could not be read.
    """
    return store_of(uri).read_versioned(uri)


def open_for_reading(uri: str) -> BinaryIO:
    """Open a file, seekable and buffered; an S3 object is fetched in ranges as it is read, in bounded memory.

    Raises:
        StorageError: It cannot be opened; later, from `read`: it became unreachable, or changed meanwhile.
    """
    return store_of(uri).open(uri)


def write_once(uri: str, data: bytes) -> None:
    """Write a file so that readers see all of it or none; whatever was there is replaced.

    Locally, folders are made as needed and the bytes are on disk when this returns.

    Raises:
        StorageError: It could not be written; nothing partial is visible.
    """
    store_of(uri).write(uri, data)


def write_file_once(uri: str, source: str | Path) -> None:
    """Write the file `source` of this machine as `write_once` writes bytes; for what does not fit in memory.

    Raises:
        StorageError: It could not be written; nothing partial is visible.
    """
    store_of(uri).write(uri, Path(source))


def create_exclusively(uri: str, data: bytes) -> bool:
    """Write a file only if there is none; of several callers exactly one succeeds.

    Args:
        uri: An S3 object (`If-None-Match: *`) or a local file.
        data: Must name its writer: if the store's answer is lost, what is there tells who wrote it.

    Returns:
        Whether this call made the file.

    Raises:
        StorageError: It could not be written; unsupported where the store refuses conditional writes.
    """
    return store_of(uri).create_exclusively(uri, data)


def replace_if_unchanged(uri: str, data: bytes, etag: str) -> bool:
    """Replace a small file only if it still is the version read; of several callers exactly one succeeds.

    Args:
        uri: An S3 object (`If-Match`) or a local file.
        data: Must name its writer, as for `create_exclusively`, and differ from what it replaces.
        etag: From `read_versioned`.

    Returns:
        Whether this call replaced it; False as well where the file is gone.

    Raises:
        StorageError: It could not be written; unsupported where the store refuses conditional writes.
    """
    return store_of(uri).replace_if_unchanged(uri, data, etag)


def delete(uri: str) -> None:
    """Remove a file; one that is not there is no error.

    Raises:
        StorageError: It could not be removed.
    """
    store_of(uri).delete(uri)


def remove_partial_writes(uri: str, *, older_than_s: float) -> None:
    """Remove the hidden files that killed writers left in a local folder; S3 shows nothing of such a write.

    Args:
        uri: The folder itself; folders below it are not searched.
        older_than_s: Age in seconds at which no writer can still be working on one.

    Raises:
        StorageError: The folder cannot be read, or a file not removed.
    """
    store_of(uri).remove_partial_writes(uri, older_than_s)


def filesystem(uri: str) -> tuple[fs.FileSystem, str]:
    """Return a pyarrow filesystem to read tables with, and the path of `uri` in it.

    On S3 it has the endpoint, credentials, retries and errors of this package, pickles, and cannot write.

    Raises:
        StorageError: unsupported, for a scheme other than `s3://` and local files.
    """
    return store_of(uri).filesystem(uri)
