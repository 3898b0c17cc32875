"""Reads the values of a TensorFlow checkpoint (version 2) without TensorFlow; nothing is unpickled.

A checkpoint is two files. `.index` is an uncompressed LevelDB table from variable names to small protocol
buffers (BundleEntryProto: data type, shape, offset, size). `.data-00000-of-00001` holds the values, little-endian
and row-major, at those offsets.

Conventions: all offsets and sizes come from the file and are checked against the bytes that are there; damage is
a `TensorflowCheckpointError`, never an index error.
"""

import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

_MAGIC = 0xDB4775248B80FB57  # LevelDB's, the last eight bytes of a table
_FOOTER_BYTES = 48  # two block handles, padding, the magic number
_BLOCK_TRAILER_BYTES = 5  # compression type and checksum
_FLOAT32 = 1  # TensorFlow's DT_FLOAT


class TensorflowCheckpointError(ValueError):
    """Bytes that are not a readable TensorFlow checkpoint."""


@dataclass(frozen=True, kw_only=True)
class _Entry:
    """Where a variable's values are."""

    dtype: int
    shape: tuple[int, ...]
    shard: int
    offset: int
    size: int


def read_tensors(index: bytes, data: bytes) -> dict[str, npt.NDArray[np.float32]]:
    """Return every float32 variable by name.

    Args:
        index: Content of the `.index` file.
        data: Content of the `.data-00000-of-00001` file.

    Raises:
        TensorflowCheckpointError: The index is not a table, or an entry does not fit the data.
    """
    tensors: dict[str, npt.NDArray[np.float32]] = {}
    try:
        for key, value in _table(index):
            if not key:  # the empty key holds the checkpoint's header
                continue
            name, entry = key.decode(), _entry(value)
            if entry.dtype == _FLOAT32:
                tensors[name] = _values(name, entry, data)
    except (IndexError, struct.error, UnicodeDecodeError) as error:
        raise TensorflowCheckpointError(f"the index is truncated or damaged ({error})") from error
    return tensors


def _values(name: str, entry: _Entry, data: bytes) -> npt.NDArray[np.float32]:
    """Cut one variable out of the data."""
    if entry.shard != 0:
        raise TensorflowCheckpointError(f"{name} is in shard {entry.shard}; only one data file is read")
    if entry.size != 4 * math.prod(entry.shape):
        raise TensorflowCheckpointError(f"{name} has {entry.size} bytes, its shape {entry.shape} needs another number")
    if entry.offset + entry.size > len(data):
        raise TensorflowCheckpointError(f"{name} ends at byte {entry.offset + entry.size} of {len(data)}")
    values = np.frombuffer(data, dtype="<f4", count=entry.size // 4, offset=entry.offset)
    return values.reshape(entry.shape).astype(np.float32)


def _table(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield keys and values of a LevelDB table in order."""
    if len(content) < _FOOTER_BYTES or struct.unpack("<Q", content[-8:])[0] != _MAGIC:
        raise TensorflowCheckpointError("the index is not a LevelDB table")
    footer = content[-_FOOTER_BYTES:]
    _, at = _varint(footer, 0)  # handle of the meta index, which is empty: offset, then size
    _, at = _varint(footer, at)
    offset, at = _varint(footer, at)
    size, _ = _varint(footer, at)
    for _, handle in _block(content, offset, size):
        offset, at = _varint(handle, 0)
        size, _ = _varint(handle, at)
        yield from _block(content, offset, size)


def _block(content: bytes, offset: int, size: int) -> Iterator[tuple[bytes, bytes]]:
    """Yield keys and values of one block; a key stores only what differs from the key before it."""
    if offset + size + _BLOCK_TRAILER_BYTES > len(content):
        raise TensorflowCheckpointError(f"a block ends at byte {offset + size} of {len(content)}")
    if content[offset + size] != 0:
        raise TensorflowCheckpointError("the index is compressed, which TensorFlow does not write")
    block = content[offset : offset + size]
    [num_restarts] = struct.unpack("<I", block[-4:])
    end = len(block) - 4 - 4 * num_restarts
    key, at = b"", 0
    while at < end:
        shared, at = _varint(block, at)
        added, at = _varint(block, at)
        length, at = _varint(block, at)
        key = key[:shared] + block[at : at + added]
        at += added
        yield key, block[at : at + length]
        at += length


def _entry(message: bytes) -> _Entry:
    """Read a BundleEntryProto."""
    found = {"dtype": 0, "shard": 0, "offset": 0, "size": 0}
    names = {1: "dtype", 3: "shard", 4: "offset", 5: "size"}
    shape: tuple[int, ...] = ()
    for number, value in _fields(message):
        if number == 2 and isinstance(value, bytes):
            shape = tuple(_dimension(part) for field, part in _fields(value) if field == 2 and isinstance(part, bytes))
        elif number in names and isinstance(value, int):
            found[names[number]] = value
    return _Entry(shape=shape, **found)


def _dimension(message: bytes) -> int:
    """Read the size in a TensorShapeProto.Dim."""
    return next((value for number, value in _fields(message) if number == 1 and isinstance(value, int)), 0)


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield field numbers and values of a protocol buffer: integers, or bytes of nested messages."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        number, kind = tag >> 3, tag & 7
        if kind == 0:
            value, at = _varint(message, at)
            yield number, value
        elif kind == 2:
            length, at = _varint(message, at)
            yield number, message[at : at + length]
            at += length
        elif kind in (1, 5):  # fixed 64 or 32 bits: the checksum
            at += 8 if kind == 1 else 4
        else:
            raise TensorflowCheckpointError(f"the index holds a field of unknown kind {kind}")


def _varint(content: bytes, at: int) -> tuple[int, int]:
    """Read a variable-length integer at a place; return it and the place after it."""
    result = shift = 0
    while True:
        byte = content[at]
        at += 1
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            return result, at
        shift += 7
        if shift > 63:
            raise TensorflowCheckpointError("the index holds a number of more than 64 bits")
