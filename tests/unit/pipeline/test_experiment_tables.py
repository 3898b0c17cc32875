"""The tables' arithmetic: intervals, what is bold, verdicts, curves. No training."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from muscaps.evaluation.caption_metrics import METRICS
from pipeline.paper.figure import mean_curve, write_figure
from pipeline.paper.paper_tables import (
    PAPER_TABLE_1,
    PAPER_TABLE_2,
    PAPER_TABLE_3,
    build_decoding_table,
    build_retrieval_table,
    build_tables,
    example_captions,
)
from pipeline.paper.plan import ExperimentConfig, plan_cells
from pipeline.paper.results import Results
from pipeline.paper.tables import Measure, Row, Table
from pipeline.paper.verdicts import findings


def table(*rows: Sequence[float], lower: tuple[str, ...] = ()) -> Table:
    measures = [Row(label=str(index), measures=(Measure(values=tuple(values)),)) for index, values in enumerate(rows)]
    return Table(name="t", title="T", columns=("score",), rows=tuple(measures), lower_is_better=lower)


def test_an_interval_is_students_t_over_the_seeds() -> None:
    measure = Measure(values=(1.0, 2.0, 3.0))
    assert (measure.mean, measure.deviation) == (2.0, 1.0)
    assert measure.half_interval == pytest.approx(4.303 / math.sqrt(3))
    assert Measure(values=(5.0,)).half_interval is None


def test_bold_is_within_two_standard_deviations_of_the_best() -> None:
    assert table((9, 10, 11), (8.1, 8.1, 8.1), (7.9, 7.9, 7.9)).bold(0) == [True, True, False]
    assert table((9, 10, 11), (11.9, 11.9, 11.9), (7, 7, 7), lower=("score",)).bold(0) == [False, False, True]


def test_markdown_marks_bold_and_sets_the_paper_beside_ours() -> None:
    ours = Row(label="early", measures=(Measure(values=(1.0, 3.0)), None), paper=(37.8, 5.0))
    text = Table(name="t", title="Table", columns=("BLEU-1", "SPICE"), rows=(ours,)).markdown()
    assert "| early | **2.0** ± 12.7 | – |" in text
    assert "| *the paper* | *37.8* | *5.0* |" in text


def test_csv_holds_a_line_for_every_score() -> None:
    lines = table((1.0, 3.0), (0.5, 0.5)).csv().splitlines()
    assert lines[0].startswith("row,column,mean")
    assert lines[1] == "0,score,2.0000,12.7060,1.4142,2,1,"
    assert len(lines) == 3


def test_a_curve_averages_the_seeds_still_training() -> None:
    points = mean_curve([[1.0, 2.0, math.nan], [3.0]])
    assert points[0][:2] == (1, 2.0)
    assert points[0][2] is not None
    assert points[1] == (2, 2.0, None)
    assert len(points) == 2


class FakeResults(Results):
    """Results made up instead of read."""

    def __init__(self, ciders: dict[str, Sequence[float]], unk: tuple[float, float] = (1.0, 0.5)) -> None:
        self.config = ExperimentConfig(dataset=Path("d"), output=Path("o"))
        self.cells: dict[str, dict[int, dict[str, Any]]] = {}
        self.scores: dict[str, dict[int, dict[str, Any]]] = {}
        statistics = {
            "repetitions_per_caption": 0.0,
            "repeated_ngrams_per_caption": 0.0,
            "mean_words": 5.0,
            "vocabulary_used": 9,
            "distinct_captions": 1.0,
            "novel_captions": 1.0,
        }
        for system, values in ciders.items():
            for seed, cider in enumerate(values):
                scores: dict[str, Any] = dict.fromkeys(METRICS, 0.1) | {"cider": cider, "spice": None, "spider": None}
                beams = {
                    size: {
                        "default": scores,
                        "published": scores,
                        "statistics": statistics | {"unk_per_caption": count},
                    }
                    for size, count in (("1", unk[0]), ("3", unk[1]), ("5", unk[1]))
                }
                greedy, beam = ["Rock rock.", "Calm piano."], ["Loud rock.", "Calm <unk> piano."]
                self.scores.setdefault(system, {})[seed] = beams
                self.cells.setdefault(system, {})[seed] = {
                    "validation_cider": [0.1, cider],
                    "retrieval": {
                        "recall_at_1": 0.1,
                        "recall_at_5": 0.2,
                        "recall_at_10": 0.3,
                        "median_rank": 4.0 + seed,
                    },
                    "track_ids": ["a", "b"],
                    "references": {"default": [["Loud rock"], ["Quiet piano"]]},
                    "predictions": {size: {"default": greedy if size == "1" else beam} for size in ("1", "3", "5")},
                }


EVERY_SYSTEM = {
    "dcase": (0.1, 0.12),
    "scratch": (0.2, 0.22),
    "musicnn": (0.4, 0.42),
    "hcnn": (0.39, 0.41),
    "late": (0.39, 0.43),
    "attention": (0.4, 0.41),
}


def test_every_row_of_the_papers_tables_has_its_counterpart() -> None:
    results = FakeResults(EVERY_SYSTEM)
    table_1, table_2 = build_tables(results, "published")
    assert [row.paper for row in table_1.rows if row.paper] == list(PAPER_TABLE_1.values())
    assert [row.paper for row in table_2.rows if row.paper] == list(PAPER_TABLE_2.values())
    assert len(table_1.rows) == 6
    assert len(table_2.rows) == 8
    assert [row.paper for row in build_retrieval_table(results).rows] == list(PAPER_TABLE_3.values())
    assert len(build_decoding_table(results).rows) == 10


def test_the_papers_numbers_never_stand_beside_the_default_convention() -> None:
    results = FakeResults(EVERY_SYSTEM)
    assert all(row.paper is None for found in build_tables(results, "default") for row in found.rows)


def test_scores_are_shown_times_100_and_ranks_are_not() -> None:
    results = FakeResults({"musicnn": (0.4, 0.42)})
    assert build_tables(results, "default")[1].rows[0].measures[METRICS.index("cider")].mean == pytest.approx(41)
    recall, *_, rank = build_retrieval_table(results).rows[0].measures
    assert (recall.mean, rank.mean) == (pytest.approx(10), 4.5)


def test_missing_spice_is_a_dash_and_the_rest_stands() -> None:
    text = build_tables(FakeResults(EVERY_SYSTEM), "default")[0].markdown()
    assert "– |" in text
    assert "nan" not in text


def test_verdicts_follow_two_standard_deviations() -> None:
    said = findings(FakeResults(EVERY_SYSTEM))
    assert len(said) == 3
    assert 'helps": **confirmed**. CIDEr 41.0 with, 21.0 without' in said[0]
    assert "**confirmed**" in said[1]
    assert "**confirmed**" in said[2]
    assert "(-50%)" in said[2]
    worse = findings(FakeResults(EVERY_SYSTEM | {"scratch": (0.6, 0.61), "late": (0.9, 0.91)}, unk=(0.5, 1.0)))
    assert all("**contradicted**" in sentence for sentence in worse)
    noisy = findings(FakeResults(EVERY_SYSTEM | {"scratch": (0.1, 0.6)}, unk=(0.0, 0.0)))
    assert "**not decided**" in noisy[0]
    assert "**not decided**" in noisy[2]
    assert findings(FakeResults({"dcase": (0.1,)})) == []


def test_examples_show_where_beam_search_ends_a_repetition_first() -> None:
    first, second = example_captions(FakeResults(EVERY_SYSTEM))
    assert (first["track"], first["greedy"], first["beam 5"]) == ("a", "Rock rock.", "Loud rock.")
    assert second["ground truth"] == "Quiet piano"
    assert "DCASE baseline" in first


def test_the_figure_is_drawn_with_its_numbers_beside_it(tmp_path: Path) -> None:
    import matplotlib.image

    assert write_figure(FakeResults(EVERY_SYSTEM), tmp_path)
    pixels = matplotlib.image.imread(tmp_path / "figure_4.png")
    assert len(np.unique(pixels.reshape(-1, pixels.shape[2]), axis=0)) > 20
    lines = (tmp_path / "figure_4.csv").read_text().splitlines()
    assert lines[1].startswith("scratch,1,10.0")
    assert len(lines) == 1 + 4 * 2
    assert not write_figure(FakeResults({"dcase": (0.1,)}), tmp_path)


def test_the_plan_holds_every_system_once_a_seed_after_what_it_needs() -> None:
    cells = plan_cells(ExperimentConfig(dataset=Path("d"), output=Path("o"), seeds=(0, 1)))
    seen: set[str] = set()
    for cell in cells:
        assert seen.issuperset(cell.needs)
        seen.add(cell.name)
    assert len(cells) == 2 + 3 + 2 * 6
    only = plan_cells(ExperimentConfig(dataset=Path("d"), output=Path("o"), seeds=(0,), systems=("dcase",)))
    assert [cell.name for cell in only] == ["features-log_mel", "dcase-0"]


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"systems": ("transformer",)}, "transformer"),
        ({"systems": ()}, "none at all"),
        ({"seeds": (1, 1)}, "different numbers"),
        ({"ablation": "vgg"}, "ablation"),
    ],
)
def test_impossible_experiments_are_refused(changes: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        ExperimentConfig(dataset=Path("d"), output=Path("o"), **changes)
