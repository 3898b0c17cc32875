"""What a store offers: the few operations that outputs, catalogues and leases are made of."""

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
    """Where it is; the same text that every function of `pipeline.storage` takes."""
    size: int
    """In bytes."""
    etag: str
    """Changes when the file does: S3's ETag without quotes, locally modification time and size."""
    modified: datetime
    """When it was last written, UTC."""


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
        """See `pipeline.storage.write_once`; a path is a file of this machine to copy."""

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
