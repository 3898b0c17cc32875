"""The captions that the bundled captioner is trained on: rich, and each with an opening of its own."""

import numpy as np
import pytest

from muscaps import lexicon
from muscaps.evaluation.language import opening_pattern
from pipeline.training.bundled.captions import REAL_KEPT, captions_of_real_track

ROW = {
    "instruments": "Violins, French Horn, Timpani",
    "feel": "Dark, Epic",
    "genre": "Soundtrack",
    "bpm": "80",
}
SCORES = {("instrument", family): 0.6 for family in ("strings", "brass", "drums")}


@pytest.fixture(scope="module")
def captions() -> list[tuple[str, ...]]:
    return [captions_of_real_track(ROW, SCORES, np.random.default_rng(seed)) for seed in range(20)]


def test_captions_of_a_track_begin_differently(captions: list[tuple[str, ...]]) -> None:
    assert all(len({opening_pattern(text) for text in texts}) == len(texts) == REAL_KEPT for texts in captions)


def test_no_opening_is_frequent(captions: list[tuple[str, ...]]) -> None:
    openings = [opening_pattern(text) for texts in captions for text in texts]
    assert max(openings.count(opening) for opening in openings) <= len(openings) / 10


def test_captions_say_what_is_known(captions: list[tuple[str, ...]]) -> None:
    texts = [text for texts in captions for text in texts]
    assert all(len(lexicon.tags_in(text, "family")) >= 2 for text in texts)
    assert all(lexicon.tags_in(text, "mood") | lexicon.tags_in(text, "feel") for text in texts)
    assert sum(bool(lexicon.tags_in(text, "genre")) for text in texts) >= 0.9 * len(texts)  # "film cue" names none


def test_nothing_is_written_of_a_track_without_facts() -> None:
    assert captions_of_real_track(dict.fromkeys(ROW, ""), {}, np.random.default_rng(0)) == ()
