"""Intervals, bold marks, Markdown and CSV of tables."""

import math
from collections.abc import Sequence

import pytest

from pipeline.paper.tables import Measure, Row, Table


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
