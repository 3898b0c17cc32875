"""S3 or local disk by URI: list, read, write whole objects, and the conditional writes leases are made of.

Conventions:

- A location is a plain local path, `file://`, `s3://bucket/key` (or `s3a://`), or, for reading only,
  `http(s)://`, `gs://` and `azure://`, through smart-open. Only `scheme://` is a scheme, so a file may be
  called `Requiem: Kyrie.mp3`.
- S3 keys and local paths are literal: `#`, `?`, `%`, `+` and spaces mean themselves. `file://` and `http(s)://`
  are URLs and percent-encoded.
- Endpoint, region and credentials of S3 come from the standard AWS chain (`AWS_ENDPOINT_URL_S3`,
  `AWS_ENDPOINT_URL`, profiles, instance roles). Clients are made on first use, once per process and
  environment, and live in `pipeline.storage.s3`, so nothing here keeps a caller from being pickled.
- Everything that fails raises `StorageError`, whose text is for a catalogue editor and never holds a key, a
  password or a signed query string. Trouble that passes (throttling, 5xx, cut connections) is retried with
  growing random pauses for `retry_seconds()` before it is raised.
- A write is whole or not there: one PUT, or locally a hidden temporary file, fsync and `os.replace`.
"""

import contextlib
import errno
import hashlib
import os
import posixpath
import shutil
import time
import urllib.parse
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from pyarrow import fs

from pipeline.storage import s3
from pipeline.storage.s3 import StoredFile
from pipeline.storage.storage_errors import (
    S3_SCHEMES,
    StorageError,
    public_uri,
    redacted,
    reported,
    retried,
    retry_seconds,
    scheme_of,
)

__all__ = [
    "StorageError",
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
    "write_file_once",
    "write_once",
]

_READ_ONLY_SCHEMES = ("http", "https", "gs", "azure")


def is_remote(uri: str) -> bool:
    """Tell whether `uri` is anything but a file of this machine."""
    return scheme_of(uri) not in ("", "file")


def join(uri: str, *names: str) -> str:
    """Return the location of `names` below the folder `uri`; `names` are literal and may hold slashes."""
    below = "/".join(names)
    if scheme_of(uri) in ("file", "http", "https"):
        below = urllib.parse.quote(below)
    return uri + below if uri.endswith("/") else f"{uri}/{below}"


def resolve(uri: str, base: str, *, allow_local: bool = False) -> str:
    """Return the location a catalogue means by `uri`.

    A relative `uri` counts from the catalogue's folder. A local catalogue may use `..` and absolute paths
    freely: whoever wrote it can read those files anyway. A remote catalogue may come from anyone, so it may
    use `..` only within its bucket or host, and files of this machine only with `allow_local`.

    Args:
        uri: What the catalogue says: `piano/take 1.mp3`, `../audio/x.flac`, `s3://bucket/key`, `/x.wav`.
        base: The catalogue file itself; end it with a slash where it is a folder.
        allow_local: Whether a remote catalogue may name files of this machine.

    Returns:
        An absolute location.

    Raises:
        StorageError: bad_uri, for an empty or malformed `uri`, an unknown scheme, a file of this machine in a
            remote catalogue, or a `..` that leaves its bucket or host.
    """
    if not uri.strip() or "\0" in uri:
        raise StorageError("the uri is empty or holds a NUL character", "bad_uri")
    scheme = scheme_of(uri)
    if scheme in S3_SCHEMES:
        s3.bucket_and_key(uri)
        return uri
    if scheme in _READ_ONLY_SCHEMES:
        return uri
    if scheme not in ("", "file"):
        known = ", ".join(f"{name}://" for name in (*S3_SCHEMES[:1], *_READ_ONLY_SCHEMES, "file"))
        raise StorageError(f"{redacted(uri)}: {scheme}:// is not read; use {known} or a path", "bad_uri")
    remote = is_remote(base)
    if scheme == "file" or uri.startswith("/"):
        if remote and not allow_local:
            raise StorageError(
                f"{uri}: a file of this machine, named by the remote catalogue {redacted(base)}, is not "
                "read; copy it to the bucket or allow local files",
                "bad_uri",
            )
        return str(_local_path(uri))
    if not remote:
        catalogue = _local_path(base)
        return os.path.abspath(os.path.join(catalogue if base.endswith("/") else catalogue.parent, uri))
    if scheme_of(base) in ("http", "https"):
        url = urllib.parse.urlsplit(base)
        path = "/" + _climb(posixpath.dirname(url.path).strip("/"), urllib.parse.quote(uri, safe="/%"), uri)
        return urllib.parse.urlunsplit((url.scheme, url.netloc, path, "", ""))
    scheme, bucket = scheme_of(base), base[len(scheme_of(base)) + 3 :].partition("/")[0]
    folder = posixpath.dirname(base[len(scheme) + 3 + len(bucket) + 1 :])
    return f"{scheme}://{bucket}/{_climb(folder, uri, uri)}"


