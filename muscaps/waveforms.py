"""Waveforms that callers pass: their checks, and one type for all."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Waveform = npt.NDArray[np.float32] | npt.NDArray[np.int16]


def _checked(waveform: Waveform) -> Waveform:
    if waveform.ndim != 1 or waveform.size == 0:
        raise ValueError(f"a waveform must be one-dimensional and not empty, not of shape {waveform.shape}")
    if waveform.dtype not in (np.float32, np.int16):
        raise ValueError(f"a waveform must be float32 or int16, not {waveform.dtype}")
    if waveform.dtype == np.float32 and not np.isfinite(waveform).all():
        raise ValueError("a waveform holds NaN or infinity")
    return waveform


def of_one_type(waveforms: Sequence[Waveform]) -> list[Waveform]:
    """Check waveforms; where int16 and float32 come together, turn all into float32 in [-1, 1]."""
    checked = [_checked(waveform) for waveform in waveforms]
    if len({waveform.dtype for waveform in checked}) <= 1:
        return checked
    return [
        (w / np.float32(32768)).astype(np.float32) if w.dtype == np.int16 else w.astype(np.float32) for w in checked
    ]
