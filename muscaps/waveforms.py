"""Tracks that callers pass, as mono waveforms at the model's sample rate.

Conventions: a track is a waveform (NumPy array, torch tensor or list of numbers), a path, or the bytes of an audio
file. Floats are in [-1, 1]. int16 stays int16. Files have a sample rate of their own.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import soxr
import torch

from muscaps.audio import AudioError, load_audio

Waveform = npt.NDArray[np.float32] | npt.NDArray[np.int16]
Track: TypeAlias = (
    npt.NDArray[np.floating] | npt.NDArray[np.int16] | torch.Tensor | Sequence[float] | str | Path | bytes
)
"""What a caller may pass as one track."""


def as_waveforms(tracks: Iterable[Track], *, sample_rate: float | None, model_rate: int) -> list[Waveform]:
    """Check tracks and return them as waveforms of one type at the model's rate.

    Args:
        tracks: One entry per track.
        sample_rate: Rate of the waveforms in Hz; None if it is the model's.
        model_rate: Rate of the result in Hz.

    Raises:
        TypeError: `tracks` is one track instead of a list, or an entry is nothing that can be a track.
        ValueError: A waveform is empty, not one-dimensional or not finite, or the rate is not positive.
        AudioError: A file cannot be decoded.
        OSError: A file cannot be read.
    """
    _check_list(tracks)
    if sample_rate is not None and not sample_rate > 0:
        raise ValueError(f"sample_rate must be positive, not {sample_rate}")
    found = []
    for track in tracks:
        if isinstance(track, str | Path | bytes | bytearray | memoryview):
            found.append(_decoded(track, model_rate))
        else:
            waveform = _checked(_array(track))
            found.append(waveform if sample_rate is None else _resampled(waveform, sample_rate, model_rate))
    if len({waveform.dtype for waveform in found}) <= 1:
        return found
    return [(w / np.float32(32768)).astype(np.float32) if w.dtype == np.int16 else w for w in found]


def _check_list(tracks: object) -> None:
    """Raise TypeError where a caller passes one track instead of a list of tracks."""
    if isinstance(tracks, str | Path | bytes | bytearray | memoryview):
        raise TypeError(f"expected a list of tracks, not one {type(tracks).__name__}: write [track]")
    if isinstance(tracks, np.ndarray | torch.Tensor):
        if tracks.ndim < 2:
            raise TypeError(f"expected a list of tracks, not an array of shape {tuple(tracks.shape)}: write [waveform]")
    elif not isinstance(tracks, Iterable):
        raise TypeError(f"expected a list of tracks, not {type(tracks).__name__}")
    elif isinstance(tracks, Sequence) and tracks and isinstance(tracks[0], int | float):
        raise TypeError("expected a list of tracks, not a list of numbers: write [waveform]")


def _array(track: object) -> npt.NDArray[np.generic]:
    """Return a track as an array, not yet checked."""
    if isinstance(track, torch.Tensor):
        track = track.detach().cpu()
        return np.asarray((track.float() if track.is_floating_point() else track).numpy())
    if isinstance(track, np.ndarray):
        return track
    if isinstance(track, Sequence):
        try:
            return np.asarray(track)
        except ValueError as error:
            raise TypeError(f"a track must be a waveform, a path or bytes, not this list: {error}") from error
    raise TypeError(f"a track must be a waveform, a path or bytes, not {type(track).__name__}")


def _checked(waveform: npt.NDArray[np.generic]) -> Waveform:
    """Return a mono waveform, float32 or int16."""
    if waveform.ndim == 0:
        raise TypeError("a track must be a waveform, a path or bytes, not a single number (an array of shape ())")
    if waveform.dtype != np.int16 and not np.issubdtype(waveform.dtype, np.floating) and waveform.size:
        raise TypeError(f"a waveform must be floats in [-1, 1] or int16, not {waveform.dtype}")
    if waveform.ndim != 1 or waveform.size == 0:
        raise ValueError(
            f"a waveform must be one-dimensional and not empty, not of shape {waveform.shape}; average the channels "
            "first"
        )
    if waveform.dtype == np.int16:
        return waveform.astype(np.int16, copy=False)
    if not np.isfinite(waveform).all():
        raise ValueError("a waveform holds NaN or infinity")
    return waveform.astype(np.float32, copy=False)


def _resampled(waveform: Waveform, sample_rate: float, model_rate: int) -> Waveform:
    if sample_rate == model_rate:
        return waveform
    resampled: Waveform = soxr.resample(waveform, sample_rate, model_rate, "HQ")
    if not len(resampled):
        raise ValueError(f"a waveform of {len(waveform)} samples at {sample_rate} Hz is too short")
    return resampled


def _decoded(source: str | Path | bytes | bytearray | memoryview, model_rate: int) -> Waveform:
    try:
        return load_audio(source, sample_rate=model_rate)
    except AudioError as error:
        if isinstance(source, str | Path):
            raise AudioError(error.error_type, f"{source}: {error}") from error
        raise
