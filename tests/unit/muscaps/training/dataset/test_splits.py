"""Splits: names and assignment."""

import pytest

from muscaps.training.dataset.pairs import DatasetError, Pair
from muscaps.training.dataset.splits import assign_splits, split_name


def pair(track_id: str, *captions: str, seconds: float | None = 60.0, split: str | None = None) -> Pair:
    return Pair(track_id=track_id, uri=f"{track_id}.wav", captions=captions, duration_s=seconds, split=split)


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
