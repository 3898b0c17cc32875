"""Small mel spectrograms for the page."""

import math

import numpy as np

MAX_COLUMNS = 480


NUM_BANDS = 72


N_FFT = 1024  # 1024 / 16 000 Hz = 64 ms


def spectrogram(pcm: np.ndarray) -> np.ndarray:
    """Draw a track as loudness over time and pitch.

    Args:
        pcm: Mono signal at 16 kHz, int16, (samples,).

    Returns:
        uint8, (bands, columns), lowest band first: 72 bands from 30 Hz to 8 kHz, evenly spaced in mels, at
        most 480 columns; 255 is the loudest, 0 is 70 dB below it.
    """
    frames = max(1, len(pcm) // N_FFT)
    columns = min(MAX_COLUMNS, frames)
    padded = np.zeros(frames * N_FFT, dtype=np.int16)
    padded[: min(len(pcm), len(padded))] = pcm[: len(padded)]
    window = np.hanning(N_FFT).astype(np.float32)
    filters = _mel_filters()
    bands = np.zeros((NUM_BANDS, columns))
    edges = np.linspace(0, frames, columns + 1).round().astype(int)
    for column in range(columns):
        part = padded[edges[column] * N_FFT : edges[column + 1] * N_FFT].reshape(-1, N_FFT)
        power = np.abs(np.fft.rfft(part * window, axis=1)) ** 2
        bands[:, column] = filters @ power.mean(axis=0)
    decibels = 10 * np.log10(bands + 1e-6)
    loudest = decibels.max()
    if bands.max() <= 0:
        return np.zeros((NUM_BANDS, columns), dtype=np.uint8)
    return np.asarray(255 * np.clip((decibels - loudest) / 70 + 1, 0, 1), dtype=np.uint8)


def _mel_filters() -> np.ndarray:
    """Triangles evenly spaced in mels, (bands, 513), each summing to 1."""

    def mel(hertz: float) -> float:
        return 2595 * math.log10(1 + hertz / 700)

    points = 700 * (10 ** (np.linspace(mel(30), mel(8000), NUM_BANDS + 2) / 2595) - 1)
    bins = np.fft.rfftfreq(N_FFT, 1 / 16_000)
    rising = (bins[None] - points[:-2, None]) / np.diff(points)[:-1, None]
    falling = (points[2:, None] - bins[None]) / np.diff(points)[1:, None]
    filters: np.ndarray = np.clip(np.minimum(rising, falling), 0, None)
    nearest = np.abs(bins[None] - points[1:-1, None]).argmin(axis=1)  # narrow bands may fall between two bins
    empty = filters.sum(axis=1) == 0
    filters[empty, nearest[empty]] = 1
    return np.asarray(filters / filters.sum(axis=1, keepdims=True))
