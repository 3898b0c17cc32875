"""Evidence: what claims are worth, how it guides the search, and what stays as it is without tag heads."""

import math

import numpy as np
import pytest
import torch

from muscaps import Captioner, DecodingOptions
from muscaps.caption import to_caption
from muscaps.checkpoint import load_checkpoint
from muscaps.decoding import Hypothesis
from muscaps.evidence import Evidence, EvidenceConfig, EvidenceScorer
from muscaps.search_rules import TrackRules
from muscaps.tagger import TagHeads
from muscaps.vocabulary import SPECIAL_TOKENS, Vocabulary
from tests.tagged_checkpoint import write_tagged

NAMES = (
    ("instrument", "strings"),
    ("instrument", "violin"),
    ("instrument", "piano"),
    ("mood", "dark"),
    ("instrument", "drum machine"),
)
WORDS = (*SPECIAL_TOKENS, ",", "a", "violin", "violins", "piano", "dark", "drum", "machine", "cello")
SCORES = torch.tensor([0.8, 0.5, 0.2, 0.999, 0.7])


def scorer(**config):
    return EvidenceScorer(WORDS, NAMES, EvidenceConfig(**{"weight": 1.0, **config}))


def logit(p):
    return math.log(p / (1 - p))


def ids(text):
    return [WORDS.index(word) for word in text.split()]


def test_a_claim_is_worth_the_log_odds_of_its_score_over_the_threshold():
    track = scorer(threshold=0.3).of_track(SCORES)
    assert track.worth("A piece for piano") == pytest.approx(logit(0.2) - logit(0.3))
    assert track.worth("A piece for violin") == pytest.approx(logit(0.8) + logit(0.5) - 2 * logit(0.3))


def test_a_score_at_the_threshold_is_worth_nothing_and_worth_is_clipped_on_both_sides():
    assert scorer(threshold=0.2).of_track(SCORES).worth("piano") == pytest.approx(0, abs=1e-6)
    assert scorer(limit=2).of_track(SCORES).worth("dark") == 2
    assert scorer(limit=1).of_track(SCORES).worth("piano") == -1


def test_a_tag_that_two_words_claim_counts_once():
    track = scorer().of_track(SCORES)
    assert track.worth("violin and cello") == track.worth("violin")


def test_the_weight_scales_what_claims_are_worth():
    assert scorer(weight=0.25).of_track(SCORES).worth("dark piano") == pytest.approx(
        scorer().of_track(SCORES).worth("dark piano") / 4
    )


def test_entries_name_phrase_tag_and_score_in_the_order_of_the_text():
    entries = scorer().of_track(SCORES).entries("Dark cello over drum machine, dark flute")
    assert [(one.word, one.tag) for one in entries] == [
        ("dark", "dark"),
        ("cello", "strings"),
        ("drum machine", "drum machine"),
    ]
    assert entries[1] == Evidence(word="cello", tag="strings", score=pytest.approx(0.8))


def test_the_next_words_bonus_is_what_its_claims_are_worth_until_they_were_made():
    guide = scorer().guide(SCORES.unsqueeze(0))
    words = torch.tensor([ids("a dark"), ids("cello a")])
    fresh, after_cello = guide.bonus(words)
    column = {word: index for index, word in enumerate(WORDS)}
    assert fresh[column["violin"]] == pytest.approx(logit(0.8) + logit(0.5), abs=1e-5)
    assert after_cello[column["violin"]] == pytest.approx(logit(0.5), abs=1e-5)  # strings are claimed already
    assert fresh[column["dark"]] == 0  # so is dark
    assert after_cello[column["dark"]] == pytest.approx(3)
    assert fresh[column["a"]] == fresh[column[","]] == 0


def test_a_guide_gives_every_tracks_hypotheses_their_own_bonus():
    guide = scorer().guide(torch.stack([SCORES, 1 - SCORES]))
    words = torch.full((4, 1), -1)
    bonus = guide.bonus(words)[:, WORDS.index("piano")]
    np.testing.assert_allclose(bonus, [logit(0.2)] * 2 + [logit(0.8)] * 2, atol=1e-5)
    np.testing.assert_array_equal(guide.select(torch.tensor([1])).bonus(words[:2]), guide.bonus(words)[2:])


TEMPOS = (("tempo", "slow"), ("tempo", "medium"), ("tempo", "fast"))
TEMPO_WORDS = (*SPECIAL_TOKENS, "slow", "slowly", "moderate", "fast", "piano")


