"""The paper's tables from made-up results."""

import pytest

from muscaps.evaluation.caption_metrics import METRICS
from pipeline.paper.paper_tables import (
    PAPER_TABLE_1,
    PAPER_TABLE_2,
    PAPER_TABLE_3,
    build_decoding_table,
    build_retrieval_table,
    build_tables,
    example_captions,
)
from tests.experiment_results import EVERY_SYSTEM, FakeResults


def test_every_row_of_the_papers_tables_has_its_counterpart() -> None:
    results = FakeResults(EVERY_SYSTEM)
    table_1, table_2 = build_tables(results, "published")
    assert [row.paper[:9] for row in table_1.rows if row.paper] == list(PAPER_TABLE_1.values())
    assert [row.paper[:9] for row in table_2.rows if row.paper] == list(PAPER_TABLE_2.values())
    assert len(table_1.rows) == 4 * 3
    assert len(table_2.rows) == 4 * 3
    assert [row.paper for row in build_retrieval_table(results).rows] == list(PAPER_TABLE_3.values())
    assert len(build_decoding_table(results).rows) == 5 * 3


def test_a_network_from_scratch_stands_beside_the_same_network_pre_trained() -> None:
    _, table_2 = build_tables(FakeResults(EVERY_SYSTEM, scratch="ours"), "default")
    assert [row.label for row in table_2.rows[:6:3]] == [
        "early, second musicnn, no pre-training, greedy",
        "early, second musicnn, greedy",
    ]


def test_truth_of_captions_stands_beside_the_metrics() -> None:
    [table, _] = build_tables(FakeResults({"dcase": (0.1, 0.2)}, truths={"dcase": 0.7}), "published")
    assert table.columns[-2:] == ("facts P", "facts R")
    assert [measure.mean for measure in table.rows[0].measures[-2:] if measure] == [pytest.approx(70), 50]
    assert table.markdown().splitlines()[5].endswith("| – | – |")


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


def test_examples_show_where_beam_search_ends_a_repetition_first() -> None:
    first, second = example_captions(FakeResults(EVERY_SYSTEM))
    assert (first["track"], first["greedy"], first["beam 5"]) == ("a", "rock rock", "loud rock")
    assert second["ground truth"] == "Quiet piano"
    assert "DCASE baseline" in first
