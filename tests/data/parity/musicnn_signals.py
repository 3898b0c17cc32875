"""Signals behind musicnn_original.npz: `signal(3.2, 1)` and `signal(7.0, 2)`.

The published musicnn program was run on them (TensorFlow 2.15); nothing here comes from that program.
"""

import numpy as np

SAMPLE_RATE = 16_000
SECONDS = {1: 3.2, 2: 7.0}
"""Length of each signal by its seed."""


def signal(seconds: float, seed: int) -> np.ndarray:
    """Six modulated sines with decaying bursts of noise, float32 mono, peak 0.8.

    The order of the draws from the generator is part of the definition.
    """
    rng = np.random.default_rng(seed)
    time = np.arange(int(SAMPLE_RATE * seconds)) / SAMPLE_RATE
    total = np.zeros_like(time)
    for _ in range(6):
        hertz = 110 * 2 ** (rng.integers(0, 36) / 12)
        level, phase, tremolo = rng.uniform(0.05, 0.2), rng.uniform(0, 6), rng.uniform(0.3, 3)
        total += level * np.sin(2 * np.pi * hertz * time + phase) * (0.5 + 0.5 * np.sin(2 * np.pi * tremolo * time))
    for onset in np.arange(0, seconds, rng.uniform(0.3, 0.6)):
        start = int(onset * SAMPLE_RATE)
        count = min(1600, len(total) - start)
        total[start : start + count] += rng.standard_normal(count) * np.exp(-np.arange(count) / 300) * 0.3
    return (total / np.abs(total).max() * 0.8).astype(np.float32)
