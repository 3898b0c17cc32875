"""Small mel spectrograms for the page."""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch

MAX_COLUMNS = 480
NUM_BANDS = 72
SAMPLE_RATE = 16_000
N_FFT = 1024  # 1024 / 16 000 Hz = 64 ms
RANGE_DB = 70
"""Difference between the loudest value and 0 in the picture."""


def spectrogram(pcm: np.ndarray) -> np.ndarray:
    """Compute a picture of a track's loudness over time and frequency.

    Args:
        pcm: Mono signal at 16 kHz, int16, (samples,).

    Returns:
        uint8, (bands, columns), lowest band first: 72 bands from 30 Hz to 8 kHz, evenly spaced in mels, at
        most 480 columns. 255 is the loudest value; 0 is 70 dB below it.
    """
    import torch  # 1.4 s; a page without spectrograms does not need it
    import torchaudio

    frames = max(1, len(pcm) // N_FFT)
    signal = torch.zeros(frames * N_FFT)
    signal[: min(len(pcm), len(signal))] = torch.from_numpy(pcm[: len(signal)].astype(np.float32))
    to_mel = torchaudio.transforms.MelSpectrogram(
        sample_rate=SAMPLE_RATE, n_fft=N_FFT, hop_length=N_FFT, center=False, f_min=30.0, f_max=8000.0,
        n_mels=NUM_BANDS, norm="slaney",
    )  # fmt: skip
    power = _pooled(to_mel(signal), min(MAX_COLUMNS, frames))
    if float(power.max()) <= 0:
        return np.zeros(tuple(power.shape), dtype=np.uint8)
    decibels = 10 * torch.log10(power / power.max() + 1e-12)
    return np.asarray((255 * (decibels / RANGE_DB + 1).clamp(0, 1)).to(torch.uint8).numpy())


def _pooled(power: "torch.Tensor", columns: int) -> "torch.Tensor":
    """Average (bands, frames) over time to (bands, columns)."""
    import torch

    edges = torch.linspace(0, power.shape[1], columns + 1).round().long().tolist()
    means = [power[:, start:end].mean(dim=1) for start, end in zip(edges, edges[1:], strict=False)]
    return torch.stack(means, dim=1)
