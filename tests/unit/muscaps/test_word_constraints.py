"""Decoding without repeated content words and without `<unk>`: against a plain search of one track, and by example."""

import math
from typing import Any

import numpy as np
import pytest
import torch

from muscaps.config import DecodingOptions
from muscaps.decoding import allowed_words, beam_search
from muscaps.lexicon import content_word
from muscaps.models.caption_model import DecoderState, EncodedAudio
from muscaps.vocabulary import EOS, SOS, SPECIAL_TOKENS, UNK
from muscaps.word_constraints import WordConstraints
from muscaps.word_reward import WordReward

WORDS = [*SPECIAL_TOKENS, ",", "a", "with", "guitar", "guitars", "bass", "drum", "drums", "dark"]
INF = float("inf")


STEPS = 20


class TableModel:
    """A model whose next word depends on the track, the number of words so far and the last word."""

    def __init__(self, num_tracks, seed):
        shape = (num_tracks, STEPS, len(WORDS), len(WORDS))
        table = torch.from_numpy(np.random.default_rng(seed).normal(0, 1.5, shape))
        table[..., [0, SOS]] = -INF
        table[:, :, SOS, EOS] = -INF
        self.table = table.log_softmax(dim=-1)

    def encoded(self, tracks):
        return EncodedAudio(torch.tensor(tracks, dtype=torch.float64).unsqueeze(1))

    def start(self, encoded):
        nothing = torch.zeros(len(encoded.embedding), 1)
        return DecoderState(nothing, nothing, nothing, nothing)

    def step(self, encoded, state, word_ids):
        tracks = encoded.embedding[:, 0].long().repeat_interleave(len(word_ids) // len(encoded.embedding))
        position = state.encoder_hidden
        return self.table[tracks, position[:, 0].long(), word_ids], state._replace(encoder_hidden=position + 1)


def may_follow(words, word, no_repeated_words, allow_unknown):
    if word == UNK and not allow_unknown:
        return False
    key = content_word(WORDS[word])
    return not (no_repeated_words and key is not None and key in {content_word(WORDS[w]) for w in words})


def plain_search(table, beam, max_words, reward=0.0, **rules):
    """Search one track, a hypothesis at a time; every word but `<eos>`, commas and special tokens earns the reward."""

    def score(one):
        return one[1] + reward * sum(WORDS[word][0].isalnum() for word in one[0])

    live, finished, room = [((), 0.0)], [], beam
    for t in range(max_words):
        grown = [
            ((*words, word), log_prob + float(table[t, words[-1] if words else SOS, word]))
            for words, log_prob in live
            for word in range(len(WORDS))
            if may_follow(words, word, **rules)
        ]
        best = sorted((one for one in grown if one[1] > -INF), key=lambda one: -score(one))[:room]
        finished += [(words[:-1], log_prob) for words, log_prob in best if words[-1] == EOS]
        live = [one for one in best if one[0][-1] != EOS]
        room = beam - len(finished)
    return sorted(finished, key=lambda one: -score(one)) + sorted(live, key=lambda one: -score(one))


def found(model, tracks, beam, max_words, reward=0.0, **rules):
    constraints = WordConstraints(WORDS, **rules)
    options = DecodingOptions(beam_size=beam, max_words=max_words)
    guide = WordReward(WORDS, reward) if reward else None
    return beam_search(model, model.encoded(tracks), options, constraints, guide)


@pytest.mark.parametrize("no_repeated_words", [True, False])
@pytest.mark.parametrize("allow_unknown", [True, False])
@pytest.mark.parametrize("beam", [1, 2, 5, 12])
def test_many_tracks_at_once_give_what_a_plain_search_gives(beam, no_repeated_words, allow_unknown):
    rules = {"no_repeated_words": no_repeated_words, "allow_unknown": allow_unknown}
    model = TableModel(num_tracks=9, seed=beam)
    for track, hypotheses in enumerate(found(model, list(range(9)), beam, 9, **rules)):
        expected = plain_search(model.table[track], beam, 9, **rules)
        assert [one.word_ids for one in hypotheses] == [words for words, _ in expected]
        np.testing.assert_allclose([one.log_prob for one in hypotheses], [log_prob for _, log_prob in expected])


@pytest.mark.parametrize("beam", [1, 2, 5])
def test_with_a_reward_per_word_many_tracks_give_what_a_plain_search_gives(beam):
    rules = {"no_repeated_words": True, "allow_unknown": False, "reward": 0.8}
    model = TableModel(num_tracks=9, seed=10 + beam)
    for track, hypotheses in enumerate(found(model, list(range(9)), beam, 9, **rules)):
        expected = plain_search(model.table[track], beam, 9, **rules)
        assert [one.word_ids for one in hypotheses] == [words for words, _ in expected]
        np.testing.assert_allclose([one.log_prob for one in hypotheses], [log_prob for _, log_prob in expected])


@pytest.mark.parametrize("beam", [1, 4])
def test_no_content_word_comes_twice_and_stop_words_may(beam):
    model = TableModel(num_tracks=40, seed=3)
    stop_word_came_twice = False
    for hypotheses in found(model, list(range(40)), beam, 20, no_repeated_words=True, allow_unknown=False):
        for hypothesis in hypotheses:
            words = [WORDS[index] for index in hypothesis.word_ids]
            content = [content_word(word) for word in words if content_word(word)]
            assert len(content) == len(set(content))
            assert "<unk>" not in words
            stop_word_came_twice |= words.count("a") > 1 or words.count(",") > 1 or words.count("with") > 1
    assert stop_word_came_twice


def test_a_hypothesis_never_depends_on_the_tracks_beside_it():
    model = TableModel(num_tracks=9, seed=5)
    rules = {"no_repeated_words": True, "allow_unknown": False}
    together = found(model, list(range(9)), 4, 12, **rules)
    assert [found(model, [track], 4, 12, **rules)[0] for track in range(9)] == together


def test_log_probabilities_stay_the_models_own():
    model = TableModel(num_tracks=1, seed=6)
    [[best, *_]] = found(model, [0], 4, 8, no_repeated_words=True, allow_unknown=False)
    path = [SOS, *best.word_ids, *([EOS] if best.finished else [])]
    pairs = zip(path, path[1:], strict=False)
    own = math.fsum(float(model.table[0, t, last, word]) for t, (last, word) in enumerate(pairs))
    assert best.log_prob == pytest.approx(own)


def test_a_plural_rules_out_its_singular_and_nothing_else():
    constraints = WordConstraints(WORDS, no_repeated_words=True, allow_unknown=True)
    words = torch.tensor([[WORDS.index("drums"), WORDS.index("a"), -1]])
    left = constraints.constrained(torch.zeros(1, len(WORDS)), words)[0]
    assert {WORDS[index] for index in torch.nonzero(left == -INF).flatten()} == {"drum", "drums"}


def test_before_the_first_word_only_unk_is_ruled_out():
    constraints = WordConstraints(WORDS, no_repeated_words=True, allow_unknown=False)
    left = constraints.constrained(torch.zeros(2, len(WORDS)), torch.zeros(2, 0, dtype=torch.long))
    assert torch.nonzero(left == -INF).tolist() == [[0, UNK], [1, UNK]]


def test_an_excluded_phrase_rules_out_its_second_word_after_its_first():
    phrases = ["a guitar", "dark bass", "a kazoo"]
    constraints = WordConstraints(WORDS, no_repeated_words=False, allow_unknown=True, excluded_phrases=phrases)
    words = torch.tensor([[WORDS.index("dark"), WORDS.index("a")], [WORDS.index("a"), WORDS.index("dark")]])
    left = constraints.constrained(torch.zeros(2, len(WORDS)), words)
    assert torch.nonzero(left == -INF).tolist() == [[0, WORDS.index("guitar")], [1, WORDS.index("bass")]]


def excluded_after(*before: str, **rules: Any) -> set[str]:
    constraints = WordConstraints(WORDS, no_repeated_words=False, allow_unknown=True, **rules)
    left = constraints.constrained(torch.zeros(1, len(WORDS)), torch.tensor([[WORDS.index(word) for word in before]]))
    return {WORDS[index] for index in torch.nonzero(left[0] == -INF).flatten()}


def test_an_excluded_word_never_occurs():
    assert excluded_after("dark", excluded_phrases=["guitar"]) == {"guitar"}


def test_a_phrase_with_a_star_rules_out_its_last_word_after_any_word_between():
    phrases = ["a * guitar"]
    assert excluded_after("a", "dark", excluded_phrases=phrases) == {"guitar"}
    assert excluded_after("a", excluded_phrases=phrases) == set()
    assert excluded_after("dark", "a", excluded_phrases=phrases) == set()


def test_an_excluded_phrase_of_another_form_is_named():
    with pytest.raises(ValueError, match="or `word \\* word`, not 'in the music'"):
        WordConstraints(WORDS, no_repeated_words=False, allow_unknown=True, excluded_phrases=["in the music"])


def test_an_improbable_word_does_not_follow():
    constraints = WordConstraints(WORDS, no_repeated_words=False, allow_unknown=False, least_word_share=0.1)
    shares = torch.full((1, len(WORDS)), 0.001)
    shares[0, [UNK, WORDS.index("a"), WORDS.index("dark"), WORDS.index("bass")]] = torch.tensor([0.5, 0.3, 0.04, 0.02])
    left = constraints.constrained(shares.log(), torch.zeros(1, 0, dtype=torch.long))
    kept = torch.nonzero(left[0].isfinite()).flatten().tolist()
    assert [WORDS[index] for index in kept] == ["a", "dark"]  # at least a tenth of 0.3: <unk> does not count
    assert left[0, kept].tolist() == shares.log()[0, kept].tolist()


class RuledOut:
    """A guide that rules out "a"."""

    def select(self, rows):
        return self

    def bonus(self, words):
        return torch.zeros(len(words), len(WORDS))

    def ruled_out(self, words):
        return torch.tensor([word == "a" for word in WORDS]).expand(len(words), -1)


def test_words_are_compared_with_the_most_probable_one_that_the_guide_allows():
    constraints = WordConstraints(WORDS, no_repeated_words=False, allow_unknown=True, least_word_share=0.1)
    shares = torch.full((1, len(WORDS)), 0.0001)
    shares[0, [WORDS.index("a"), WORDS.index("dark"), WORDS.index("bass")]] = torch.tensor([0.8, 0.19, 0.009])
    nothing = torch.zeros(1, 0, dtype=torch.long)
    left = allowed_words(shares.log(), nothing, constraints, RuledOut())
    assert [WORDS[index] for index in torch.nonzero(left[0].isfinite()).flatten()] == ["dark"]


def test_a_guide_rules_nothing_out_where_hardly_anything_is_left():
    shares = torch.full((2, len(WORDS)), 1e-6)
    shares[0, WORDS.index("a")], shares[1, WORDS.index("a")] = 0.95, 0.85
    shares[0, WORDS.index("dark")], shares[1, WORDS.index("dark")] = 0.05, 0.15
    left = allowed_words(shares.log(), torch.zeros(2, 0, dtype=torch.long), None, RuledOut())
    assert left[:, WORDS.index("a")].isfinite().tolist() == [True, False]


def test_a_share_that_is_none_is_refused():
    with pytest.raises(ValueError, match=r"least_word_share must lie in 0 to 1, not 1\.5"):
        WordConstraints(WORDS, no_repeated_words=False, allow_unknown=True, least_word_share=1.5)
