"""A prepared dataset, written and read."""

from pathlib import Path

import numpy as np
import pytest

from muscaps.training.dataset.pairs import DatasetError, Pair
from muscaps.training.dataset.reader import PreparedDataset
from muscaps.training.dataset.writer import DatasetWriter


def pair(track_id: str, *captions: str, seconds: float | None = 60.0, split: str | None = None) -> Pair:
    return Pair(track_id=track_id, uri=f"{track_id}.wav", captions=captions, duration_s=seconds, split=split)


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