def exists(uri: str) -> bool:
    """Tell whether there is a file at `uri`, or a folder (S3: a prefix with something below it).

    Raises:
        StorageError: It cannot be known: no such bucket, no permission, no answer.
    """
    if scheme_of(uri) in _READ_ONLY_SCHEMES:
        try:
            open_for_reading(uri).close()
        except StorageError as error:
            if error.error_type != "not_found":
                raise
            return False
        return True
    if scheme_of(uri) not in S3_SCHEMES:
        with reported(uri):
            return _local_path(uri).exists()
    key = s3.bucket_and_key(uri)[1]
    is_file = bool(key) and not key.endswith("/") and s3.describe(uri) is not None
    return is_file or s3.is_prefix(uri)


def is_folder(uri: str) -> bool:
    """Tell whether `uri` is a local folder, or an S3 prefix with something below it.

    Raises:
        StorageError: It cannot be known: no such bucket, no permission, no answer.
    """
    if scheme_of(uri) in _READ_ONLY_SCHEMES:
        return False
    if scheme_of(uri) not in S3_SCHEMES:
        with reported(uri):
            return _local_path(uri).is_dir()
    return s3.is_prefix(uri)


def list_files(uri: str, suffix: str | tuple[str, ...] = "") -> Iterator[StoredFile]:
    """List the files below the folder or prefix `uri`, at any depth, in the order of their paths' bytes.

    Left out: everything whose name starts with a dot, at any level (temporary files of writes in progress
    among it), and the zero-byte objects some tools leave to mark a folder. A folder that does not exist is
    empty, as S3 knows no difference; symbolic links are followed, each folder once.

    Args:
        uri: A local folder, `file://` or `s3://`.
        suffix: Only names ending in this, or in one of these.

    Yields:
        One StoredFile each, while S3 is still being asked for the next thousand.

    Raises:
        StorageError: The bucket is missing, the folder may not be read, or the scheme cannot be listed.
    """
    if scheme_of(uri) in S3_SCHEMES:
        yield from s3.list_objects(uri, suffix)
    else:
        yield from _list_local(uri, suffix)


def read_bytes(uri: str, *, max_bytes: int | None = None) -> bytes:
    """Read a whole file; a large S3 object in parallel ranges of one version of it.

    Args:
        uri: Any location that can be read.
        max_bytes: Refuse a larger file before it is fetched, or as soon as its size shows.

    Raises:
        StorageError: too_large, or whatever kept it from being read.
    """
    if scheme_of(uri) in S3_SCHEMES:
        return s3.read(uri, max_bytes)[0]
    limit = -1 if max_bytes is None else max_bytes + 1

    def read() -> bytes:
        with _open_elsewhere(uri) as file:
            return file.read(limit)

    data = retried(uri, read)
    if max_bytes is not None and len(data) > max_bytes:
        raise StorageError(f"{redacted(uri)}: more than the {max_bytes:,} bytes allowed", "too_large")
    return data


def read_versioned(uri: str) -> tuple[bytes, str]:
    """Read a small object together with the etag `replace_if_unchanged` wants.

    Raises:
        StorageError: It could not be read.
    """
    if scheme_of(uri) in S3_SCHEMES:
        return s3.read(uri)
    data = read_bytes(uri)
    return data, _digest(data)


def open_for_reading(uri: str) -> BinaryIO:
    """Open a file, seekable and buffered; an S3 object is fetched in ranges as it is read, in bounded memory.

    Raises:
        StorageError: It cannot be opened; later, from `read`: it became unreachable, or changed meanwhile.
    """
    if scheme_of(uri) in S3_SCHEMES:
        return s3.open_object(uri)
    return retried(uri, lambda: _open_elsewhere(uri))


