"""Compressed audio that is stored as PCM samples: DTS and AC-3 in WAV, FLAC, AIFF and other lossless files.

Such files play as music on a decoder that receives them digitally (DTS CDs, IEC 61937, SMPTE 337) and as noise
anywhere else. Their words repeat a synchronisation pattern whose distance the header states; music does not.
"""

import numpy as np
from numpy.typing import NDArray

from muscaps.audio.blocks import PCM_SCALE, Waveform

Words = NDArray[np.uint16]

CHECKED_BLOCKS = 4
"""Blocks that are searched, those of digital silence not counted: about 3 s of stereo."""
_MIN_FRAMES = 3  # frames in a row that make a bitstream
_MAX_CANDIDATES = 64  # positions that are examined in one block
_IEC_61937_TYPES = {1: "AC-3", 11: "DTS", 12: "DTS", 13: "DTS", 17: "DTS", 21: "E-AC-3", 22: "Dolby TrueHD"}
# The first two words of a DTS frame: 16 or 14 bits a word, in both byte orders.
_DTS_SYNCS = ((0x7FFE, 0x8001), (0xFE7F, 0x0180), (0x1FFF, 0xE800), (0xFF1F, 0x00E8))
# The preamble of IEC 61937, in both byte orders, and of SMPTE 337 with 20 and 24 bits.
_PREAMBLES = ((0xF872, 0x4E1F), (0x72F8, 0x1F4E), (0x6F87, 0x54E1), (0x96F8, 0xA54E))
_AC3_KBITS = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 576, 640)


def compressed_format(block: Waveform) -> str | None:
    """Name the compressed format that a block of samples carries; None for sound.

    Args:
        block: Samples of a lossless file, (samples, channels), in [-1, 1].
    """
    with np.errstate(invalid="ignore"):
        scaled = np.floor(np.nan_to_num(block.reshape(-1)) * np.float32(PCM_SCALE))
    words = np.clip(scaled, -PCM_SCALE, PCM_SCALE - 1).astype(np.int16).view(np.uint16)
    return _preambles(words) or _dts(words) or _ac3(words) or _ac3(words.byteswap())


def _positions(words: Words, first: int, second: int) -> NDArray[np.int_]:
    return np.flatnonzero((words[:-1] == first) & (words[1:] == second))


def _preambles(words: Words) -> str | None:
    for first, second in _PREAMBLES:
        found = _positions(words, first, second)
        found = found[found + 2 < len(words)]
        if len(found) < _MIN_FRAMES:
            continue
        values = words[found + 2]
        kinds = (values.byteswap() if first == 0x72F8 else values) & 0x7F
        known = [_IEC_61937_TYPES.get(int(kind), "a compressed format") for kind in kinds]
        return max(set(known), key=known.count)
    return None


def _dts(words: Words) -> str | None:
    for number, (first, second) in enumerate(_DTS_SYNCS):
        found = _positions(words, first, second)
        for position in found[:_MAX_CANDIDATES]:
            frame = _dts_frame_words(words[position : position + 8], bits=16 if number < 2 else 14, swapped=number % 2)
            later = found[found >= position + frame] if frame else found[:0]
            # Frames may be padded to a fixed distance.
            if len(later) >= 2 and later[1] - later[0] == later[0] - position:
                return "DTS"
    return None


def _dts_frame_words(header: Words, *, bits: int, swapped: int) -> int:
    """Return the words that a DTS frame takes, 0 if its header is none."""
    header = header.byteswap() if swapped else header
    value = 0
    for word in header.tolist():
        value = value << bits | word & ((1 << bits) - 1)
    total = bits * len(header)

    def field(start: int, width: int) -> int:
        return value >> max(0, total - start - width) & ((1 << width) - 1)

    num_blocks, frame_bytes = field(39, 7) + 1, field(46, 14) + 1
    if len(header) < 8 or num_blocks < 6 or frame_bytes < 96:
        return 0
    return frame_bytes * 8 // bits


def _ac3(words: Words) -> str | None:
    """Look for AC-3 or E-AC-3 frames; `words` are big-endian words of the bitstream."""
    for position in np.flatnonzero(words[:-3] == 0x0B77)[:_MAX_CANDIDATES]:
        at, num_frames, name = int(position), 0, ""
        last = words[:0]
        while at + 3 < len(words) and words[at] == 0x0B77:
            size, name = _ac3_frame(words[at : at + 3])
            frame = words[at : at + size]
            if not size or np.array_equal(frame, last):  # equal frames are a periodic signal
                break
            last = frame
            num_frames += 1
            if num_frames >= _MIN_FRAMES:
                return name
            at += size
            padding = np.flatnonzero(words[at : at + 8_192])  # zeros may follow a frame
            at += int(padding[0]) if len(padding) else 0
    return None


def _ac3_frame(header: Words) -> tuple[int, str]:
    """Return the words that a frame takes, 0 if its header is none, and the format's name."""
    version = int(header[2]) >> 11
    if version > 10:
        return ((int(header[1]) & 0x7FF) + 1 if version <= 16 else 0), "E-AC-3"
    rate, code = int(header[2]) >> 14, int(header[2]) >> 8 & 0x3F
    return _ac3_words(rate, code), "AC-3"


def _ac3_words(rate: int, code: int) -> int:
    if rate > 2 or code >> 1 >= len(_AC3_KBITS):
        return 0
    kbits = _AC3_KBITS[code >> 1]
    if rate == 1:
        return kbits * 1536 * 1000 // 44_100 // 16 + (code & 1)
    return kbits * (2 if rate == 0 else 3)
