"""Local disk: a write is a hidden temporary file, fsync and `os.replace`, so that readers see all of it or none."""

import contextlib
import errno
import hashlib
import os
import shutil
import time
import urllib.parse
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from pyarrow import fs

from pipeline.storage.errors import StorageError
from pipeline.storage.retry import retried
from pipeline.storage.store import OnUnreadable, StoredFile
from pipeline.storage.uris import local_path, scheme_of

COPY_BYTES = 8 * 2**20
"""Bytes of a large file that are copied at a time."""


class LocalStore:
    """Files of this machine and of network drives mounted on it."""

    def exists(self, uri: str) -> bool:
        """Check for a file or folder."""
        with _explained(uri):
            return local_path(uri).exists()

    def is_folder(self, uri: str) -> bool:
        """Check for a folder."""
        with _explained(uri):
            return local_path(uri).is_dir()

    def list_files(
        self, uri: str, suffix: str | tuple[str, ...], on_unreadable: OnUnreadable | None
    ) -> Iterator[StoredFile]:
        """List files at any depth in the order of S3; symbolic links are followed, each folder once."""
        with _explained(uri):
            root = local_path(uri)
            if root.is_dir():
                yield from _Walk(suffix, on_unreadable, as_url=scheme_of(uri).percent_encoded).below(root)

    def read(self, uri: str, max_bytes: int | None) -> bytes:
        """Read a whole file."""
        limit = -1 if max_bytes is None else max_bytes + 1

        def read_once() -> bytes:
            with open(local_path(uri), "rb") as file:
                return file.read(limit)

        data = retried(uri, read_once, explain)
        if max_bytes is not None and len(data) > max_bytes:
            raise StorageError(f"{uri}: more than the {max_bytes:,} bytes allowed", "too_large")
        return data

    def read_versioned(self, uri: str) -> tuple[bytes, str]:
        """Read a small file and its digest."""
        data = self.read(uri, None)
        return data, _digest(data)

    def open(self, uri: str) -> BinaryIO:
        """Open a file."""
        return retried(uri, lambda: open(local_path(uri), "rb"), explain)

    def write(self, uri: str, data: bytes | Path) -> None:
        """Replace a file; the bytes are on disk on return."""
        path = local_path(uri)
        with _explained(uri), _temporary(path, data) as temporary:
            os.replace(temporary, path)
            _sync_folder(path.parent)

    def create_exclusively(self, uri: str, data: bytes) -> bool:
        """Create a file by a hard link, which fails if the name exists."""
        path = local_path(uri)
        with _explained(uri), _temporary(path, data) as temporary, _locked(path):
            try:
                os.link(temporary, path)
            except FileExistsError:
                return False
            except OSError as error:
                if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.EMLINK):
                    raise
                # No hard links here (exFAT, some network drives); the lock still excludes other muscaps processes.
                if path.exists():
                    return False
                os.replace(temporary, path)
            _sync_folder(path.parent)
        return True

    def replace_if_unchanged(self, uri: str, data: bytes, etag: str) -> bool:
        """Compare and replace under the folder's lock."""
        path = local_path(uri)
        with _explained(uri), _temporary(path, data) as temporary, _locked(path):
            try:
                if _digest(path.read_bytes()) != etag:
                    return False
            except FileNotFoundError:
                return False
            os.replace(temporary, path)
            _sync_folder(path.parent)
        return True

    def delete(self, uri: str) -> None:
        """Remove a file if there is one."""
        with _explained(uri):
            local_path(uri).unlink(missing_ok=True)

    def remove_partial_writes(self, uri: str, older_than_s: float) -> None:
        """Remove old temporary files of a folder."""
        with _explained(uri):
            for path in local_path(uri).glob(".*.part"):
                with contextlib.suppress(FileNotFoundError):  # its writer has finished meanwhile
                    if time.time() - path.stat().st_mtime > older_than_s:
                        path.unlink()

    def filesystem(self, uri: str) -> tuple[fs.FileSystem, str]:
        """Return pyarrow's local file system."""
        return fs.LocalFileSystem(), os.path.abspath(local_path(uri))


