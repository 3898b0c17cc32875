"""Google Cloud Storage (`gs://`) and Azure Blob Storage (`az://`): whole-object PUTs, conditional PUTs of leases.

Conventions: an etag has no quotes. The version that `replace_if_unchanged` takes is the etag and the generation, which
Google compares.
"""

from collections.abc import Iterator
from datetime import UTC
from pathlib import Path
from typing import Any, BinaryIO

from pyarrow import fs

from pipeline.storage.cloud_client import cloud_client, explain
from pipeline.storage.errors import StorageError
from pipeline.storage.object_filesystem import ObjectFileSystemHandler
from pipeline.storage.object_reader import ObjectReader, Range, read_whole
from pipeline.storage.retry import retried
from pipeline.storage.store import OnUnreadable, StoredFile
from pipeline.storage.uris import bucket_and_key, scheme_name

LIST_PAGE = 1_000
"""Objects of one page of a listing."""


class CloudStore:
    """Objects of Google Cloud Storage and Azure Blob Storage."""

    def exists(self, uri: str) -> bool:
        """Return whether there is an object at `uri`, or an object below it."""
        return self.describe(uri) is not None or self.is_folder(uri)

    def describe(self, uri: str) -> StoredFile | None:
        """Return an object's size and etag, or None if there is none."""
        if not bucket_and_key(uri)[1].rstrip("/") or uri.endswith("/"):
            return None
        try:
            return _stored_file(uri, retried(uri, lambda: _head(uri), explain))
        except StorageError as error:
            if error.error_type != "not_found":
                raise
            return None

    def is_folder(self, uri: str) -> bool:
        """Return whether there is an object below `uri`."""
        return next(_list(uri, page=1), None) is not None

    def list_files(
        self, uri: str, suffix: str | tuple[str, ...], on_unreadable: OnUnreadable | None
    ) -> Iterator[StoredFile]:
        """List the objects below `uri/`; `storage.list_files` says which are left out."""
        bucket, folder = bucket_and_key(uri)
        start = len(folder.rstrip("/")) + 1 if folder.strip("/") else 0
        for meta in _list(uri):
            names = meta["path"][start:].split("/")
            if not any(name.startswith(".") for name in names) and meta["path"].endswith(suffix):
                yield _stored_file(f"{scheme_name(uri)}://{bucket}/{meta['path']}", meta)

    def read(self, uri: str, max_bytes: int | None) -> bytes:
        """Read a whole object."""
        return read_whole(uri, _get_range, max_bytes)[0]

    def read_versioned(self, uri: str) -> tuple[bytes, str]:
        """Read a small object, its etag and its generation."""

        def attempt() -> tuple[bytes, str]:
            client, key = cloud_client(uri)
            answer = client.get(key)
            return bytes(answer.bytes()), f"{answer.meta['e_tag']}\n{answer.meta['version'] or ''}"

        return retried(uri, attempt, explain)

    def open(self, uri: str) -> BinaryIO:
        """Open one version of an object."""
        return ObjectReader.opened(uri, _get_range)

    def write(self, uri: str, data: bytes | Path) -> None:
        """Write bytes with one PUT, or a local file of any size in parts; the object appears after the last part."""
        bucket_and_key(uri, need_key=True)
        retried(uri, lambda: _put(uri, data, None), explain)

    def create_exclusively(self, uri: str, data: bytes) -> bool:
        """PUT on the condition that there is no object."""
        return _put_if(uri, data, "create")

    def replace_if_unchanged(self, uri: str, data: bytes, etag: str) -> bool:
        """PUT on the condition that etag and generation are the same."""
        e_tag, _, version = etag.partition("\n")
        return _put_if(uri, data, {"e_tag": e_tag, **({"version": version} if version else {})})

    def delete(self, uri: str) -> None:
        """Remove an object; a missing object is not an error."""
        bucket_and_key(uri, need_key=True)

        def attempt() -> None:
            client, key = cloud_client(uri)
            client.delete(key)

        try:
            retried(uri, attempt, explain)
        except StorageError as error:
            if error.error_type != "not_found":
                raise

    def remove_partial_writes(self, uri: str, older_than_s: float) -> None:
        """Do nothing: an interrupted write is not visible."""

    def filesystem(self, uri: str) -> tuple[fs.FileSystem, str]:
        """Return a pyarrow file system with this store's retries and errors."""
        bucket, key = bucket_and_key(uri)
        return fs.PyFileSystem(ObjectFileSystemHandler(self, scheme_name(uri))), f"{bucket}/{key}"


def _head(uri: str) -> Any:
    client, key = cloud_client(uri)
    return client.head(key)


def _list(uri: str, *, page: int = LIST_PAGE) -> Iterator[Any]:
    """Yield the objects below `uri/`, without folder markers.

    A listing that breaks off begins again after the last name; both stores list in the order of names.
    """
    last, pages = "", None

    def next_page() -> list[Any]:
        nonlocal pages
        client, key = cloud_client(uri)
        stream = pages or iter(client.list(key.rstrip("/") or None, offset=last or None, chunk_size=page))
        pages = None  # an error ends the stream
        metas = list(next(stream, ()))
        pages = stream
        return metas

    while metas := retried(uri, next_page, explain):
        for meta in metas:
            last = meta["path"]
            if not (meta["size"] == 0 and last.endswith(("/", "_$folder$"))):
                yield meta


def _stored_file(uri: str, meta: Any) -> StoredFile:
    etag = (meta["e_tag"] or "").strip('"')
    return StoredFile(uri=uri, size=meta["size"], etag=etag, modified=meta["last_modified"].astimezone(UTC))


def _get_range(uri: str, start: int, length: int, etag: str | None) -> Range:
    bucket_and_key(uri, need_key=True)
    return retried(uri, lambda: _get_range_once(uri, start, length, etag), explain)


def _get_range_once(uri: str, start: int, length: int, etag: str | None) -> Range:
    client, key = cloud_client(uri)
    same = {"if_match": f'"{etag}"'} if etag else {}
    try:
        answer = client.get(key, options={"range": (start, start + length), **same})
        meta, data = answer.meta, bytes(answer.bytes())
    except Exception as error:
        if start or isinstance(error, FileNotFoundError) or (meta := client.head(key))["size"]:
            raise
        data = b""  # an empty object has no first byte
    return Range(
        data=data,
        size=meta["size"],
        etag=(meta["e_tag"] or "").strip('"'),
        modified=meta["last_modified"].astimezone(UTC),
    )


def _put(uri: str, data: bytes | Path, mode: Any) -> None:
    client, key = cloud_client(uri)
    if isinstance(data, Path):
        client.put(key, data)  # in parts if large
    else:
        client.put(key, data, mode=mode, use_multipart=False)


def _put_if(uri: str, data: bytes, mode: Any) -> bool:
    """PUT on a condition; returns whether the object is `data`.

    If the answer to an attempt was lost, the next one finds that the condition does not hold. The object is therefore
    compared with `data`, which differs between callers.
    """
    from obstore.exceptions import AlreadyExistsError, PreconditionError

    bucket_and_key(uri, need_key=True)

    def attempt() -> bool:
        try:
            _put(uri, data, mode)
        except FileNotFoundError as error:
            found = explain(error, uri)
            if mode == "create" or (found is not None and found.error_type == "no_bucket"):
                raise
            return False
        except (AlreadyExistsError, PreconditionError):
            client, key = cloud_client(uri)
            try:
                return bytes(client.get(key).bytes()) == data
            except FileNotFoundError:
                return False
        return True

    return retried(uri, attempt, explain)
