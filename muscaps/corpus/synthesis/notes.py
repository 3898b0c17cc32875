"""Notes and signals, the common types of the renderer."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Signal = NDArray[np.float32]
"""Mono float32 samples."""


class Note(NamedTuple):
    """One sounding note."""

    start_s: float
    duration_s: float
    pitch: float
    """MIDI number; fractions are cents / 100. For a drum kit the General MIDI key."""
    velocity: float
    """Loudness, 0 to 1."""
