"""The interface of a reader: it yields blocks of decoded audio and fills in a report.

A block is float32, (samples, channels), and comes with its sampling rate in Hz.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from muscaps.audio.errors import AudioError
from muscaps.audio.source_file import SourceFile

Pcm: TypeAlias = NDArray[np.int16]
Waveform: TypeAlias = NDArray[np.float32]

PCM_SCALE = 32_768  # int16 full scale: 2 ** 15
SAMPLE_RATES = (1_000, 1_536_000)  # lowest and highest rate that is believed, in Hz
BLOCK_VALUES = 1 << 17  # float32 values decoded at a time, all channels together: 512 KiB
VALUES_PER_SECOND = 192_000  # decoding effort allowed per allowed second: stereo at 96 kHz
LENGTH_TOLERANCE_SECONDS = 1.0  # a length estimated from an MP3 or a container may be this far off


@dataclass
class ReaderReport:
    """What a reader found out about a file."""

    sample_rate: int = 0
    channels: int = 0
    name: str = "audio"
    problems: list[str] = field(default_factory=list)
    doubtful: bool = False  # the file continues after the end that its header states
    changes_format: bool = False
    fatal: AudioError | None = None
    stated_seconds: float | None = None  # the length in the header, where the file holds less
    lossless: bool = False  # its samples are those that were encoded
    carries: str | None = None  # the compressed format that is stored as PCM samples


Blocks: TypeAlias = Iterator[tuple[Waveform, int]]
Reader: TypeAlias = Callable[[SourceFile, ReaderReport], Blocks]
Mix: TypeAlias = Callable[[Waveform], Waveform]