def tempo_scorer():
    return EvidenceScorer(TEMPO_WORDS, TEMPOS, EvidenceConfig(weight=2.0, threshold=0.3, limit=3.0))


def test_a_claim_that_contradicts_an_earlier_one_costs_the_limit():
    guide = tempo_scorer().guide(torch.tensor([[0.5, 0.4, 0.1]]))
    bonus = guide.bonus(torch.tensor([[TEMPO_WORDS.index("moderate")]]))[0]
    column = {word: index for index, word in enumerate(TEMPO_WORDS)}
    assert bonus[column["slow"]] == bonus[column["fast"]] == -6
    assert bonus[column["piano"]] == 0


def test_a_finished_caption_pays_for_contradictions_too():
    track = tempo_scorer().of_track(torch.tensor([0.5, 0.4, 0.1]))
    moderate = 2 * (logit(0.4) - logit(0.3))
    assert track.worth("A moderate piece") == pytest.approx(moderate)
    assert track.worth("A moderate piece at a slow tempo") == pytest.approx(moderate - 6)


def test_words_that_begin_a_longer_phrase_wait_for_it():
    words = (*SPECIAL_TOKENS, "electronic", "drums")
    guide = EvidenceScorer(words, (("genre", "electronica"),), EvidenceConfig(weight=1)).guide(torch.tensor([[0.9]]))
    assert guide.bonus(torch.full((1, 0), -1))[0, words.index("electronic")] == 0


def test_finished_hypotheses_are_ranked_by_log_probability_plus_worth():
    hypotheses = [
        Hypothesis(word_ids=tuple(ids("a piano")), log_prob=-4.0, finished=True),
        Hypothesis(word_ids=tuple(ids("a cello")), log_prob=-5.0, finished=True),
        Hypothesis(word_ids=tuple(ids("a dark")), log_prob=-1.0, finished=False),
    ]
    caption = to_caption([hypotheses], Vocabulary(WORDS), 2, TrackRules(evidence=scorer().of_track(SCORES)))
    assert (caption.text, caption.log_prob) == ("A cello.", -5.0)
    assert [other.text for other in caption.alternatives] == ["A piano.", "A dark."]
    assert [one.tag for one in caption.evidence] == ["strings"]
    plain = to_caption([hypotheses], Vocabulary(WORDS), 2)
    assert (plain.text, plain.evidence) == ("A piano.", ())


@pytest.mark.parametrize(
    "config",
    [
        {"weight": -1},
        {"threshold": 0},
        {"threshold": 1},
        {"limit": 0},
        {"weight": float("nan")},
        {"thresholds": {("mood", "dark"): 1.0}},
        {"floor": 1.0},
    ],
)
def test_impossible_settings_are_refused(config):
    with pytest.raises(ValueError, match=r"weight|threshold|limit|floor"):
        EvidenceConfig(**config)


def test_a_card_without_the_section_gives_weight_0():
    assert EvidenceConfig.of_card({}).weight == 0
    card = {"evidence_weight": 0.5, "evidence_threshold": 0.3, "evidence_limit": 2, "allow_unknown": False}
    assert EvidenceConfig.of_card(card) == EvidenceConfig(weight=0.5, threshold=0.3, limit=2.0)


def test_words_that_claim_a_tag_below_the_floor_are_ruled_out():
    config = EvidenceConfig.of_card({"evidence_weight": 1.0, "evidence_floor": 0.2})
    names = [("instrument", "piano"), ("instrument", "woodwind")]
    scorer_ = EvidenceScorer(["a", "piano", "flute"], names, config)
    guide = scorer_.guide(torch.tensor([[0.19, 0.2], [0.9, 0.1]], dtype=torch.float64))
    words = torch.zeros(4, 1, dtype=torch.long)  # two hypotheses each
    expected = [[False, True, False]] * 2 + [[False, False, True]] * 2
    assert guide.ruled_out(words).tolist() == expected
    assert guide.select(torch.tensor([1])).ruled_out(words[:2]).tolist() == expected[2:]


def test_a_tag_can_have_a_threshold_of_its_own():
    card = {"evidence_weight": 1.0, "evidence_threshold": 0.3, "evidence_thresholds": {"instrument": {"piano": 0.6}}}
    config = EvidenceConfig.of_card(card)
    assert config.thresholds == {("instrument", "piano"): 0.6}
    words, names = ["piano", "flute"], [("instrument", "piano"), ("instrument", "woodwind")]
    scores = torch.tensor([0.6, 0.6], dtype=torch.float64)
    assert EvidenceScorer(words, names, config).log_odds(scores).tolist() == pytest.approx(
        [0, math.log(1.5) - math.log(3 / 7)]
    )


