"""A file that appears whole or not at all, local or in a bucket."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline import storage


@contextmanager
def atomic_file(uri: str) -> Iterator[Path]:
    """Give a local path to write to; it becomes `uri` when the block ends without an error, else it is removed."""
    remote = storage.is_remote(uri)
    target = None if remote else Path(storage.absolute(uri))
    if target is not None:
        target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=".export-", suffix=".part", dir=None if target is None else target.parent)
    os.close(handle)
    path = Path(name)
    try:
        yield path
        if target is not None:
            path.chmod(created_file_mode())
            with path.open("rb") as written:
                os.fsync(written.fileno())
            path.replace(target)
        else:
            storage.write_file_once(uri, path)
    finally:
        path.unlink(missing_ok=True)


def created_file_mode() -> int:
    """Return the permissions of a file created by this process."""
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask
