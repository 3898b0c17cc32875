"""Captions of limited length: within the limit, sentences, and the best of all where the beam holds them all."""

import itertools
import math

import numpy as np
import pytest
import torch

from muscaps.config import DecodingOptions
from muscaps.length_limit import LengthLimit
from muscaps.limited_search import MIN_WORD_PROBABILITY, limited_search
from muscaps.models.caption_model import DecoderState, EncodedAudio
from muscaps.vocabulary import EOS, SOS, SPECIAL_TOKENS, Vocabulary, detokenize

WORDS = [*SPECIAL_TOKENS, ",", "a", "with", "slow", "guitar", "bass"]
FIRST = len(SPECIAL_TOKENS)


class TableModel:
    """A model whose next word depends on the last one alone."""

    def __init__(self, table):
        self.table = table

    def encoded(self, num_tracks):
        return EncodedAudio(torch.zeros(num_tracks, 1))

    def start(self, encoded):
        nothing = torch.zeros(len(encoded.embedding), 1)
        return DecoderState(nothing, nothing, nothing, nothing)

    def step(self, encoded, state, word_ids):
        return self.table[word_ids], state


def random_table(seed):
    table = torch.from_numpy(np.random.default_rng(seed).normal(0, 1.0, (len(WORDS), len(WORDS))))
    table[:, [0, 1, SOS]] = -float("inf")
    return table.log_softmax(dim=-1)


def search(table, max_words=None, max_chars=None, num_tracks=1):
    model, limit = TableModel(table), LengthLimit(WORDS, max_words=max_words, max_chars=max_chars)
    options = DecodingOptions(beam_size=100, max_words=10)
    return limited_search(model, model.encoded(num_tracks), options, limit)


def log_prob(table, words):
    return sum(float(table[a, b]) for a, b in itertools.pairwise((SOS, *words, EOS)))


@pytest.mark.parametrize("seed", range(5))
def test_the_best_sentence_of_two_words_is_found(seed):
    table = random_table(seed)
    table[:, FIRST] = -float("inf")  # no commas, which are no words
    table[:, EOS] = math.log(0.3)
    candidates = [
        words
        for length in (1, 2)
        for words in itertools.product(range(FIRST + 1, len(WORDS)), repeat=length)
        if all(table[a, b] >= math.log(MIN_WORD_PROBABILITY) for a, b in itertools.pairwise((SOS, *words)))
        and WORDS[words[-1]] in ("slow", "guitar", "bass")
    ]
    best = max(candidates, key=lambda words: log_prob(table, words))
    [found, *_] = search(table, max_words=2)[0]
    assert found.word_ids == best
    assert found.finished
    assert math.isclose(found.log_prob, log_prob(table, best), rel_tol=1e-9)


@pytest.mark.parametrize("limit", [20, 27, 40])
def test_sentences_stay_within_the_characters_and_end_with_a_content_word(limit):
    for seed in range(5):
        for found in search(random_table(seed), max_chars=limit)[0]:
            words = Vocabulary(WORDS).decode(found.word_ids)
            assert len(detokenize(words)) <= limit
            assert words[-1] in ("slow", "guitar", "bass")


def test_a_track_does_not_depend_on_its_batch():
    table = random_table(3)
    one, several = search(table, max_words=4), search(table, max_words=4, num_tracks=3)
    assert [found.word_ids for found in several[2]] == [found.word_ids for found in one[0]]


def test_a_sentence_that_never_ends_gives_the_hypothesis_whose_end_is_the_most_probable():
    table = random_table(0)
    table[:, EOS] = -20.0
    table[WORDS.index("bass"), EOS] = -10.0
    [only] = search(table, max_words=3)[0]
    assert not only.finished
    assert WORDS[only.word_ids[-1]] == "bass"


@pytest.mark.parametrize(
    ("options", "message"), [({"word_limit": 2}, "at least 3"), ({"char_limit": 5}, "at least 20")]
)
def test_limits_that_no_sentence_fits_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        DecodingOptions(**options)
