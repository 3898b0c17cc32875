"""The figures of real tracks in the bundled captioner's card."""

import numpy as np
import pytest

from muscaps.evaluation.facts import FactsOptions
from pipeline.training.bundled.measure import caption_figures, tag_roc_auc

ONCE = FactsOptions(num_shuffles=1, num_resamples=1)


def row(instruments: str = "", feel: str = "", bpm: str = "") -> dict[str, str]:
    return {"instruments": instruments, "feel": feel, "bpm": bpm, "genre": ""}


def test_captions_are_held_against_the_catalogue() -> None:
    rows = [row("Piano", "Dark", "70"), row("Drums, Synths", "Bright", "140")]
    captions = ["A dark piano piece at a slow tempo.", "Piano and drums at a fast tempo."]
    figures = caption_figures(captions, rows, ONCE)
    assert figures["instruments"]["precision"] == pytest.approx(0.667)  # piano, drums right; the second piano wrong
    assert figures["mood"] == {"recall": 0.5, "precision": 1, "shuffled": 0.5, "lift": 2, "named_per_caption": 0.5}
    assert figures["tempo"]["precision"] == 1
    assert (figures["tracks"], figures["distinct"], figures["unk"]) == (2, 2, 0)


def test_tags_are_ranked_where_enough_tracks_have_them() -> None:
    rows = [row("Piano")] * 3 + [row("Drums")] * 3 + [row()] * 2
    names = [("instrument", "piano"), ("instrument", "organ"), ("content", "music")]
    scores = np.zeros((8, 3))
    scores[:, 0] = [0.9, 0.8, 0.2, 0.1, 0.1, 0.3, 1.0, 1.0]
    assert tag_roc_auc(names, scores, rows) == {"instrument: piano": pytest.approx(8 / 9, abs=1e-3)}
