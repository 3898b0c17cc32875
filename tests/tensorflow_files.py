"""Writes TensorFlow checkpoints (version 2) for tests, independently of what reads them in muscaps."""

import struct
from collections.abc import Mapping

import numpy as np

MAGIC = 0xDB4775248B80FB57
ENTRIES_A_BLOCK = 16


def varint(value: int) -> bytes:
    """Encode an integer in groups of seven bits, lowest first."""
    groups = []
    while True:
        value, group = value >> 7, value & 0x7F
        groups.append(group | (0x80 if value else 0))
        if not value:
            return bytes(groups)


def field(number: int, value: int | bytes) -> bytes:
    """Encode one field of a protocol buffer."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def block(entries: list[tuple[bytes, bytes]]) -> bytes:
    """Encode a LevelDB block, each key as what differs from the one before, with one restart point and no checksum."""
    content, before = b"", b""
    for key, value in entries:
        shared = 0
        while shared < min(len(before), len(key)) and before[shared] == key[shared]:
            shared += 1
        content += varint(shared) + varint(len(key) - shared) + varint(len(value)) + key[shared:] + value
        before = key
    return content + struct.pack("<II", 0, 1)


def tensorflow_checkpoint(tensors: Mapping[str, np.ndarray]) -> tuple[bytes, bytes]:
    """Return the content of the `.index` and of the data file for float32 tensors."""
    data = b""
    entries = [(b"", field(1, 1))]
    for name in sorted(tensors):
        values = np.ascontiguousarray(tensors[name], dtype="<f4")
        shape = b"".join(field(2, field(1, size)) for size in values.shape)
        message = field(1, 1) + field(2, shape)
        message += (field(4, len(data)) if data else b"") + field(5, values.nbytes)
        message += varint(6 << 3 | 5) + b"\0\0\0\0"  # a checksum, not read
        entries.append((name.encode(), message))
        data += values.tobytes()
    index, handles = b"", []
    for start in range(0, len(entries), ENTRIES_A_BLOCK):
        part = entries[start : start + ENTRIES_A_BLOCK]
        content = block(part)
        handles.append((part[-1][0], varint(len(index)) + varint(len(content))))
        index += content + b"\0" * 5
    meta = block([])
    meta_handle = varint(len(index)) + varint(len(meta))
    index += meta + b"\0" * 5
    top = block(handles)
    footer = meta_handle + varint(len(index)) + varint(len(top))
    index += top + b"\0" * 5
    return index + footer.ljust(40, b"\0") + struct.pack("<Q", MAGIC), data