def write_once(uri: str, data: bytes) -> None:
    """Write a file so that readers see all of it or none; whatever was there is replaced.

    Locally, folders are made as needed and the bytes are on disk when this returns.

    Raises:
        StorageError: It could not be written; nothing partial is visible.
    """
    if _is_s3_for_writing(uri):
        s3.put(uri, data)
        return
    path = _local_path(uri)
    with reported(uri), _temporary(path, data) as temporary:
        os.replace(temporary, path)
        _sync_folder(path.parent)


def write_file_once(uri: str, source: str | Path) -> None:
    """Write the file `source` of this machine as `write_once` writes bytes; for what does not fit in memory.

    Raises:
        StorageError: It could not be written; nothing partial is visible.
    """
    if _is_s3_for_writing(uri):
        s3.upload(uri, str(source))
        return
    path = _local_path(uri)
    with reported(uri), _temporary(path, Path(source)) as temporary:
        os.replace(temporary, path)
        _sync_folder(path.parent)


def create_exclusively(uri: str, data: bytes) -> bool:
    """Write a file only if there is none; of several callers exactly one wins.

    Args:
        uri: An S3 object (`If-None-Match: *`) or a local file.
        data: Must say whose it is: if the store's answer is lost, the winner is told by what is there.

    Returns:
        Whether this call made the file.

    Raises:
        StorageError: It could not be written; unsupported where the store refuses conditional writes.
    """
    if _is_s3_for_writing(uri):
        return s3.put_if(uri, data, {"IfNoneMatch": "*"})
    path = _local_path(uri)
    with reported(uri), _temporary(path, data) as temporary, _locked(path):
        try:
            os.link(temporary, path)
        except FileExistsError:
            return False
        except OSError as error:
            if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.EMLINK):
                raise
            # No hard links here (exFAT, some network drives); the lock still keeps our own callers apart.
            if path.exists():
                return False
            os.replace(temporary, path)
        _sync_folder(path.parent)
    return True


def replace_if_unchanged(uri: str, data: bytes, etag: str) -> bool:
    """Replace a small file only if it still is the version read; of several callers exactly one wins.

    Args:
        uri: An S3 object (`If-Match`) or a local file.
        data: Must say whose it is, as for `create_exclusively`, and differ from what it replaces.
        etag: From `read_versioned`.

    Returns:
        Whether this call replaced it; False as well where the file is gone.

    Raises:
        StorageError: It could not be written; unsupported where the store refuses conditional writes.
    """
    if _is_s3_for_writing(uri):
        return s3.put_if(uri, data, {"IfMatch": f'"{etag}"'})
    path = _local_path(uri)
    with reported(uri), _temporary(path, data) as temporary, _locked(path):
        try:
            if _digest(path.read_bytes()) != etag:
                return False
        except FileNotFoundError:
            return False
        os.replace(temporary, path)
        _sync_folder(path.parent)
    return True


def delete(uri: str) -> None:
    """Remove a file; one that is not there is no error.

    Raises:
        StorageError: It could not be removed.
    """
    if _is_s3_for_writing(uri):
        s3.delete(uri)
        return
    with reported(uri):
        _local_path(uri).unlink(missing_ok=True)


def remove_partial_writes(uri: str, *, older_than_s: float) -> None:
    """Remove the hidden files that killed writers left in a local folder; S3 shows nothing of such a write.

    Args:
        uri: The folder, itself and not what is below it.
        older_than_s: Age in seconds at which no living writer can still be at work on one.

    Raises:
        StorageError: The folder cannot be read, or a file not removed.
    """
    if _is_s3_for_writing(uri):
        return
    with reported(uri):
        for path in _local_path(uri).glob(".*.part"):
            with contextlib.suppress(FileNotFoundError):  # its writer lives and is done
                if time.time() - path.stat().st_mtime > older_than_s:
                    path.unlink()


