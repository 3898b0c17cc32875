"""A captioner on tag logits and the same one on features, and its data: features, noise, completed facts, waveforms."""

import numpy as np
import pytest
import torch

from muscaps.config import ExtractorConfig, ModelConfig
from muscaps.corpus.facts import Facts, InstrumentFact
from muscaps.models.architectures import build_extractor
from muscaps.models.muscaps import MusCaps
from muscaps.training.bottleneck_dataset import LogitEntry, noisy_readers, write_bottleneck_dataset
from muscaps.training.completed_facts import completed_catalogue_facts, plain_clip_facts, predicted_facts
from muscaps.training.feature_file import FeatureEntry, load_features, save_features
from muscaps.training.tag_bottleneck import TagLogits, reading_features
from muscaps.training.waveform_augmentation import disturbed_waveform

TAGS = 5


def model_on_logits(fusion):
    torch.manual_seed(0)
    config = ModelConfig(
        fusion=fusion, vocabulary_size=9, word_embedding_dim=6, audio_embedding_dim=8, hidden_dim=8, attention_dim=4
    )
    return MusCaps(config, TagLogits(TAGS)).eval()


@pytest.mark.parametrize("fusion", ["early", "late", "attention"])
def test_both_captioners_give_the_same_logits(fusion):
    config = ExtractorConfig(num_channels=4, frontend_scale=0.05)
    extractor = build_extractor(config)
    model = model_on_logits(fusion)
    weight, bias = torch.randn(TAGS, extractor.feature_dim), torch.randn(TAGS)
    whole = reading_features(model, weight, bias, extractor, config)
    features = torch.randn(2, 3, extractor.feature_dim)
    mask = torch.tensor([[True, True, True], [True, True, False]])
    words = torch.tensor([[2, 4, 5], [2, 6, 7]])
    with torch.inference_mode():
        expected = model(features @ weight.T + bias, mask, words)
        assert torch.allclose(whole(features, mask, words), expected, atol=1e-4)
    assert whole.config.extractor == config


def entry(track_id="a", version="plain", chunks=7):
    features = np.arange(chunks * 3).reshape(chunks, 3).astype(np.float16)
    return FeatureEntry(track_id=track_id, version=version, features=features)


def test_a_feature_file_returns_what_was_saved(tmp_path):
    entries = [entry(), entry("b", "disturbed", 2)]
    file = tmp_path / "made" / "features" / "x.npz"  # the folders do not exist
    save_features(file, entries)
    found = load_features(file)
    assert [(e.track_id, e.version) for e in found] == [("a", "plain"), ("b", "disturbed")]
    for one, other in zip(found, entries, strict=True):
        np.testing.assert_array_equal(one.features, other.features)
    assert list(file.parent.iterdir()) == [file]


def test_halves_need_three_chunks_each():
    assert [half.version for half in entry(chunks=7).halves()] == ["first_half", "second_half"]
    assert [half.features[0, 0] for half in entry(chunks=7).halves()] == [0, 12]
    assert list(entry(chunks=5).halves()) == []


@pytest.fixture
def logits_dataset(tmp_path):
    generator = np.random.default_rng(0)
    entries = [
        LogitEntry(
            name=f"track{index}/plain",
            captions=("dark strings and piano", "piano and dark strings"),
            logits=generator.standard_normal((3, TAGS)).astype(np.float32),
            split="train" if index else "validation",
            copies=1 + index,
        )
        for index in range(3)
    ]
    return write_bottleneck_dataset(tmp_path / "data", entries), entries


def test_copies_of_a_track_are_examples_of_their_own(logits_dataset):
    dataset, entries = logits_dataset
    assert [example.track_id for example in dataset.split("train")] == [
        "track1/plain#0",
        "track1/plain#1",
        "track2/plain#0",
        "track2/plain#1",
        "track2/plain#2",
    ]
    np.testing.assert_allclose(dataset.features(dataset.split("train")[1]), entries[1].logits, atol=2e-3)


