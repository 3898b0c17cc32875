"""Splits: names and assignment."""

from dataclasses import replace

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


def test_pairs_of_a_group_come_into_the_same_split() -> None:
    grouped = [replace(pair(f"{group}-{i}", "a b c"), split_group=str(group)) for group in range(50) for i in range(2)]
    splits = {p.track_id: p.split for p in assign_splits(grouped, 3)}
    assert all(splits[f"{group}-0"] == splits[f"{group}-1"] for group in range(50))
    assert sum(name == "train" for name in splits.values()) == 60
    first, second = replace(grouped[0], split="test"), grouped[1]
    assert [p.split for p in assign_splits([second, first])] == ["test", "test"]
