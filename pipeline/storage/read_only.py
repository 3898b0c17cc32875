"""Read-only locations, through smart-open: `http(s)://` and `azure://`."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from pyarrow import fs

from pipeline.storage.errors import StorageError, explain_status
from pipeline.storage.retry import retried
from pipeline.storage.store import OnUnreadable, StoredFile
from pipeline.storage.uris import SCHEMES, redacted, scheme_name

HTTP_TIMEOUT_SECONDS = 60


class ReadOnlyStore:
    """Reads whole files and streams; cannot list or write."""

    def exists(self, uri: str) -> bool:
        """Return whether the file can be opened."""
        try:
            self.open(uri).close()
        except StorageError as error:
            if error.error_type != "not_found":
                raise
            return False
        return True

    def is_folder(self, uri: str) -> bool:
        """Return False: these stores are not listed."""
        return False

    def read(self, uri: str, max_bytes: int | None) -> bytes:
        """Read a whole file."""
        limit = -1 if max_bytes is None else max_bytes + 1

        def read_once() -> bytes:
            with _open(uri) as file:
                return file.read(limit)

        data = retried(uri, read_once, explain)
        if max_bytes is not None and len(data) > max_bytes:
            raise StorageError(f"{redacted(uri)}: more than the {max_bytes:,} bytes allowed", "too_large")
        return data

    def open(self, uri: str) -> BinaryIO:
        """Open a file as a stream."""
        return retried(uri, lambda: _open(uri), explain)

    def list_files(
        self, uri: str, suffix: str | tuple[str, ...], on_unreadable: OnUnreadable | None
    ) -> Iterator[StoredFile]:
        """Raise: unsupported."""
        _raise_unsupported(uri)

    def read_versioned(self, uri: str) -> tuple[bytes, str]:
        """Raise: unsupported."""
        _raise_unsupported(uri)

    def write(self, uri: str, data: bytes | Path) -> None:
        """Raise: unsupported."""
        _raise_unsupported(uri)

    def create_exclusively(self, uri: str, data: bytes) -> bool:
        """Raise: unsupported."""
        _raise_unsupported(uri)

    def replace_if_unchanged(self, uri: str, data: bytes, etag: str) -> bool:
        """Raise: unsupported."""
        _raise_unsupported(uri)

    def delete(self, uri: str) -> None:
        """Raise: unsupported."""
        _raise_unsupported(uri)

    def remove_partial_writes(self, uri: str, older_than_s: float) -> None:
        """Raise: unsupported."""
        _raise_unsupported(uri)

    def filesystem(self, uri: str) -> tuple[fs.FileSystem, str]:
        """Raise: unsupported."""
        _raise_unsupported(uri)


def _raise_unsupported(uri: str) -> NoReturn:
    raise StorageError(
        f"{redacted(uri)}: only s3://, gs://, az:// and local folders are listed and written", "unsupported"
    )


def _open(uri: str) -> BinaryIO:
    import smart_open  # imported here because the import is slow and few runs need it

    name = scheme_name(uri)
    if name not in SCHEMES:
        raise StorageError(f"{redacted(uri)}: {name}:// is not supported", "bad_uri")
    parameters = {"timeout": HTTP_TIMEOUT_SECONDS} if SCHEMES[name].percent_encoded else {}
    file: BinaryIO = smart_open.open(uri, "rb", compression="disable", transport_params=parameters)
    return file


def explain(error: Exception, uri: str) -> StorageError | None:
    """Explain errors of smart-open and the libraries below it. Their texts contain whole URLs and are not quoted."""
    from urllib3.exceptions import HTTPError  # imported here because local work does not need it

    location, scheme = redacted(uri), scheme_name(uri)
    if isinstance(error, HTTPError):
        return StorageError(f"{location}: the connection broke while it was read", "unavailable", True)
    if isinstance(error, ImportError | NotImplementedError):
        return StorageError(
            f"{location}: reading {scheme}:// needs one more package; pip install 'smart-open[{scheme}]'",
            "unsupported",
        )
    answer: Any = getattr(error, "response", None)
    for status in (getattr(answer, "status_code", None), getattr(error, "code", None)):
        if isinstance(status, int):
            return explain_status(status, location)
    if isinstance(error, OSError) and not isinstance(error, ValueError):  # requests' bad URLs are both
        return StorageError(f"{location}: the server does not answer, or the connection broke", "unavailable", True)
    if isinstance(error, ValueError):
        return StorageError(f"{location}: not a valid location", "bad_uri")
    return StorageError(f"{location}: could not be read ({type(error).__name__})", "unavailable")