@pytest.fixture(scope="module")
def tagged(tiny_checkpoint, tmp_path_factory):
    """Write the tiny captioner with heads that are sure of piano and of no other instrument."""

    def write(weight):
        names = tuple(("instrument", tag) for tag in ("piano", "guitar", "drums", "strings", "synth", "brass"))
        width = load_checkpoint(tiny_checkpoint).model.feature_extractor.feature_dim
        bias = torch.tensor([4.0] + [-4.0] * (len(names) - 1))
        heads = TagHeads(names=names, weight=torch.zeros(len(names), width), bias=bias, card={})
        directory = tmp_path_factory.mktemp("tagged") / "checkpoint"
        decoding = {"no_repeated_words": True, "evidence_weight": weight}
        return Captioner.load(write_tagged(tiny_checkpoint, directory, heads, decoding=decoding))

    return write


@pytest.fixture(scope="module")
def features(tagged):
    captioner = tagged(0.0)
    rng = np.random.default_rng(0)
    return [rng.standard_normal((n, captioner.feature_dim)).astype(np.float32) for n in (1, 2, 3, 5, 8, 13)]


@pytest.mark.parametrize("beam_size", [1, 5])
def test_evidence_moves_captions_to_what_the_tagger_is_sure_of(tagged, features, beam_size):
    options = DecodingOptions(beam_size=beam_size)
    before = [caption.words for caption in tagged(0.0).caption_features(features, options)]
    after = [caption.words for caption in tagged(8.0).caption_features(features, options)]
    wrong = {"guitar", "drums", "strings", "synth", "brass"}
    assert sum(len(wrong & set(words)) for words in before) > 3
    assert sum(len(wrong & set(words)) for words in after) == 0
    assert all("piano" in words for words in after)


def test_log_prob_stays_the_models_own(tagged, features):
    captioner = tagged(8.0)
    for track, caption in zip(features, captioner.caption_features(features), strict=True):
        if len(caption.words) < 22:
            assert captioner.score([track], " ".join(caption.words))[0] == pytest.approx(caption.log_prob, abs=1e-3)


def test_captions_with_evidence_do_not_depend_on_the_batch(tagged, features):
    captioner = tagged(2.0)
    together = captioner.caption_features(features)
    assert [captioner.caption_features([track])[0].words for track in features] == [one.words for one in together]


def test_with_weight_0_captions_are_the_models_own_and_evidence_is_reported(tagged, features, tiny_checkpoint):
    plain = Captioner.load(tiny_checkpoint).caption_features(features, DecodingOptions(no_repeated_words=True))
    weighted = tagged(0.0).caption_features(features)
    assert [caption.words for caption in weighted] == [caption.words for caption in plain]
    assert any(caption.evidence for caption in weighted)
    assert not any(caption.evidence for caption in plain)


def test_a_tempo_stated_twice_costs_the_limit_in_the_search_and_in_whole_captions():
    words = (*SPECIAL_TOKENS, "a", "fast", "tune", "brisk", "violin")
    tempo = EvidenceScorer(words, (("tempo", "fast"), ("instrument", "violin")), EvidenceConfig(weight=1.0, limit=3.0))
    scores = torch.tensor([0.8, 0.8])
    once, twice = (tempo.of_track(scores).worth(text) for text in ("a fast tune", "a fast tune, brisk"))
    assert once - twice == pytest.approx(3)
    bonus = tempo.guide(scores.unsqueeze(0)).bonus(torch.tensor([[words.index("a"), words.index("fast")]]))
    assert bonus[0, words.index("brisk")] == -3
    assert bonus[0, words.index("violin")] > 0


def test_a_slow_tempo_and_high_energy_are_not_said_together():
    names = [("tempo", "slow"), ("energy", "high"), ("energy", "low")]
    track = EvidenceScorer(["leisurely"], names, EvidenceConfig(weight=1.0, limit=3.0)).of_track(torch.full((3,), 0.8))
    slow = track.worth("a tune at a leisurely pace")
    assert slow == pytest.approx(math.log(4))
    assert track.worth("an energetic tune at a leisurely pace") == pytest.approx(slow - 3)
    assert track.worth("a calm tune at a leisurely pace") == pytest.approx(2 * slow)
