"""Evenly spaced chunks of a track that is decoded whole."""

import numpy as np
import pytest

from muscaps.audio import (
    decode_audio,
    to_chunks,
)
from tests.hostile_files import encode, notes
from tests.reference_audio import RATE, numbered


@pytest.mark.parametrize("max_chunks", [1, 2, 3, 7, 50, 100])
@pytest.mark.parametrize("num_chunks", [101, 250, 401, 402, 999, 1_000])
def test_kept_chunks_are_whole_in_order_and_evenly_spaced(num_chunks: int, max_chunks: int) -> None:
    decoded = decode_audio(numbered(num_chunks, 1_000, rest=300), chunk_samples=1_000, max_chunks=max_chunks)
    chunks = to_chunks(decoded.pcm, 1_000)
    assert decoded.chunk_indices == tuple(chunks[:, 0])
    assert (chunks[:, ::2] == chunks[:, :1]).all()
    assert len(chunks) == max_chunks
    assert decoded.coverage == pytest.approx(max_chunks / num_chunks)
    assert decoded.duration_s == pytest.approx((num_chunks * 1_000 + 300) / RATE)
    middles = (np.arange(max_chunks) + 0.5) * num_chunks / max_chunks
    assert np.abs(chunks[:, 0] - middles).max() <= 0.25 * num_chunks / max_chunks + 1


@pytest.mark.parametrize("rest", [0, 1, 999])
def test_a_track_of_no_more_chunks_is_kept_whole(rest: int) -> None:
    data = numbered(50, 1_000, rest)
    decoded = decode_audio(data, chunk_samples=1_000, max_chunks=50)
    np.testing.assert_array_equal(decoded.pcm, decode_audio(data).pcm)
    assert (decoded.coverage, decoded.chunk_indices) == (1.0, None)


def test_a_track_shorter_than_a_chunk_is_kept_whole() -> None:
    decoded = decode_audio(numbered(12, 1_000), chunk_samples=48_000, max_chunks=3)
    assert (len(decoded.pcm), decoded.coverage) == (12_000, 1.0)


def test_kept_chunks_do_not_depend_on_the_header() -> None:
    data = bytearray(encode(notes(30.0, 11, RATE), RATE, "FLAC"))
    honest = decode_audio(bytes(data), chunk_samples=8_000, max_chunks=5)
    data[21:26] = (int.from_bytes(data[21:26], "big") & ~((1 << 36) - 1)).to_bytes(5, "big")  # length unknown
    silent_about_it = decode_audio(bytes(data), chunk_samples=8_000, max_chunks=5)
    np.testing.assert_array_equal(honest.pcm, silent_about_it.pcm)
    assert honest.chunk_indices == silent_about_it.chunk_indices
