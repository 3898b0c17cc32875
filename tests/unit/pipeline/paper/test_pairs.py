"""Pairs of the experiments from rendered clips and real tracks."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from muscaps.corpus.captions import describe
from muscaps.corpus.facts import Facts, InstrumentFact
from muscaps.evaluation.facts import facts_in
from muscaps.lexicon import tags_in
from pipeline.paper.pairs import PairsConfig, facts_as_cells, write_pairs

TRACK = {"instruments": "Piano, Strings", "feel": "Dark, Calm", "genre": "Soundtrack", "bpm": "80", "seconds": "45"}


def catalogue(path: Path, *rows: dict[str, str]) -> str:
    columns = dict.fromkeys(name for row in rows for name in row)
    with path.open("w", newline="") as lines:
        writer = csv.DictWriter(lines, columns)
        writer.writeheader()
        writer.writerows(rows)
    return str(path)


def written(tmp_path: Path, **settings: Any) -> list[dict[str, Any]]:
    write_pairs(PairsConfig(output=str(tmp_path / "pairs.parquet"), **settings))
    return pq.read_table(tmp_path / "pairs.parquet").to_pylist()


def test_a_real_track_becomes_excerpts_with_a_caption_each(tmp_path: Path) -> None:
    rows = written(tmp_path, real=[catalogue(tmp_path / "c.csv", {"track_id": "a", "uri": "a.mp3", **TRACK})])
    assert [(row["start_s"], row["end_s"]) for row in rows] == [(0, 30), (5, 35), (10, 40), (15, 45)]
    assert len({row["caption"] for row in rows}) == len({row["track_id"] for row in rows}) == 4
    assert {row["split_group"] for row in rows} == {"real:a"}
    assert {row["origin"] for row in rows} == {"real"}


def test_a_short_track_is_one_pair_and_a_caption_belongs_to_one_track(tmp_path: Path) -> None:
    short = {**TRACK, "seconds": "20"}
    rows = written(
        tmp_path,
        real=[catalogue(tmp_path / "c.csv", *({"track_id": name, "uri": f"{name}.mp3", **short} for name in "abc"))],
    )
    assert [(row["track_id"], row["start_s"], row["end_s"]) for row in rows] == [(name, 0, None) for name in "abc"]
    assert len({row["caption"].lower() for row in rows}) == 3


def test_tracks_for_measuring_are_in_the_test_split(tmp_path: Path) -> None:
    shared = {"track_id": "b", "uri": "b.mp3", "licence": "CC BY-SA 3.0", **TRACK}
    free = {"track_id": "a", "uri": "a.mp3", "licence": "CC BY 4.0", **TRACK}
    held = catalogue(tmp_path / "h.csv", {"track_id": "c", "uri": "c.mp3", **TRACK})
    rows = written(tmp_path, real=[catalogue(tmp_path / "c.csv", free, shared)], test_only=[held])
    assert {(row["track_id"][0], row["split"]) for row in rows} == {("a", None), ("b", "test"), ("c", "test")}


def test_the_evaluation_reads_the_facts_that_a_clip_has() -> None:
    facts = Facts(
        instruments=(InstrumentFact(name="piano"), InstrumentFact(name="string section")),
        complete=True,
        moods=("dark",),
        energies=frozenset({"low"}),
        tempo="slow",
        bpm=70.0,
    )
    row = facts_as_cells(facts)
    assert facts_in(row, "family") == {"piano", "strings"}
    assert [facts_in(row, layer) for layer in ("mood", "energy", "tempo")] == [{"dark"}, {"low"}, {"slow"}]
    for caption in describe(facts, np.random.default_rng(0), 5):
        for layer in ("family", "mood", "tempo"):
            assert tags_in(caption, layer) <= facts_in(row, layer)


def test_without_a_source_or_facts_nothing_is_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="give --rendered"):
        PairsConfig(output="o")
    with pytest.raises(ValueError, match="facts enough"):
        written(tmp_path, real=[catalogue(tmp_path / "c.csv", {"uri": "a.mp3"})])
