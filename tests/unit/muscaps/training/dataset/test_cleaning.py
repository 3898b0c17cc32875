"""Cleaning of pairs."""

import pytest

from muscaps.training.dataset.cleaning import CleaningRules, clean
from muscaps.training.dataset.pairs import Pair


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


def test_the_report_has_examples_and_the_limit_that_would_keep_all() -> None:
    _, report = clean([pair(f"wordy {n}", " ".join(["word"] * (30 + n))) for n in range(5)])
    assert [(one.track_id, one.value) for one in report.examples["too_many_tokens"]] == [
        ("wordy 0", 30),
        ("wordy 1", 31),
        ("wordy 2", 32),
    ]
    assert report.extremes == {"too_many_tokens": 34}


def test_long_captions_are_split_into_sentences_where_asked() -> None:
    text = "Tuba and trumpets with a sting at the end! 2 short versions are included, one with trumpets. Duet Sheet"
    rules = CleaningRules(max_tokens=12, split_sentences=True)
    [kept], report = clean([pair("long", text)], rules)
    assert kept.captions == (
        "Tuba and trumpets with a sting at the end!",
        "2 short versions are included, one with trumpets.",
    )
    assert report.dropped_captions == {"too_few_tokens": 1}
    [kept], _ = clean([pair("short", "Tuba and brass. A sting.")], rules)
    assert kept.captions == ("Tuba and brass. A sting.",)


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


def test_fragments_are_dropped_with_examples_and_can_be_kept() -> None:
    pairs = [pair("cut off", "a piece of rock with"), pair("empty", "No such thing!"), pair("whole", "calm rock piece")]
    kept, report = clean(pairs)
    assert [one.track_id for one in kept] == ["whole"]
    assert report.dropped_captions == {"fragment": 2}
    assert [one.caption for one in report.examples["fragment"]] == ["a piece of rock with", "No such thing!"]
    assert len(clean(pairs, CleaningRules(fragments=True))[0]) == 3
