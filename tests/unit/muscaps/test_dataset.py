"""Cleaning, split, storage and batches of audio-caption pairs."""

from pathlib import Path

import numpy as np
import pytest

from muscaps.config import ExtractorConfig
from muscaps.models.architectures import build_extractor
from muscaps.training.batches import collate, random_excerpt
from muscaps.training.dataset.cleaning import CleaningRules, clean
from muscaps.training.dataset.feature_cache import FeatureCache, extractor_digest
from muscaps.training.dataset.pairs import DatasetError, Pair
from muscaps.training.dataset.reader import PreparedDataset
from muscaps.training.dataset.splits import assign_splits, split_name
from muscaps.training.dataset.writer import DatasetWriter
from muscaps.vocabulary import EOS, PAD, SOS


def pair(track_id: str, *captions: str, seconds: float | None = 60.0, split: str | None = None) -> Pair:
    return Pair(track_id=track_id, uri=f"{track_id}.wav", captions=captions, duration_s=seconds, split=split)


def test_cleaning_counts_what_each_rule_drops() -> None:
    pairs = [
        pair("short", "a calm piano piece", seconds=29.9),
        pair("long", "a calm piano piece", seconds=360.1),
        pair("terse", "calm piano"),
        pair("wordy", " ".join(["word"] * 23)),
        pair("first", "A calm piano piece."),
        pair("copy", "a calm piano piece"),
        pair("several", "too short", "driving rock with drums", "a calm, piano piece"),
        pair("limits", " ".join(["fine"] * 22), seconds=30.0),
        pair("unknown length", "slow strings and harp", seconds=None),
    ]
    kept, report = clean(pairs)
    assert [p.track_id for p in kept] == ["first", "several", "limits", "unknown length"]
    assert kept[1].captions == ("driving rock with drums", "a calm, piano piece")
    assert report.dropped_pairs == {"too_short": 1, "too_long": 1, "no_caption_left": 3}
    assert report.dropped_captions == {"too_few_tokens": 2, "too_many_tokens": 1, "duplicate": 1}
    assert (report.pairs, report.captions, report.kept_pairs, report.kept_captions) == (9, 11, 4, 5)


def test_cleaning_rules_can_be_switched_off() -> None:
    pairs = [pair("a", "one two three", seconds=5), pair("b", "one two three", seconds=900)]
    kept, report = clean(pairs, CleaningRules(min_seconds=None, max_seconds=None, unique_captions=False))
    assert len(kept) == 2
    assert not report.dropped_pairs
    assert not report.dropped_captions


def test_impossible_rules_are_refused() -> None:
    with pytest.raises(ValueError, match="min_seconds=50 exceeds max_seconds=40"):
        CleaningRules(min_seconds=50, max_seconds=40)
    with pytest.raises(ValueError, match="min_tokens=5"):
        CleaningRules(min_tokens=5, max_tokens=4)


def test_split_is_60_20_20_by_seed_and_keeps_given_splits() -> None:
    pairs = [pair(str(i), "some caption here") for i in range(100)] + [pair("given", "another one", split="test")]
    first, again, other = assign_splits(pairs, 3), assign_splits(pairs, 3), assign_splits(pairs, 4)
    counts = {name: sum(p.split == name for p in first[:100]) for name in ("train", "validation", "test")}
    assert counts == {"train": 60, "validation": 20, "test": 20}
    assert first == again
    assert first != other
    assert first[100].split == "test"


def test_split_names_are_understood() -> None:
    assert [split_name(name) for name in ("Training", "val", " dev ", "test")] == [
        "train",
        "validation",
        "validation",
        "test",
    ]
    with pytest.raises(DatasetError, match="'holdout' is none of"):
        split_name("holdout")


def test_a_dataset_reads_back_what_was_stored(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    audio = {name: rng.integers(-9, 9, size).astype(np.int16) for name, size in (("b", 7), ("dropped", 5), ("a", 11))}
    features = {name: rng.normal(size=(count, 4)).astype(np.float16) for name, count in (("b", 2), ("a", 3))}
    writer = DatasetWriter(tmp_path / "d")
    for name, samples in audio.items():
        writer.store(name, audio=samples, features=features.get(name))
    pairs = [pair("a", "slow piano", "slow piano music", split="train"), pair("b", "fast drums", split="test")]
    card = writer.finish(pairs, min_count=2)
    dataset = PreparedDataset(tmp_path / "d")
    assert card["splits"] == {"train": 1, "test": 1}
    assert card["audio_seconds"] == pytest.approx(18 / 16_000, abs=1e-3)
    assert dataset.vocabulary.words[4:] == ["slow", "piano"]
    [a], [b] = dataset.split("train"), dataset.split("test")
    assert np.array_equal(dataset.audio(a), audio["a"])
    assert np.array_equal(dataset.audio(b), audio["b"])
    assert np.array_equal(dataset.features(a), features["a"])
    assert np.array_equal(dataset.features(b), features["b"])
    assert a.captions == ("slow piano", "slow piano music")


def test_missing_parts_of_a_dataset_are_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"no prepared dataset \(no dataset.json\)"):
        PreparedDataset(tmp_path)
    writer = DatasetWriter(tmp_path)
    with pytest.raises(DatasetError, match="no training pair is left"):
        writer.finish([pair("a", "slow piano", split="test")])
    with pytest.raises(DatasetError, match="'a' has no split"):
        writer.finish([pair("a", "slow piano")])
    DatasetWriter(tmp_path).finish([pair("a", "slow piano", split="train")])
    dataset = PreparedDataset(tmp_path)
    with pytest.raises(DatasetError, match="no audio of 'a'"):
        dataset.audio(dataset.examples[0])
    with pytest.raises(DatasetError, match="no features of 'a'"):
        dataset.features(dataset.examples[0])


def test_preparing_again_forgets_what_was_worked_out_and_other_folders_are_left_alone(tmp_path: Path) -> None:
    for seconds in (1, 2):
        writer = DatasetWriter(tmp_path / "data")
        writer.store("a", audio=np.zeros(seconds * 16_000, dtype=np.int16))
        assert not (tmp_path / "data" / "features").exists()
        writer.finish([pair("a", "one two three", split="train")], min_count=1)
        (tmp_path / "data" / "features").mkdir()
    (tmp_path / "poems").mkdir()
    (tmp_path / "poems" / "poem.txt").write_text("mine")
    with pytest.raises(DatasetError, match=r"holds other things \(poem.txt\)"):
        DatasetWriter(tmp_path / "poems")


def test_features_are_cached_by_extractor(tmp_path: Path) -> None:
    DatasetWriter(tmp_path).finish([pair(name, "slow piano", split="train") for name in "ab"])
    dataset = PreparedDataset(tmp_path)
    small, other = (build_extractor(ExtractorConfig(num_channels=n, frontend_scale=0.02)) for n in (2, 3))
    cache = FeatureCache(dataset, extractor_digest(small))
    assert not cache.complete
    rows = {1: np.ones((2, 5), np.float16), 0: np.zeros((1, 5), np.float16)}
    cache.write(rows.items())
    again = FeatureCache(PreparedDataset(tmp_path), extractor_digest(small))
    assert again.complete
    for example in dataset.examples:
        assert np.array_equal(again.read(example), rows[example.index])
    assert not FeatureCache(dataset, extractor_digest(other)).complete


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
