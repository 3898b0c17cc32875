"""The drawn first word of a caption: how probable it is, what rules it out, and the search that continues from it."""

import math

import numpy as np
import pytest
import torch

from muscaps import Captioner, DecodingOptions
from muscaps.checkpoint import load_checkpoint
from muscaps.decoding import beam_search, greedy_search
from muscaps.models.caption_model import DecoderState, EncodedAudio
from muscaps.openings import FirstWords, drawn_first_words, track_numbers
from muscaps.tagger import TagHeads
from muscaps.tags import MUSIC
from muscaps.vocabulary import EOS, SPECIAL_TOKENS
from muscaps.word_constraints import WordConstraints
from tests.tagged_checkpoint import write_tagged

WORDS = [*SPECIAL_TOKENS, "a", "dark", "techno", "piano", "track"]
FIRST = {"a": 0.4, "dark": 0.3, "techno": 0.2, "piano": 0.06, "track": 0.04}


class OneSentence:
    """Begins with the words of `FIRST` and goes on with "track" and the end."""

    def start(self, encoded):
        nothing = torch.zeros(len(encoded.embedding), 1)
        return DecoderState(nothing, nothing, nothing, nothing)

    def step(self, encoded, state, word_ids):
        log_probs = torch.full((len(word_ids), len(WORDS)), -20.0)
        steps = state.encoder_hidden[:, 0]
        for word, share in FIRST.items():
            log_probs[steps == 0, WORDS.index(word)] = math.log(share)
        log_probs[steps == 1, WORDS.index("track")] = math.log(0.9)
        log_probs[steps >= 1, EOS] = math.log(0.1)
        log_probs[steps >= 2, EOS] = math.log(0.9)
        return log_probs, state._replace(encoder_hidden=state.encoder_hidden + 1)


class Evidence:
    """Speaks for techno and rules out darkness."""

    def select(self, rows):
        return self

    def bonus(self, words):
        bonus = torch.zeros(len(words), len(WORDS))
        bonus[:, WORDS.index("techno")] = 3.0
        return bonus

    def ruled_out(self, words):
        return torch.tensor([word == "dark" for word in WORDS]).expand(len(words), -1)


def drawn(numbers, mass=1.0, constraints=None, evidence=None, count=1):
    """Return (row, word) of each draw, or the words alone where each track has one."""
    encoded = EncodedAudio(torch.zeros(len(numbers), 1))
    numbers = torch.tensor(numbers, dtype=torch.float64)
    rows, ids = drawn_first_words(OneSentence(), encoded, numbers, count, mass, constraints, evidence)
    words = [WORDS[index] for index in ids]
    if count > 1:
        return list(zip(rows.tolist(), words, strict=True))
    assert rows.tolist() == list(range(len(numbers)))
    return words


def test_each_word_is_drawn_by_its_probability():
    found = drawn(np.linspace(0, 1, 1000, endpoint=False))
    shares = {word: found.count(word) / 1000 for word in FIRST}
    assert all(abs(shares[word] - share) < 0.003 for word, share in FIRST.items())


def test_only_the_most_probable_words_are_drawn():
    found = drawn(np.linspace(0, 1, 100, endpoint=False), mass=0.85)
    assert set(found) == {"a", "dark", "techno"}
    assert found.count("a") == 45  # 0.4 of 0.9


def test_the_greatest_number_draws_a_word_that_is_kept():
    assert drawn([1 - 1e-16, 1 - 1e-9], mass=0.5) == ["dark", "dark"]
    assert drawn([1.0], mass=0.5) == drawn([0.0], mass=0.5)


def test_several_draws_are_evenly_spaced_and_a_word_counts_once():
    assert set(drawn([0.0, 0.3], count=2)) == {(0, "a"), (0, "dark"), (1, "a"), (1, "techno")}
    assert set(drawn([0.1], count=4)) == {(0, "a"), (0, "dark"), (0, "techno")}  # 0.1 and 0.35 draw the same word


def test_evidence_rules_words_out_and_makes_none_more_probable():
    found = drawn(np.linspace(0, 1, 700, endpoint=False), evidence=Evidence())
    assert "dark" not in found
    assert found.count("techno") == 200


def test_constraints_hold_for_the_first_word():
    constraints = WordConstraints(
        WORDS, no_repeated_words=False, allow_unknown=True, excluded_phrases=["a"], least_word_share=0.5
    )
    assert set(drawn(np.linspace(0, 1, 100, endpoint=False), constraints=constraints)) == {"dark", "techno"}


