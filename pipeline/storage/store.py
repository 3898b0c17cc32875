"""The interface of a store: the operations that outputs, catalogues and leases need."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, Protocol

from pyarrow import fs

from pipeline.storage.errors import StorageError


@dataclass(frozen=True, kw_only=True)
class StoredFile:
    """One file of a listing."""

    uri: str
    """Location, as the functions of `pipeline.storage` accept it."""
    size: int
    """Size in bytes."""
    etag: str
    """Version of the content: S3's ETag without quotes; locally, modification time and size."""
    modified: datetime
    """Time of the last write, UTC."""


OnUnreadable = Callable[[StorageError], None]
"""Called with each part of a folder that cannot be listed."""


class Store(Protocol):
    """One kind of storage; every method takes whole URIs and raises `StorageError`.

    The functions of `pipeline.storage` document each operation.
    """

    def exists(self, uri: str) -> bool:
        """See `pipeline.storage.exists`."""

    def is_folder(self, uri: str) -> bool:
        """See `pipeline.storage.is_folder`."""

    def list_files(
        self, uri: str, suffix: str | tuple[str, ...], on_unreadable: OnUnreadable | None
    ) -> Iterator[StoredFile]:
        """See `pipeline.storage.list_files`."""

    def read(self, uri: str, max_bytes: int | None) -> bytes:
        """See `pipeline.storage.read_bytes`."""

    def read_versioned(self, uri: str) -> tuple[bytes, str]:
        """See `pipeline.storage.read_versioned`."""

    def open(self, uri: str) -> BinaryIO:
        """See `pipeline.storage.open_for_reading`."""

    def write(self, uri: str, data: bytes | Path) -> None:
        """See `pipeline.storage.write_once` (bytes) and `write_file_once` (path of a local file)."""

    def create_exclusively(self, uri: str, data: bytes) -> bool:
        """See `pipeline.storage.create_exclusively`."""

    def replace_if_unchanged(self, uri: str, data: bytes, etag: str) -> bool:
        """See `pipeline.storage.replace_if_unchanged`."""

    def delete(self, uri: str) -> None:
        """See `pipeline.storage.delete`."""

    def remove_partial_writes(self, uri: str, older_than_s: float) -> None:
        """See `pipeline.storage.remove_partial_writes`."""

    def filesystem(self, uri: str) -> tuple[fs.FileSystem, str]:
        """See `pipeline.storage.filesystem`."""
