"""A store in memory whose operations are pure functions of its files, behind the interface of `pipeline.storage.Store`.

Conventions: `Files` never changes; `perform` returns the files after an operation. Contents are named by their digest,
which is also the etag, as for an object of S3. A table is opened at one moment: pyarrow then reads that version, as
`pipeline.storage` guarantees for objects (conditional ranges) and local files (an open file).
"""

import hashlib
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from pyarrow import fs

from pipeline.storage.errors import StorageError
from pipeline.storage.store import StoredFile

SCHEME = "s3"
"""The simulated store takes the place of S3, whose guarantees it has."""
ROOT = f"{SCHEME}://simulated/"
START = datetime(2026, 11, 26, tzinfo=UTC)
"""The time at which every simulation begins."""
WRITES = frozenset({"write", "create", "replace", "delete"})
"""Operations that change the store."""


class Contents:
    """Every content ever written, by digest; also as files on disk, from which pyarrow reads tables."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="muscaps-simulation-")
        self._bytes: dict[str, bytes] = {}

    def add(self, data: bytes) -> str:
        """Keep a content; return its digest."""
        digest = hashlib.md5(data, usedforsecurity=False).hexdigest()
        if digest not in self._bytes:
            self._bytes[digest] = data
            Path(self.path(digest)).write_bytes(data)
        return digest

    def __getitem__(self, digest: str) -> bytes:
        return self._bytes[digest]

    def path(self, digest: str) -> str:
        """Return the path of the file with a content."""
        return f"{self._folder.name}/{digest}"


@dataclass(frozen=True, slots=True)
class Operation:
    """One request to the store."""

    kind: str
    """read, exists, list, table, write, create, replace or delete."""
    name: str
    """Location without the scheme; a prefix for list."""
    content: str = ""
    """Digest of the content to be written."""
    etag: str = ""
    """Expected version, for replace; the name after which a listing continues, for list."""

    def __str__(self) -> str:
        return f"{self.kind} {self.name.partition('/')[2]}"


class Files:
    """The files of a store at one moment: name -> (digest, seconds since `START` of the last write)."""

    __slots__ = ("entries", "key")

    def __init__(self, entries: Mapping[str, tuple[str, float]]) -> None:
        self.entries = entries
        self.key = frozenset(entries.items())


def perform(files: Files, operation: Operation, time: float, *, page: int, repeated: bool = False) -> tuple[Files, Any]:
    """Execute an operation.

    Args:
        files: The files before.
        operation: The request.
        time: Seconds since `START`.
        page: Number of files in one answer of a listing.
        repeated: Whether the client repeats a request whose answer it did not get: `pipeline.storage.s3` then compares
            the content after a failed condition.

    Returns:
        The files after, and the answer, which is hashable.
    """
    kind, name, entries = operation.kind, operation.name, files.entries
    if kind in ("read", "table"):
        return files, entries[name][0] if name in entries else None
    if kind == "exists":
        return files, name in entries or any(other.startswith(f"{name}/") for other in entries)
    if kind == "list":
        names = sorted(other for other in entries if other.startswith(f"{name}/") and other > operation.etag)
        return files, tuple((other, *entries[other]) for other in names[: page + 1])
    if kind == "delete":
        return (Files({k: v for k, v in entries.items() if k != name}) if name in entries else files), None
    present = entries.get(name, ("", 0.0))[0]
    allowed = kind == "write" or (not present if kind == "create" else present != "" and present == operation.etag)
    if not allowed:
        return files, repeated and present == operation.content
    return Files({**entries, name: (operation.content, time)}), True


class SimulatedStore:
    """Turns calls of `pipeline.storage` into operations and asks somebody else for the answers."""

    def __init__(self, contents: Contents, ask: Callable[[Operation], Any], page: int) -> None:
        self._contents, self._ask, self._page = contents, ask, page

    def exists(self, uri: str) -> bool:
        return bool(self._ask(Operation("exists", _name(uri))))

    def is_folder(self, uri: str) -> bool:
        return self.exists(uri)

    def list_files(self, uri: str, suffix: str | tuple[str, ...], on_unreadable: Any) -> Iterator[StoredFile]:
        last = ""
        while True:
            found = self._ask(Operation("list", _name(uri).rstrip("/"), etag=last))
            for name, digest, time in found[: self._page]:
                if name.endswith(suffix):
                    modified = START + timedelta(seconds=time)
                    size = len(self._contents[digest])
                    yield StoredFile(uri=ROOT + name, size=size, etag=digest, modified=modified)
            if len(found) <= self._page:
                return
            last = found[self._page - 1][0]

    def read(self, uri: str, max_bytes: int | None) -> bytes:
        return self.read_versioned(uri)[0]

    def read_versioned(self, uri: str) -> tuple[bytes, str]:
        digest = self._ask(Operation("read", _name(uri)))
        if digest is None:
            raise StorageError(f"{uri}: there is no such file", "not_found")
        return self._contents[digest], digest

    def open(self, uri: str) -> Any:
        raise StorageError(f"{uri}: is not opened in simulations", "unsupported")

    def write(self, uri: str, data: bytes | Path) -> None:
        content = data.read_bytes() if isinstance(data, Path) else data
        self._ask(Operation("write", _name(uri), self._contents.add(content)))

    def create_exclusively(self, uri: str, data: bytes) -> bool:
        return bool(self._ask(Operation("create", _name(uri), self._contents.add(data))))

    def replace_if_unchanged(self, uri: str, data: bytes, etag: str) -> bool:
        return bool(self._ask(Operation("replace", _name(uri), self._contents.add(data), etag)))

    def delete(self, uri: str) -> None:
        self._ask(Operation("delete", _name(uri)))

    def remove_partial_writes(self, uri: str, older_than_s: float) -> None:
        """Do nothing: a write is one operation here."""

    def filesystem(self, uri: str) -> tuple[fs.FileSystem, str]:
        digest = self._ask(Operation("table", _name(uri)))
        if digest is None:
            raise StorageError(f"{uri}: there is no such file", "not_found")
        return fs.LocalFileSystem(), self._contents.path(digest)


def _name(uri: str) -> str:
    return uri.removeprefix(ROOT)
