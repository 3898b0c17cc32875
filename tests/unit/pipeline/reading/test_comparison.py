"""Captions beside their catalogue rows: verdicts, phrases and certainty."""

from typing import Any

import pytest

from pipeline.reading.report.comparison import Comparison, certainty, compare


def compared(caption: str, evidence: list[dict[str, Any]] | None = None, **row: Any) -> Comparison:
    return compare(caption, evidence, row)


def verdict_of(caption: str, phrase: str, **row: Any) -> str:
    found = compared(caption, **row)
    [span] = [span for span in found.spans if caption[span.start : span.end].lower() == phrase]
    return span.verdict


@pytest.mark.parametrize(
    ("bpm", "verdict"), [(76, "conflict"), ("150", "agrees"), (126, "agrees"), (0, "unknown"), ("fast", "unknown")]
)
def test_a_tempo_word_is_compared_with_the_beats_per_minute(bpm: object, verdict: str) -> None:
    assert verdict_of("Drums at a fast tempo.", "fast", bpm=bpm) == verdict


def test_an_instrument_that_the_list_lacks_differs() -> None:
    row = {"instruments": "Piano, Strings"}
    assert verdict_of("Violin and drums.", "drums", **row) == "differs"
    assert verdict_of("Violin and drums.", "violin", **row) == "agrees"


def test_a_genre_word_is_not_compared_with_the_instruments() -> None:
    assert verdict_of("An electronica track.", "electronica", instruments="Piano") == "unknown"


def test_a_tempo_word_is_not_compared_with_the_moods() -> None:
    assert verdict_of("A slow piece.", "slow", feel="Driving, Epic") == "unknown"


def test_opposite_moods_are_in_conflict_and_other_feels_are_not() -> None:
    assert verdict_of("A dark piece.", "dark", feel="Bright, Uplifting") == "conflict"
    assert verdict_of("A grooving piece.", "grooving", feel="Bright") == "unknown"


def test_the_phrases_of_a_column_are_whole_ones() -> None:
    assert compared("Drum machine and synths.", instruments="Synths").claimed["instruments"] == (
        "drum machine",
        "synths",
    )


def test_synonyms_of_columns_are_read_in_any_case() -> None:
    found = compared("A jazz piece.", Mood="Calm", GENRES=["Jazz", "Blues"], Tempo="90.0")
    assert found.values == {"bpm": "90 bpm", "genre": "Jazz, Blues", "feel": "Calm"}
    assert found.verdicts == {"genre": "agrees"}


def test_a_longer_phrase_has_the_lowest_score_inside_it() -> None:
    evidence = [
        {"word": "drum", "tag": "drums", "score": 0.9},
        {"word": "drum machine", "tag": "drum machine", "score": 0.1},
    ]
    [span] = compared("Drum machine.", evidence).spans
    assert (span.start, span.end, span.score) == (0, 12, 0.1)


def test_certainty_does_not_fall_with_the_number_of_claims() -> None:
    sure = [{"word": word, "tag": word, "score": 0.8} for word in ("piano", "drums", "dark", "slow")]
    assert certainty(sure) == pytest.approx(certainty(sure[:1]))
    assert certainty([*sure, {"word": "slow", "tag": "low", "score": 0.4}]) == pytest.approx(0.72)
    assert certainty([]) is None