def test_noise_is_the_same_for_all_chunks_and_every_epoch(logits_dataset):
    dataset, _ = logits_dataset
    first, second = noisy_readers(dataset, 0.5, 2, seed=1)
    example = dataset.split("train")[0]
    noise = first(example) - dataset.features(example)
    np.testing.assert_allclose(noise, np.repeat(noise[:1], 3, axis=0), atol=1e-5)
    np.testing.assert_array_equal(first(example), first(example))
    assert not np.allclose(first(example), second(example))


SCORES = {
    ("instrument", "strings"): 0.9,
    ("instrument", "cello"): 0.7,
    ("instrument", "piano"): 0.5,
    ("instrument", "drums"): 0.2,
    ("mood", "dark"): 0.8,
    ("mood", "bright"): 0.1,
    ("mood", "bouncy"): 0.5,
    ("mood", "mysterious"): 0.6,
    ("energy", "low"): 0.6,
    ("tempo", "slow"): 0.5,
    ("tempo", "medium"): 0.4,
    ("genre", "cinematic"): 0.5,
    ("genre", "orchestral"): 0.1,
}


def test_scores_that_are_high_enough_become_facts():
    facts = predicted_facts(SCORES)
    assert [fact.name for fact in facts.instruments] == ["cello", "piano"]
    assert facts.genres == ("soundtrack",)
    assert facts.energies == {"low"}
    assert facts.tempo == ""


def test_feels_of_the_mood_that_is_unlikely_are_dropped():
    assert predicted_facts(SCORES).moods == ("mysterious",)


def test_known_facts_stay():
    known = Facts(
        instruments=(InstrumentFact(name="drums"), InstrumentFact(name="piano")), moods=("happy",), tempo="fast"
    )
    facts = completed_catalogue_facts(known, SCORES)
    assert [fact.name for fact in facts.instruments] == ["piano", "drums"]
    assert (facts.moods, facts.tempo) == (("happy",), "fast")
    assert facts.genres == ("soundtrack",)
    assert facts.energies == frozenset()


def test_an_instrument_without_a_trace_is_not_named():
    known = Facts(instruments=(InstrumentFact(name="harp"), InstrumentFact(name="piano")))
    facts = completed_catalogue_facts(known, SCORES | {("instrument", "harp"): 0.02})
    assert [fact.name for fact in facts.instruments] == ["piano"]


def test_clip_facts_lose_what_scores_cannot_tell():
    known = Facts(
        instruments=(InstrumentFact(name="piano", playings=("staccato",), enters_late=True),),
        texture="busy",
        triple_meter=True,
        vocals="none",
        tempo="fast",
    )
    plain = plain_clip_facts(known, SCORES)
    assert plain.instruments == (InstrumentFact(name="piano"),)
    assert (plain.texture, plain.triple_meter, plain.vocals, plain.tempo) == ("", False, "", "fast")


def test_moods_and_energy_of_a_clip_are_those_that_scores_find():
    known = Facts(instruments=(InstrumentFact(name="piano"),), moods=("happy",), energies=frozenset(["high"]))
    plain = plain_clip_facts(known, SCORES)
    assert (plain.moods, plain.energies) == (("mysterious",), {"low"})


@pytest.mark.parametrize(
    ("name", "scores", "alone"),
    [
        ("strings", {"strings": 0.9}, True),
        ("strings", {"strings": 0.4}, False),
        ("strings", {"strings": 0.9, "drums": 0.6}, False),
        ("choir", {"choir": 0.9}, False),
    ],
)
def test_a_solo_needs_clear_scores(name, scores, alone):
    known = Facts(instruments=(InstrumentFact(name={"strings": "violin"}.get(name, name)),), complete=True)
    by_tag = {("instrument", family): score for family, score in scores.items()}
    assert plain_clip_facts(known, by_tag).solo == alone
    assert completed_catalogue_facts(known, by_tag).solo == alone


def test_a_disturbed_waveform_depends_on_its_seed_alone():
    waveform = np.sin(np.arange(32_000) / 20).astype(np.float32) * 0.3
    first, again, other = (disturbed_waveform(waveform, seed) for seed in ([1, 2], [1, 2], [1, 3]))
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, other)
    assert first.shape == waveform.shape
    assert first.dtype == np.float32
    assert np.abs(first).max() <= 1


def test_silence_can_be_disturbed():
    assert np.isfinite(disturbed_waveform(np.zeros(16_000, dtype=np.float32), [0])).all()
