"""Padding of batches, random excerpts."""

import numpy as np
import pytest

from muscaps.training.batches import collate, random_excerpt
from muscaps.vocabulary import EOS, PAD, SOS


def test_collation_pads_and_masks() -> None:
    audio = [np.full((1, 2), 5.0), np.full((3, 2), 7.0)]
    batch = collate(audio, [[SOS, 9, 8, EOS], [SOS, 4, EOS]])
    assert batch.mask.tolist() == [[True, False, False], [True, True, True]]
    assert batch.audio[0, 1:].abs().sum() == 0
    assert batch.word_ids.tolist() == [[SOS, 9, 8], [SOS, 4, PAD]]
    assert batch.targets.tolist() == [[9, 8, EOS], [4, EOS, PAD]]


def test_a_batch_without_chunks_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one chunk"):
        collate([np.zeros((0, 2))], [[SOS, EOS]])
    with pytest.raises(ValueError, match="as many captions as tracks"):
        collate([np.zeros((1, 2))], [])


def test_random_excerpts_lie_in_the_track() -> None:
    audio = np.arange(100)
    starts = set()
    for seed in range(50):
        excerpt = random_excerpt(audio, 40, np.random.default_rng(seed))
        assert len(excerpt) == 40
        assert np.array_equal(excerpt, np.arange(excerpt[0], excerpt[0] + 40))
        starts.add(int(excerpt[0]))
    assert len(starts) > 20
    assert len(random_excerpt(audio, 400, np.random.default_rng(0))) == 100
