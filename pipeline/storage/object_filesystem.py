"""An object store as a read-only pyarrow file system, with the retries and errors of this package."""

from typing import Any, Protocol

import pyarrow as pa
from pyarrow import fs

from pipeline.storage.errors import StorageError
from pipeline.storage.store import Store, StoredFile


class ObjectStore(Store, Protocol):
    """A store whose folders are prefixes of names."""

    def describe(self, uri: str) -> StoredFile | None:
        """Return an object's size and etag, or None if there is none."""


class ObjectFileSystemHandler(fs.FileSystemHandler):  # type: ignore[misc]
    """Implements the reads of a pyarrow file system with an object store.

    pyarrow's own S3FileSystem is not used, for three reasons: it fails on throttled requests and broken connections
    instead of retrying, it does not support all sources of credentials and endpoints that boto3 has, and it needs three
    requests for a part file instead of one. Writing is not supported: pyarrow writes a stream, and a stream that an
    exception closes would be committed.
    """

    def __init__(self, store: ObjectStore, scheme: str) -> None:
        """Read objects whose URIs start with `scheme://`; the store can be pickled."""
        self._store, self._scheme = store, scheme

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ObjectFileSystemHandler) and other._scheme == self._scheme

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = None  # type: ignore[assignment]

    def get_type_name(self) -> str:
        return f"muscaps-{self._scheme}"

    def normalize_path(self, path: str) -> str:
        return path

    def get_file_info(self, paths: list[str]) -> list[fs.FileInfo]:
        return [self._info(path) for path in paths]

    def _uri(self, path: str) -> str:
        return f"{self._scheme}://{path}"

    def _info(self, path: str) -> fs.FileInfo:
        file = self._store.describe(self._uri(path)) if "/" in path.strip("/") else None
        if file is not None:
            return fs.FileInfo(path, fs.FileType.File, size=file.size, mtime=file.modified)
        return fs.FileInfo(
            path, fs.FileType.Directory if self._store.is_folder(self._uri(path)) else fs.FileType.NotFound
        )

    def get_file_info_selector(self, selector: fs.FileSelector) -> list[fs.FileInfo]:
        root = selector.base_dir.rstrip("/")
        files = list(self._store.list_files(self._uri(root), "", None))
        if not files and not selector.allow_not_found:
            raise FileNotFoundError(f"{self._uri(root)}: no objects below it")
        infos = {}
        for file in files:
            path = file.uri.removeprefix(self._uri(""))
            names = path[len(root) + 1 :].split("/")
            for depth in range(1, len(names)):
                folder = "/".join([root, *names[:depth]])
                infos[folder] = fs.FileInfo(folder, fs.FileType.Directory)
            infos[path] = fs.FileInfo(path, fs.FileType.File, size=file.size, mtime=file.modified)
        return [info for path, info in infos.items() if selector.recursive or "/" not in path[len(root) + 1 :]]

    def open_input_file(self, path: str) -> pa.NativeFile:
        return pa.PythonFile(self._store.open(self._uri(path)), mode="r")

    open_input_stream = open_input_file

    def _raise_unsupported(self, *_arguments: object, **_options: object) -> Any:
        raise StorageError("files are written with pipeline.storage, whole or not at all", "unsupported")

    create_dir = delete_dir = delete_dir_contents = delete_root_dir_contents = delete_file = _raise_unsupported
    move = copy_file = open_output_stream = open_append_stream = _raise_unsupported
