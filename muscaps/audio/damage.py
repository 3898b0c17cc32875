"""Damage that decoders do not report: impossible samples and missing ends of files."""

from dataclasses import dataclass

import numpy as np

from muscaps.audio.blocks import Waveform
from muscaps.audio.file_types import HEAD_BYTES
from muscaps.audio.source_file import SourceFile

_SANE_PEAK = 8.0  # 18 dB above full scale; sound files with float samples exceed full scale by far less


def repair_samples(mono: Waveform) -> int:
    """Replace impossible samples in place, NaN by 0 and others by the limit, and return their number."""
    if max(mono.max(initial=0.0), -mono.min(initial=0.0)) <= _SANE_PEAK:  # False for NaN
        return 0
    wrong = ~(np.abs(mono) <= _SANE_PEAK)
    np.nan_to_num(mono, copy=False, nan=0.0, posinf=_SANE_PEAK, neginf=-_SANE_PEAK)
    np.clip(mono, -_SANE_PEAK, _SANE_PEAK, out=mono)
    return int(wrong.sum())


@dataclass(frozen=True)
class MissingEnd:
    """The end of a file that its beginning states and that is not there."""

    problem: str
    """In words."""
    share_held: float = 1.0
    """Share of the stated bytes that are there; 1 where the file does not state them."""


def missing_end(file: SourceFile, head: bytes, size: int) -> MissingEnd | None:
    """Return what is missing if a file states its size and is shorter; decoders do not report it."""
    if head[:4] in (b"RIFF", b"FORM") and len(head) >= 12:
        stated = int.from_bytes(head[4:8], "little" if head[:4] == b"RIFF" else "big") + 8
        streamed = stated >= 0x7FFFFFFF  # written without knowing the length: a marker, not a size
        if not streamed and stated > size + 1:
            return MissingEnd(f"the file is cut short: {size:,} of {stated:,} bytes are there", size / stated)
    if head[4:8] == b"ftyp" and not _has_index(file, size):
        return MissingEnd("the index of the file is missing: it was cut short")
    if head[:4] == b"OggS":
        tail = file.tail(HEAD_BYTES, size)
        page = tail.rfind(b"OggS")
        lacing = tail[page + 27 : page + 27 + tail[page + 26]] if 0 <= page < len(tail) - 27 else b""
        if page >= 0 and page + 27 + len(lacing) + sum(lacing) > len(tail):
            return MissingEnd("the file is cut short in the middle of a page")
    return None


def _has_index(file: SourceFile, size: int) -> bool:
    """Return whether an MP4 file has a `moov` atom; it is often the last one."""
    position = 0
    for _ in range(1_000):  # more top-level atoms than any file has
        file.seek(position)
        atom = file.read(16)
        if len(atom) < 8 or position >= size:
            return False
        if atom[4:8] == b"moov":
            return True
        length = int.from_bytes(atom[:4], "big")
        position += int.from_bytes(atom[8:16], "big") if length == 1 else max(length, 8)
    return False
