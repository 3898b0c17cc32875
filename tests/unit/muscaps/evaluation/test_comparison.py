"""Captions before and after fine-tuning: measures, intervals, verdict."""

import pytest

from muscaps.evaluation.comparison import HeldOutTrack, compare

pytest.importorskip("pycocoevalcap")

TUNES = [
    "dark strings",
    "bright piano",
    "slow drums",
    "fast guitar",
    "calm flute",
    "sad organ",
    "loud brass",
    "soft harp",
]


def tracks(before: str, after: str, count: int = 16) -> list[HeldOutTrack]:
    """`{}` is replaced by what the reference says."""
    found = []
    for index in range(count):
        tune = TUNES[index % len(TUNES)]
        found.append(
            HeldOutTrack(
                track_id=str(index),
                references=(f"a piece with {tune} number {index}",),
                before=before.replace("{}", tune),
                after=after.replace("{}", tune),
                new_pairs_before=(1, 5),
                new_pairs_after=(1, 5),
            )
        )
    return found


def test_captions_nearer_to_the_references_are_better() -> None:
    found = compare(tracks("some music", "a piece with {}"))
    assert found.verdict == "better"
    cider = next(one for one in found.measures if one.name == "cider")
    assert cider.interval[0] > 0
    assert cider.after > cider.before


def test_captions_that_lose_their_facts_are_worse() -> None:
    found = compare(tracks("a piece with {}", "a piece with dark strings"))
    assert found.verdict == "worse"
    facts = next(one for one in found.measures if one.name == "facts_precision")
    assert facts.interval[1] < 0


def test_repeated_words_and_unknown_words_are_faults() -> None:
    assert compare(tracks("a piece with {}", "a piece with {} and <unk>")).verdict == "worse"
    assert compare(tracks("a piece with {}", "a piece with {}, {}")).verdict == "worse"


def test_equal_captions_cannot_be_told_apart() -> None:
    found = compare(tracks("a piece with {}", "a piece with {}"))
    assert found.verdict == "cannot tell"
    assert all(one.interval == (0.0, 0.0) for one in found.measures)


def test_few_pairs_are_no_evidence() -> None:
    assert compare(tracks("some music", "a piece with {}", count=9)).verdict == "cannot tell"
    assert compare([]).measures == ()
