"""Greedy and beam search, driven by a model whose probabilities are written in a table."""

import math
from collections.abc import Mapping, Sequence

import pytest
import torch
from torch import Tensor

from muscaps import decoding
from muscaps.config import DecodingOptions
from muscaps.decoding import Hypothesis, beam_search, greedy_search
from muscaps.models.caption_model import DecoderState, EncodedAudio
from muscaps.vocabulary import EOS

A, B, C = 4, 5, 6
VOCABULARY_SIZE = 7
MAX_STEPS = 12

Table = Mapping[tuple[int, ...], Mapping[int, float]]
"""Words so far -> probability of each next word. Words that are left out have probability 0."""


class TableModel:
    """A caption model that looks up P(next word | words so far) in one table per track."""

    def __init__(self, tables: Sequence[Table]) -> None:
        self.tables = tables
        self.batch_sizes: list[int] = []
        """Tracks in each call of `step`."""

    def encode(self, features: Tensor, mask: Tensor) -> EncodedAudio:
        """Take the number of the track's table for its embedding; `features` is (batch, 1, 1)."""
        return EncodedAudio(features[:, 0])

    def start(self, encoded: EncodedAudio) -> DecoderState:
        """Return a state that holds the words so far, none yet."""
        rows = len(encoded.embedding)
        no_words, unused = torch.zeros(rows, MAX_STEPS, dtype=torch.long), torch.zeros(rows, 1)
        return DecoderState(no_words, torch.zeros(rows, 1, dtype=torch.long), unused, unused)

    def step(self, encoded: EncodedAudio, state: DecoderState, word_ids: Tensor) -> tuple[Tensor, DecoderState]:
        """Append a word to each row's words and look up what may follow. The first word is `<sos>`."""
        self.batch_sizes.append(len(encoded.embedding))
        words, count = state.encoder_hidden.clone(), state.encoder_cell + 1
        words[torch.arange(len(words)), count[:, 0] - 1] = word_ids
        per_track = len(words) // len(encoded.embedding)
        log_probs = torch.full((len(words), VOCABULARY_SIZE), -math.inf)
        for row, (ids, length) in enumerate(zip(words.tolist(), count[:, 0].tolist(), strict=True)):
            table = self.tables[int(encoded.embedding[row // per_track, 0])]
            for word, probability in table.get(tuple(ids[1:length]), {}).items():
                log_probs[row, word] = math.log(probability)
        return log_probs, DecoderState(words, count, state.decoder_hidden, state.decoder_cell)


def encoded(num_tracks: int) -> EncodedAudio:
    return EncodedAudio(torch.arange(float(num_tracks))[:, None])


def search(*tables: Table, beam_size: int, max_words: int = 8) -> list[list[Hypothesis]]:
    options = DecodingOptions(beam_size=beam_size, max_words=max_words)
    return beam_search(TableModel(tables), encoded(len(tables)), options)


def probabilities(hypotheses: Sequence[Hypothesis]) -> dict[tuple[int, ...], float]:
    return {found.word_ids: round(math.exp(found.log_prob), 6) for found in hypotheses}


# The most probable first word, A, leads to less probable captions than B, and C leads to the best one.
GARDEN_PATH: Table = {
    (): {A: 0.5, B: 0.3, C: 0.2},
    (A,): {A: 0.4, B: 0.3, C: 0.3},
    (A, A): {EOS: 1.0},
    (A, B): {EOS: 1.0},
    (A, C): {EOS: 1.0},
    (B,): {EOS: 0.7, A: 0.3},
    (B, A): {EOS: 1.0},
    (C,): {EOS: 1.0},
}
ENDLESS: Table = {(A,) * length: {A: 0.6, B: 0.4} for length in range(MAX_STEPS)}


def random_table(seed: int, depth: int = 5) -> Table:
    """Return probabilities of every sequence of up to `depth` words; `<eos>` is one of the words."""
    generator = torch.Generator().manual_seed(seed)
    table: dict[tuple[int, ...], dict[int, float]] = {}
    prefixes: list[tuple[int, ...]] = [()]
    for _ in range(depth):
        for prefix in prefixes:
            weights = torch.rand(4, generator=generator).softmax(dim=0).tolist()
            table[prefix] = dict(zip((EOS, A, B, C), weights, strict=True))
        prefixes = [(*prefix, word) for prefix in prefixes for word in (A, B, C)]
    return table


def plain_beam_search(table: Table, beam_size: int, max_words: int) -> list[Hypothesis]:
    """Search one track with lists and dictionaries, as the paper describes it."""
    unfinished: list[tuple[float, tuple[int, ...]]] = [(0.0, ())]
    finished: list[tuple[float, tuple[int, ...]]] = []
    for _ in range(max_words):
        extended = [
            (log_prob + math.log(probability), (*words, word))
            for log_prob, words in unfinished
            for word, probability in table[words].items()
        ]
        best = sorted(extended, reverse=True)[: beam_size - len(finished)]
        finished += [(log_prob, words[:-1]) for log_prob, words in best if words[-1] == EOS]
        unfinished = [(log_prob, words) for log_prob, words in best if words[-1] != EOS]
    return [
        Hypothesis(word_ids=words, log_prob=log_prob, finished=is_finished)
        for group, is_finished in ((finished, True), (unfinished, False))
        for log_prob, words in sorted(group, reverse=True)
    ]


def test_greedy_search_takes_the_most_probable_word_at_every_step():
    [found] = greedy_search(TableModel([GARDEN_PATH]), encoded(1), max_words=8)
    assert found.word_ids == (A, A)
    assert found.log_prob == pytest.approx(math.log(0.5 * 0.4))


def test_beam_of_one_equals_greedy():
    tables = [random_table(seed) for seed in range(8)]
    expected = greedy_search(TableModel(tables), encoded(8), max_words=5)
    assert search(*tables, beam_size=1, max_words=5) == [[found] for found in expected]


def test_beam_of_two_finds_a_caption_that_greedy_search_misses():
    [found] = search(GARDEN_PATH, beam_size=2)
    assert probabilities(found) == {(B,): 0.21, (A, A): 0.2}


def test_a_beam_keeps_as_many_hypotheses_as_it_is_wide():
    [found] = search(GARDEN_PATH, beam_size=3)
    assert probabilities(found) == {(B,): 0.21, (C,): 0.2, (A, A): 0.2}


def test_a_beam_wider_than_the_number_of_possible_captions_finds_all_of_them():
    [found] = search(GARDEN_PATH, beam_size=10)
    assert len(found) == 6
    assert sum(probabilities(found).values()) == pytest.approx(1.0)


@pytest.mark.parametrize("beam_size", [2, 3, 5])
@pytest.mark.parametrize("max_words", [1, 3, 5])
def test_beam_search_equals_a_search_written_with_lists(beam_size, max_words):
    tables = [random_table(seed) for seed in range(6)]
    for table, found in zip(tables, search(*tables, beam_size=beam_size, max_words=max_words), strict=True):
        expected = plain_beam_search(table, beam_size, max_words)
        assert [one.word_ids for one in found] == [one.word_ids for one in expected]
        assert [one.finished for one in found] == [one.finished for one in expected]
        assert [one.log_prob for one in found] == pytest.approx([one.log_prob for one in expected], abs=1e-5)


def test_a_finished_hypothesis_leaves_the_beam_and_narrows_it():
    table = {
        (): {EOS: 0.6, A: 0.4},
        (A,): {B: 0.6, C: 0.4},  # one place is left: C would need a second one
        (A, B): {EOS: 1.0},
        (A, C): {EOS: 1.0},
    }
    [found] = search(table, beam_size=2)
    assert probabilities(found) == {(): 0.6, (A, B): 0.24}


def test_a_finished_hypothesis_is_kept_although_better_ones_follow():
    table = {(): {A: 0.7, EOS: 0.1}, (A,): {B: 0.9}, (A, B): {EOS: 0.9}}
    [found] = search(table, beam_size=2)
    assert [one.word_ids for one in found] == [(A, B), ()]


def test_a_search_stops_when_every_hypothesis_is_finished():
    model = TableModel([{(): {A: 0.6, EOS: 0.4}, (A,): {EOS: 1.0}}])
    beam_search(model, encoded(1), DecodingOptions(beam_size=2, max_words=10))
    assert len(model.batch_sizes) == 2


def test_finished_hypotheses_come_first_best_first():
    [found] = search(GARDEN_PATH, beam_size=10)
    assert all(one.finished for one in found)
    assert [one.log_prob for one in found] == sorted((one.log_prob for one in found), reverse=True)


def test_a_finished_hypothesis_ranks_before_a_more_probable_unfinished_one():
    table = {(): {A: 0.9, EOS: 0.1}, (A,): {A: 1.0}}
    [found] = search(table, beam_size=2, max_words=2)
    assert [(one.word_ids, one.finished) for one in found] == [((), True), ((A, A), False)]


def test_the_best_unfinished_hypothesis_is_returned_if_none_finishes():
    [found] = search(ENDLESS, beam_size=2, max_words=3)
    assert not any(one.finished for one in found)
    assert found[0].word_ids == (A, A, A)
    assert found[0].log_prob == pytest.approx(3 * math.log(0.6))


@pytest.mark.parametrize("beam_size", [1, 2])
@pytest.mark.parametrize("max_words", [1, 4])
def test_no_caption_is_longer_than_the_limit(beam_size, max_words):
    [found] = search(ENDLESS, beam_size=beam_size, max_words=max_words)
    assert len(found[0].word_ids) == max_words


def test_words_exclude_eos_and_the_log_probability_includes_it():
    [[found, *_]] = search({(): {A: 1.0}, (A,): {EOS: 0.25, B: 0.2}, (A, B): {EOS: 1.0}}, beam_size=2)
    assert found.word_ids == (A,)
    assert found.log_prob == pytest.approx(math.log(0.25))


def test_hypotheses_of_equal_probability_are_all_returned():
    table = {(): {A: 0.25, B: 0.25, C: 0.25, EOS: 0.25}, (A,): {EOS: 1.0}, (B,): {EOS: 1.0}, (C,): {EOS: 1.0}}
    [found] = search(table, beam_size=4)
    assert probabilities(found) == {(): 0.25, (A,): 0.25, (B,): 0.25, (C,): 0.25}


def test_ties_have_the_same_outcome_in_every_batch():
    tied = {(): {A: 0.25, B: 0.25, C: 0.25, EOS: 0.25}, (A,): {EOS: 1.0}, (B,): {EOS: 1.0}, (C,): {EOS: 1.0}}
    [alone] = search(tied, beam_size=2)
    together = search(GARDEN_PATH, tied, random_table(1), tied, beam_size=2, max_words=5)
    assert together[1] == together[3] == alone


@pytest.mark.parametrize("beam_size", [1, 2, 5])
def test_a_batch_gives_the_captions_of_its_tracks_one_by_one(beam_size):
    tables = [*(random_table(seed) for seed in range(7)), GARDEN_PATH]
    together = search(*tables, beam_size=beam_size, max_words=5)
    assert together == [search(table, beam_size=beam_size, max_words=5)[0] for table in tables]


def test_finished_tracks_leave_the_batch_when_they_are_half_of_it():
    quick = {(): {EOS: 0.5, A: 0.5}, (A,): {EOS: 1.0}}
    model = TableModel([quick, ENDLESS, quick, ENDLESS])
    found = beam_search(model, encoded(4), DecodingOptions(beam_size=2, max_words=5))
    assert model.batch_sizes == [4, 4, 2, 2, 2]
    assert [hypotheses[0].finished for hypotheses in found] == [True, False, True, False]


@pytest.mark.parametrize("beam_size", [1, 3])
@pytest.mark.parametrize("steps", [4, 20])
def test_the_number_of_steps_between_checks_changes_nothing(beam_size, steps, monkeypatch):
    tables = [random_table(seed) for seed in range(9)]
    expected = search(*tables, beam_size=beam_size, max_words=5)
    monkeypatch.setitem(decoding.STEPS_BETWEEN_CHECKS, "cpu", steps)
    assert search(*tables, beam_size=beam_size, max_words=5) == expected
