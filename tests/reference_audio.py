"""Audio made for tests, and what its decoded PCM must be."""

from pathlib import Path

import numpy as np
import soxr

from tests.hostile_files import encode

RATE = 16_000
DEMO_TRACKS = sorted((Path(__file__).parents[1] / "jobs" / "demo_tracks").glob("*.opus"))


def likeness(decoded: np.ndarray, expected: np.ndarray) -> float:
    """Correlation of two signals at the best lag within 4,000 samples (codecs delay what they encode)."""
    num_samples = min(len(decoded), len(expected))
    a, b = decoded[:num_samples].astype(np.float64), expected[:num_samples].astype(np.float64)
    spectrum = np.fft.rfft(a, 2 * num_samples) * np.conj(np.fft.rfft(b, 2 * num_samples))
    correlation = np.fft.irfft(spectrum)
    near = np.concatenate([correlation[:4_000], correlation[-4_000:]])
    return float(near.max() / np.sqrt((a @ a) * (b @ b)))


def expected_pcm(sound: np.ndarray, sample_rate: int) -> np.ndarray:
    """Mean of the channels, resampled in one piece, (samples,)."""
    return soxr.resample(sound.mean(axis=1), sample_rate, RATE, quality="HQ")


def numbered(num_chunks: int, chunk_samples: int, rest: int = 0) -> bytes:
    """Return WAV in which every other sample is the number of its chunk; the rest keeps the file from being silent."""
    pcm = np.repeat(np.arange(num_chunks, dtype=np.int16), chunk_samples)
    pcm = np.concatenate([pcm, np.full(rest, num_chunks, np.int16)])
    pcm[1::2] = -20_000
    return encode(pcm, RATE, "WAV")