def test_searches_continue_from_the_first_word():
    guide = FirstWords(torch.tensor([WORDS.index("piano"), WORDS.index("dark")]), len(WORDS))
    encoded = EncodedAudio(torch.zeros(2, 1))
    options = DecodingOptions(beam_size=3, max_words=4)
    best = [hypotheses[0] for hypotheses in beam_search(OneSentence(), encoded, options, guide=guide)]
    greedy = greedy_search(OneSentence(), encoded, options.max_words, guide=guide)
    for found in (best, greedy):
        assert [[WORDS[index] for index in one.word_ids] for one in found] == [["piano", "track"], ["dark", "track"]]
        assert abs(found[0].log_prob - math.log(0.06 * 0.9 * 0.9)) < 1e-6


def test_numbers_of_tracks_spread_evenly_and_ignore_rounding():
    logits = torch.from_numpy(np.random.default_rng(0).normal(-1, 2, (2000, 80)))
    numbers = track_numbers(logits)
    counts = np.histogram(numbers, bins=10, range=(0, 1))[0]
    assert counts.min() > 150 and counts.max() < 250
    moved = (track_numbers(logits + 1e-5) - numbers).abs()
    assert (torch.minimum(moved, 1 - moved) < 1e-4).all()


@pytest.fixture(scope="module")
def captioner_with(tiny_checkpoint, tmp_path_factory):
    """Load the tiny captioner with random tag heads and some settings of the card's section `decoding`."""

    def load(extra_heads=(), **decoding):
        names = (*(("instrument", tag) for tag in ("piano", "guitar", "drums", "strings")), *extra_heads)
        width = load_checkpoint(tiny_checkpoint).model.feature_extractor.feature_dim
        weight = torch.from_numpy(np.random.default_rng(1).normal(0, 1, (len(names), width))).float()
        heads = TagHeads(names=names, weight=weight, bias=torch.zeros(len(names)), card={})
        directory = tmp_path_factory.mktemp("drawn") / "checkpoint"
        decoding = {"no_repeated_words": True, **decoding}
        return Captioner.load(write_tagged(tiny_checkpoint, directory, heads, decoding=decoding))

    return load


@pytest.fixture(scope="module")
def features(captioner_with):
    rng = np.random.default_rng(0)
    width = captioner_with().feature_dim
    return [rng.standard_normal((n, width)).astype(np.float32) for n in (1, 2, 3, 5, 8, 13) for _ in range(4)]


def first_words(captions):
    return [caption.words[0] for caption in captions]


@pytest.mark.parametrize("options", [{}, {"beam_size": 1}])
def test_captions_begin_with_other_words_and_do_not_depend_on_the_batch(captioner_with, features, options):
    options = DecodingOptions(**options)
    captioner = captioner_with(opening_mass=0.9)
    captions = captioner.caption_features(features, options)
    plain = captioner_with().caption_features(features, options)
    assert first_words(captions) != first_words(plain)
    alone = [captioner.caption_features([track], options)[0] for track in features]
    assert [one.words for one in alone] == [one.words for one in captions]


def test_the_best_of_several_beginnings_wins_and_alternatives_begin_differently(captioner_with, features):
    options = DecodingOptions(num_alternatives=2)
    several = captioner_with(opening_mass=0.9, num_openings=4)
    captions = several.caption_features(features, options)
    one_beginning = captioner_with(opening_mass=0.9).caption_features(features, options)
    pairs = list(zip(captions, one_beginning, strict=True))
    assert any(one.words[0] != other.words[0] for one, other in pairs)
    assert all(one.log_prob >= other.log_prob - 1e-6 for one, other in pairs)
    for caption in captions:
        beginnings = [text.split()[0].lower() for text in (caption.text, *(one.text for one in caption.alternatives))]
        assert len(set(beginnings)) == 3
    alone = [several.caption_features([track], options)[0] for track in features]
    assert [one.words for one in alone] == [one.words for one in captions]


@pytest.mark.parametrize("limit", [{"word_limit": 8}, {"char_limit": 40}])
def test_under_a_limit_nothing_is_drawn_and_improbable_words_may_follow(captioner_with, features, limit):
    captions = captioner_with(opening_mass=0.9, least_word_share=0.5).caption_features(
        features, DecodingOptions(**limit)
    )
    plain = captioner_with().caption_features(features, DecodingOptions(**limit))
    assert [one.words for one in captions] == [one.words for one in plain]


def test_a_head_for_other_sounds_changes_no_caption(captioner_with, features):
    before = captioner_with(opening_mass=0.9).caption_features(features)
    after = captioner_with([MUSIC], opening_mass=0.9).caption_features(features)
    assert [one.words for one in before] == [one.words for one in after]