def filesystem(uri: str) -> tuple[fs.FileSystem, str]:
    """Return a pyarrow filesystem to read tables with, and the path of `uri` in it.

    On S3 it has the endpoint, credentials, retries and errors of this module, pickles, and cannot write.

    Raises:
        StorageError: unsupported, for a scheme other than `s3://` and local files.
    """
    if scheme_of(uri) in S3_SCHEMES:
        bucket, key = s3.bucket_and_key(uri)
        return fs.PyFileSystem(s3.ArrowFiles()), f"{bucket}/{key}"
    return fs.LocalFileSystem(), os.path.abspath(_local_path(uri))


def _local_path(uri: str) -> Path:
    scheme = scheme_of(uri)
    if scheme == "file":
        host, _, path = uri[len("file://") :].partition("/")
        if host not in ("", "localhost"):
            raise StorageError(f"{uri}: a file:// URI of another machine; write file:///path", "bad_uri")
        return Path(os.fsdecode(urllib.parse.unquote_to_bytes(f"/{path}")))
    if scheme:
        raise StorageError(f"{redacted(uri)}: only s3:// and local folders are listed and written", "unsupported")
    return Path(uri)


def _is_s3_for_writing(uri: str) -> bool:
    if scheme_of(uri) in S3_SCHEMES:
        return True
    _local_path(uri)  # raises for what can only be read
    return False


def _climb(folder: str, relative: str, shown: str) -> str:
    """Apply `relative` to `folder`; S3 keys may hold empty names, so only `.` and `..` are resolved."""
    if not {".", ".."} & set(relative.split("/")):
        return f"{folder}/{relative}" if folder else relative
    names = folder.split("/") if folder else []
    for name in relative.split("/"):
        if name == "..":
            if not names:
                raise StorageError(f"{shown}: climbs out of the catalogue's bucket or host", "bad_uri")
            names.pop()
        elif name != ".":
            names.append(name)
    return "/".join(names)


def _open_elsewhere(uri: str) -> BinaryIO:
    if not is_remote(uri):
        return open(_local_path(uri), "rb")
    import smart_open

    if scheme_of(uri) not in _READ_ONLY_SCHEMES:
        raise StorageError(f"{redacted(uri)}: {scheme_of(uri)}:// is not read", "bad_uri")
    parameters = {"timeout": 60} if scheme_of(uri) in ("http", "https") else {}
    file: BinaryIO = smart_open.open(uri, "rb", compression="disable", transport_params=parameters)
    return file


def _list_local(uri: str, suffix: str | tuple[str, ...]) -> Iterator[StoredFile]:
    seen: set[tuple[int, int]] = set()

    def walk(folder: Path) -> Iterator[StoredFile]:
        status = folder.stat()
        if (status.st_dev, status.st_ino) in seen:
            return
        seen.add((status.st_dev, status.st_ino))
        entries = [(entry, entry.is_dir()) for entry in os.scandir(folder) if not entry.name.startswith(".")]
        # A folder sorts with its slash, as S3 sorts whole keys.
        for entry, folder_below in sorted(entries, key=lambda pair: os.fsencode(pair[0].name + "/" * pair[1])):
            if folder_below:
                yield from walk(Path(entry.path))
            elif entry.name.endswith(suffix) and entry.is_file():
                with contextlib.suppress(FileNotFoundError):  # deleted since
                    yield _stored(entry.path, entry.stat(), as_url=scheme_of(uri) == "file")

    with reported(uri):
        root = _local_path(uri)
        if root.is_dir():
            yield from walk(root)


def _stored(path: str, status: os.stat_result, *, as_url: bool) -> StoredFile:
    try:
        path.encode()
    except UnicodeEncodeError:
        as_url = True  # a name that is not UTF-8 fits into no table; percent-encoded it does
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
    """Give a synced, hidden file with `data`, or a copy of that file, beside `path`; removed if left there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.parent / f".{uuid.uuid4().hex}.part"
    try:
        # "x" rather than tempfile: the file must get the user's umask, not 0600, since it becomes the result.
        with open(temporary, "xb") as file:
            if isinstance(data, Path):
                with data.open("rb") as source:
                    shutil.copyfileobj(source, file, 2**23)
            else:
                file.write(data)
            file.flush()
            os.fsync(file.fileno())
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the folder's hidden lock file, so that compare and replace are one step among our processes."""
    import fcntl

    with open(path.parent / ".muscaps.lock", "ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _sync_folder(folder: Path) -> None:
    """Make a rename survive a power cut, where the file system lets a folder be synced."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
