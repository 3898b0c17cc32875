"""Rate of beam search by batch size."""

import statistics
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from muscaps.config import DecodingOptions
from pipeline.threads import torch_threads

SEARCH_BATCHES = (1, 8, 64, 256)
"""Numbers of tracks in a batch."""
SEARCH_CHUNKS = 60
"""Chunks per track: three minutes in chunks of 3 s."""


def search_rates(
    directory: Path,
    options: DecodingOptions,
    repeats: int,
    batches: Sequence[int] = SEARCH_BATCHES,
    on_gpu: bool = False,
) -> dict[str, float]:
    """Time beam search on one thread or one GPU, with alternating batch sizes.

    Returns:
        Batch size -> captions per second, the median of `repeats`.
    """
    import torch  # takes seconds

    from muscaps.captioner import Captioner  # imports torch

    captioner = Captioner.load(directory, "cuda" if on_gpu and torch.cuda.is_available() else "cpu")
    rng = np.random.default_rng(0)
    tracks = [
        rng.standard_normal((SEARCH_CHUNKS, captioner.feature_dim)).astype(np.float32) for _ in range(max(batches))
    ]
    seconds: dict[int, list[float]] = {size: [] for size in batches}
    with torch_threads(1), torch.inference_mode():
        for number in range(repeats + 1):
            for size in batches:
                times = max(1, min(16, 64 // size))
                started = time.perf_counter()
                for at in range(times):
                    captioner.caption_features(tracks[at * size % len(tracks) :][:size], options)
                if number:  # the first round is a warm-up
                    seconds[size].append((time.perf_counter() - started) / times / size)
    return {str(size): round(1 / statistics.median(values), 1) for size, values in seconds.items()}
