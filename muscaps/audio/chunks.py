"""A waveform cut into chunks (paper section III-B)."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def to_chunks(waveform: NDArray[Any], chunk_samples: int) -> NDArray[Any]:
    """Cut a waveform into non-overlapping chunks (paper section III-B).

    The incomplete last chunk is dropped, as the published code does. Departs from it: a track shorter than
    one chunk is zero-padded to one.

    Args:
        waveform: Mono signal of any dtype, (samples,).
        chunk_samples: Samples per chunk.

    Returns:
        (chunks, chunk_samples), at least one chunk, of the waveform's dtype; a view where nothing is padded.

    Raises:
        ValueError: The waveform is not one-dimensional or is empty, or chunk_samples is not positive.
    """
    if waveform.ndim != 1 or len(waveform) == 0:
        raise ValueError(f"waveform must be (samples,) with at least one sample, not {waveform.shape}")
    if chunk_samples < 1:
        raise ValueError(f"chunk_samples must be at least 1, not {chunk_samples}")
    if len(waveform) < chunk_samples:
        waveform = np.pad(waveform, (0, chunk_samples - len(waveform)))
    num_chunks = len(waveform) // chunk_samples
    return waveform[: num_chunks * chunk_samples].reshape(num_chunks, chunk_samples)
