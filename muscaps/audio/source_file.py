"""A track as a binary file that decoders written in C may read from."""

import io
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

Source: TypeAlias = bytes | bytearray | memoryview | str | Path | BinaryIO


class SourceFile:
    """A binary file for decoders written in C: an error ends the file and is raised afterwards."""

    def __init__(self, file: BinaryIO, *, owned: bool) -> None:
        self._file = file
        self._owned = owned
        self._end: int | None = None
        self.failure: BaseException | None = None

    def __enter__(self) -> "SourceFile":
        return self

    def __exit__(self, *_: object) -> None:
        if self._owned:
            self._file.close()

    def end_at(self, position: int) -> None:
        """Make the file end at `position`; the bytes behind it are not read any more."""
        self._end = position

    def read(self, count: int = -1) -> bytes:
        try:
            if self._end is not None:
                left = max(0, self._end - self._file.tell())
                count = left if count is None or count < 0 else min(count, left)
            return self._file.read(count) or b""
        except Exception as error:  # the caller's file may raise anything; `raise_failure` raises it again
            self.failure = self.failure or error
            return b""

    def readinto(self, buffer: Any) -> int:
        data = self.read(len(buffer))
        buffer[0 : len(data)] = data
        return len(data)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        if whence == io.SEEK_END and self._end is not None:
            offset, whence = self._end + offset, io.SEEK_SET
        try:
            return self._file.seek(offset, whence)
        except (ValueError, OverflowError):
            return -1  # a damaged file makes its decoder seek to impossible positions; the storage is not at fault
        except OSError as error:
            if offset >= 0:
                self.failure = self.failure or error
            return -1

    def tell(self) -> int:
        return self._file.tell()

    def head(self, count: int) -> bytes:
        self.seek(0)
        data = self.read(count)
        self.raise_failure()
        return data

    def tail(self, count: int, size: int) -> bytes:
        return self.range(size - count, size)

    def range(self, start: int, stop: int) -> bytes:
        """Read the bytes from `start` to `stop`, as many of them as exist."""
        start = max(0, start)
        if stop <= start:
            return b""
        self.seek(start)
        data = self.read(stop - start)
        self.raise_failure()
        return data

    def size(self) -> int:
        return self.seek(0, io.SEEK_END)

    def raise_failure(self) -> None:
        if self.failure is not None:
            raise self.failure


def open_source(source: Source) -> SourceFile:
    if isinstance(source, (bytes, bytearray, memoryview)):
        return SourceFile(io.BytesIO(source), owned=True)
    if isinstance(source, (str, Path)):
        return SourceFile(open(source, "rb"), owned=True)
    if not source.seekable():
        raise ValueError("the file object must be seekable; pass its content as bytes instead")
    return SourceFile(source, owned=False)
