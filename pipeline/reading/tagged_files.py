"""Tagged copies and tagged originals, each written beside its place and then put there as a whole.

Conventions: a file that has the comment already is left alone. An original keeps its owner, permissions, extended
attributes and times; a symbolic link to it stays a link. A file with several hard links is refused, because a new file
would leave the other names with the old content.
"""

import filecmp
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline import storage
from pipeline.reading.atomic_file import created_file_mode
from pipeline.reading.comment_tags import Comment, write_tagged


def write_tagged_copy(uri: str, target: Path, comment: Comment) -> None:
    """Write a tagged copy of an audio file.

    Raises:
        ValueError: The copy would replace the original, or the file cannot be tagged safely.
        OSError: A file cannot be read or written.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    if not storage.is_remote(uri):
        source = Path(storage.absolute(uri))
        if target.exists() and target.samefile(source):
            raise ValueError(f"the copy would replace the original {target}: choose another folder")
        _write_copy(source, target, comment)
        return
    with _temporary(target) as source:
        with storage.open_for_reading(uri) as stream, source.open("wb") as sink:
            shutil.copyfileobj(stream, sink, 8 << 20)
        _write_copy(source, target, comment)


def tag_original(uri: str, comment: Comment) -> Path:
    """Tag an audio file in its place; return its path.

    Raises:
        ValueError: The file is remote, read-only, has several hard links or cannot be tagged safely.
        OSError: It cannot be read or written, or its owner cannot be kept.
    """
    if storage.is_remote(uri):
        raise ValueError("remote originals are not rewritten: use sidecars or copies")
    path = Path(os.path.realpath(storage.absolute(uri)))
    before = path.stat()
    _refuse_unsafe(path, before)
    with _temporary(path) as temporary:
        write_tagged(path, temporary, comment)
        if filecmp.cmp(path, temporary, shallow=False):
            return path
        made = temporary.stat()
        if (made.st_uid, made.st_gid) != (before.st_uid, before.st_gid):
            os.chown(temporary, before.st_uid, before.st_gid)
        shutil.copystat(path, temporary)
        _synchronise(temporary)
        os.utime(temporary, ns=(before.st_atime_ns, before.st_mtime_ns))
        now = path.stat()
        if (now.st_ino, now.st_mtime_ns, now.st_size) != (before.st_ino, before.st_mtime_ns, before.st_size):
            raise ValueError("the file changed while it was tagged")
        temporary.replace(path)
    return path


def _refuse_unsafe(path: Path, status: os.stat_result) -> None:
    """Refuse files that cannot be replaced without harm.

    Raises:
        ValueError: Says why.
    """
    if not stat.S_ISREG(status.st_mode):
        raise ValueError(f"{path} is not a regular file")
    if status.st_nlink > 1:
        raise ValueError(f"{path} has {status.st_nlink} hard links, which tagging would separate: use copies")
    if not status.st_mode & 0o222 or not os.access(path, os.W_OK):
        raise ValueError(f"{path} is read-only")
    if status.st_uid != os.geteuid() and os.geteuid() != 0:
        raise ValueError(f"{path} belongs to another user, who could not be kept as its owner: use copies")


def _write_copy(source: Path, target: Path, comment: Comment) -> None:
    with _temporary(target) as temporary:
        write_tagged(source, temporary, comment)
        if target.is_file() and not target.is_symlink() and filecmp.cmp(target, temporary, shallow=False):
            return
        temporary.chmod(created_file_mode())
        _synchronise(temporary)
        temporary.replace(target)


def _synchronise(path: Path) -> None:
    with path.open("rb") as written:
        os.fsync(written.fileno())


@contextmanager
def _temporary(path: Path) -> Iterator[Path]:
    """Give a temporary file beside `path`, with its suffix; it is removed if it is still there at the end."""
    handle, name = tempfile.mkstemp(prefix=".tag-", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)
