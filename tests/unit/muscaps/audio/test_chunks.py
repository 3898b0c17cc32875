"""A waveform cut into chunks."""

import numpy as np
import pytest

from muscaps.audio import (
    to_chunks,
)


@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_to_chunks_drops_the_incomplete_last_one(dtype: type) -> None:
    waveform = np.arange(10).astype(dtype)
    chunks = to_chunks(waveform, 4)
    np.testing.assert_array_equal(chunks, [[0, 1, 2, 3], [4, 5, 6, 7]])
    assert chunks.dtype == dtype
    assert np.shares_memory(chunks, waveform)


def test_to_chunks_pads_a_short_track_to_one_chunk() -> None:
    np.testing.assert_array_equal(to_chunks(np.array([5, 6], np.int16), 4), [[5, 6, 0, 0]])


@pytest.mark.parametrize(("waveform", "chunk_samples"), [(np.zeros(0), 4), (np.zeros((2, 3)), 4), (np.zeros(9), 0)])
def test_to_chunks_rejects_invalid_waveforms_and_sizes(waveform: np.ndarray, chunk_samples: int) -> None:
    with pytest.raises(ValueError, match="must be"):
        to_chunks(waveform, chunk_samples)