def explain(error: Exception, uri: str) -> StorageError | None:
    """Explain an error of the operating system; None for other exceptions."""
    if isinstance(error, ValueError):
        return StorageError(f"{uri!r}: not a valid path", "bad_uri")
    if not isinstance(error, OSError):
        return None
    number = error.errno
    if number in (errno.ENOENT, errno.ENOTDIR):
        return StorageError(f"{uri}: there is no such file", "not_found")
    if number in (errno.EACCES, errno.EPERM, errno.EROFS):
        return StorageError(f"{uri}: access denied; check the file's permissions", "forbidden")
    if number == errno.EISDIR:
        return StorageError(f"{uri}: a folder, not a file", "bad_uri")
    if number in (errno.ENOSPC, errno.EDQUOT):
        return StorageError(f"{uri}: no space left on the disk", "no_space")
    if number in (errno.ENAMETOOLONG, errno.ELOOP, errno.EINVAL):
        return StorageError(f"{uri}: not a valid path ({os.strerror(number)})", "bad_uri")
    reason = os.strerror(number) if number else type(error).__name__
    return StorageError(f"{uri}: {reason}", "unavailable", True)


@contextlib.contextmanager
def _explained(uri: str) -> Iterator[None]:
    """Convert exceptions about a local file to a StorageError."""
    try:
        yield
    except StorageError:
        raise
    except (OSError, ValueError) as error:
        raise explain(error, uri) or error from error


class _Walk:
    """A walk through a folder and all below it."""

    def __init__(self, suffix: str | tuple[str, ...], on_unreadable: OnUnreadable | None, *, as_url: bool) -> None:
        self._suffix, self._on_unreadable, self._as_url = suffix, on_unreadable, as_url
        self._visited: set[tuple[int, int]] = set()

    def below(self, folder: Path) -> Iterator[StoredFile]:
        """Yield the files below a folder, unless it was visited before."""
        status = folder.stat()
        if (status.st_dev, status.st_ino) in self._visited:
            if self._on_unreadable is not None:
                self._on_unreadable(StorageError(f"{folder}: a link to a folder that is listed already", "loop"))
            return
        self._visited.add((status.st_dev, status.st_ino))
        entries = [(entry, self._is_folder(entry)) for entry in os.scandir(folder) if not entry.name.startswith(".")]
        # A folder sorts with its slash, as S3 sorts whole keys.
        for entry, is_folder in sorted(entries, key=lambda pair: os.fsencode(pair[0].name + "/" * bool(pair[1]))):
            if is_folder:
                try:
                    yield from self.below(Path(entry.path))
                except OSError as error:
                    self._report(error, entry.path)
            elif is_folder is not None and entry.name.endswith(self._suffix):
                yield from self._file(entry)

    def _is_folder(self, entry: "os.DirEntry[str]") -> bool | None:
        """Whether an entry is a folder; None for a link that leads to itself."""
        try:
            return entry.is_dir()
        except OSError as error:
            self._report(error, entry.path)
            return None

    def _file(self, entry: "os.DirEntry[str]") -> Iterator[StoredFile]:
        try:
            if entry.is_file():
                yield _stored(entry.path, entry.stat(), as_url=self._as_url)
            elif entry.is_symlink() and self._on_unreadable is not None:
                self._on_unreadable(StorageError(f"{entry.path}: a link to a file that is not there", "not_found"))
        except FileNotFoundError:  # deleted since
            pass

    def _report(self, error: OSError, path: str) -> None:
        if self._on_unreadable is None or (isinstance(error, StorageError)):
            raise error
        self._on_unreadable(explain(error, path) or StorageError(f"{path}: {error}"))


def _stored(path: str, status: os.stat_result, *, as_url: bool) -> StoredFile:
    try:
        path.encode()
    except UnicodeEncodeError:
        as_url = True  # tables hold UTF-8 only, so that any other name must be percent-encoded
    if as_url:
        path = "file://" + urllib.parse.quote(os.fsencode(os.path.abspath(path)))
    return StoredFile(
        uri=path,
        size=status.st_size,
        etag=f"{status.st_mtime_ns:x}-{status.st_size:x}",
        modified=datetime.fromtimestamp(status.st_mtime, UTC),
    )


def _digest(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


@contextlib.contextmanager
def _temporary(path: Path, data: bytes | Path) -> Iterator[Path]:
    """Provide a hidden, synced file with `data` (bytes, or a file to copy) beside `path`; removed afterwards."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.parent / f".{uuid.uuid4().hex}.part"
    try:
        # "x" instead of tempfile: the file becomes the result and must have the permissions of the umask, not 0600.
        with open(temporary, "xb") as file:
            if isinstance(data, Path):
                with data.open("rb") as source:
                    shutil.copyfileobj(source, file, COPY_BYTES)
            else:
                file.write(data)
            file.flush()
            os.fsync(file.fileno())
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Lock the folder's hidden lock file, so that compare and replace are atomic among muscaps processes."""
    import fcntl  # imported here because Windows lacks it

    with open(path.parent / ".muscaps.lock", "ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _sync_folder(folder: Path) -> None:
    """Sync a folder, so that a rename survives a power failure; do nothing if the file system cannot."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
