"""Facts of an experiment's tracks."""

import csv
from pathlib import Path

import pytest

from pipeline.paper.track_facts import TrackFacts

HEAD = ("track_id", "origin", "instruments", "feel", "genre", "bpm")


def table(path: Path, *rows: tuple[str, ...]) -> Path:
    with path.open("w", newline="") as lines:
        csv.writer(lines).writerows([HEAD, *rows])
    return path


def test_real_tracks_are_a_subset_of_their_own(tmp_path: Path) -> None:
    rows = (("a", "real", "Piano", "", "", ""), ("b", "rendered", "Harp", "", "", ""))
    facts = TrackFacts(table(tmp_path / "f.csv", *rows))
    assert facts.subsets(["b", "a", "c"]) == {"test": [0, 1, 2], "real": [1]}
    assert TrackFacts(None).subsets(["b"]) == {"test": [0]}


def test_claims_of_all_layers_are_counted_together(tmp_path: Path) -> None:
    rows = (("a", "real", "Piano, Harp", "Dark", "", "70"), ("b", "real", "", "", "", ""))
    facts = TrackFacts(table(tmp_path / "f.csv", *rows))
    scores = facts.scores(["a", "b"], ["A bright, slow tune with piano", "A fast tune with drums"])
    assert scores == {"facts_precision": pytest.approx(2 / 3), "facts_recall": pytest.approx(2 / 4)}


def test_without_facts_there_are_no_scores(tmp_path: Path) -> None:
    assert TrackFacts(None).scores(["a"], ["A tune"]) is None
    bad = tmp_path / "f.csv"
    bad.write_text("name\na\n")
    with pytest.raises(ValueError, match="needs the column track_id"):
        TrackFacts(bad)
