"""S3 as a read-only pyarrow file system, with the retries and errors of this package."""

from typing import Any

import pyarrow as pa
from pyarrow import fs

from pipeline.storage.errors import StorageError
from pipeline.storage.s3_listing import describe, is_prefix, list_objects
from pipeline.storage.s3_ranges import open_object


class S3FileSystemHandler(fs.FileSystemHandler):  # type: ignore[misc]
    """Implements the reads of a pyarrow file system with `S3Store`.

    pyarrow's own S3FileSystem is not used, for three reasons: it fails on throttled requests and broken connections
    instead of retrying, it does not support all sources of credentials and endpoints that boto3 has, and it needs three
    requests for a part file instead of one. Writing is not supported: pyarrow writes a stream, and a stream that an
    exception closes would be committed.
    """

    def __eq__(self, other: object) -> bool:
        return isinstance(other, S3FileSystemHandler)

    def __ne__(self, other: object) -> bool:
        return not isinstance(other, S3FileSystemHandler)

    __hash__ = None  # type: ignore[assignment]

    def get_type_name(self) -> str:
        return "muscaps-s3"

    def normalize_path(self, path: str) -> str:
        return path

    def get_file_info(self, paths: list[str]) -> list[fs.FileInfo]:
        return [self._info(path) for path in paths]

    def _info(self, path: str) -> fs.FileInfo:
        file = describe(f"s3://{path}") if "/" in path.strip("/") else None
        if file is not None:
            return fs.FileInfo(path, fs.FileType.File, size=file.size, mtime=file.modified)
        return fs.FileInfo(path, fs.FileType.Directory if is_prefix(f"s3://{path}") else fs.FileType.NotFound)

    def get_file_info_selector(self, selector: fs.FileSelector) -> list[fs.FileInfo]:
        root = selector.base_dir.rstrip("/")
        files = list(list_objects(f"s3://{root}", ""))
        if not files and not selector.allow_not_found:
            raise FileNotFoundError(f"s3://{root}: no objects below it")
        infos = {}
        for file in files:
            path = file.uri.removeprefix("s3://")
            names = path[len(root) + 1 :].split("/")
            for depth in range(1, len(names)):
                folder = "/".join([root, *names[:depth]])
                infos[folder] = fs.FileInfo(folder, fs.FileType.Directory)
            infos[path] = fs.FileInfo(path, fs.FileType.File, size=file.size, mtime=file.modified)
        return [info for path, info in infos.items() if selector.recursive or "/" not in path[len(root) + 1 :]]

    def open_input_file(self, path: str) -> pa.NativeFile:
        return pa.PythonFile(open_object(f"s3://{path}"), mode="r")

    open_input_stream = open_input_file

    def _raise_unsupported(self, *_arguments: object, **_options: object) -> Any:
        raise StorageError("files are written with pipeline.storage, whole or not at all", "unsupported")

    create_dir = delete_dir = delete_dir_contents = delete_root_dir_contents = delete_file = _raise_unsupported
    move = copy_file = open_output_stream = open_append_stream = _raise_unsupported
