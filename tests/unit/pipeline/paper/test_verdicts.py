"""Verdicts on the paper's statements."""

import pytest

from pipeline.paper.differences import Difference, differences_of_cider
from pipeline.paper.tables import Measure
from pipeline.paper.verdicts import findings, is_better, is_no_different, is_not_better, rank_correlation
from tests.experiment_results import EVERY_SYSTEM, FakeResults


def difference(first: tuple[float, ...], second: tuple[float, ...]) -> Difference:
    return Difference(first=Measure(values=first), second=Measure(values=second))


def test_the_interval_of_a_difference_is_welchs() -> None:
    found = difference((4.0, 5.0, 6.0), (1.0, 2.0, 3.0))
    assert found.mean == 3
    assert found.half_interval == pytest.approx(2.776 * (2 / 3) ** 0.5)
    assert difference((1.0,), (1.0, 2.0)).half_interval is None


def test_better_is_decided_when_the_interval_excludes_0() -> None:
    assert is_better(difference((40, 41, 42), (20, 21, 22))) == "confirmed"
    assert is_better(difference((20, 21, 22), (40, 41, 42))) == "contradicted"
    assert is_better(difference((20, 30, 40), (25, 28, 31))) == "not decided (more than 100 seeds needed)"
    assert is_better(difference((40,), (20,))) == "not decided (several seeds needed)"


def test_as_good_is_confirmed_within_a_tenth_of_the_reference() -> None:
    assert is_no_different(difference((40, 40.5, 41), (40, 41, 42))) == "confirmed"
    assert is_no_different(difference((20, 21, 22), (40, 41, 42))) == "contradicted"
    assert is_no_different(difference((30, 40, 50), (40, 41, 42))).startswith("not decided (about")


def test_seeds_that_are_needed_are_more_than_there_are() -> None:
    found = difference((10, 16, 22), (8, 10, 12))
    seeds = found.seeds_for(abs(found.mean))
    assert seeds is not None and seeds > 3
    assert "not decided" in is_better(found)


def test_two_searches_of_the_same_trainings_are_compared_seed_by_seed() -> None:
    greedy, beam = Measure(values=(10, 20, 30)), Measure(values=(11, 21.2, 31.1))
    paired = Difference(first=beam, second=greedy, paired=True)
    assert paired.half_interval == pytest.approx(4.303 * 0.1 / 3**0.5)
    assert is_better(paired) == "confirmed"
    assert is_better(difference(beam.values, greedy.values)).startswith("not decided")
    mixed = Difference(first=Measure(values=(11, 19, 32)), second=greedy, paired=True)
    assert is_better(mixed) == "not decided (about 23 seeds needed)"


def test_every_statement_has_its_sentence() -> None:
    said = findings(FakeResults(EVERY_SYSTEM, truths={name: score[0] for name, score in EVERY_SYSTEM.items()}))
    assert len(said) == 11
    assert 'helps": **confirmed**. CIDEr of early against early, no pre-training: 41.0 and 21.0' in said[0]
    assert "**confirmed**" in said[8]
    assert "(-50%)" in said[8]
    assert "with the precision of facts (7 systems)" in said[10]
    more = findings(FakeResults(EVERY_SYSTEM, unk=(0.5, 1.0)))
    assert "**contradicted**" in more[8]
    assert "nothing to reduce" in findings(FakeResults(EVERY_SYSTEM, unk=(0.0, 0.0)))[8]
    assert findings(FakeResults({"dcase": (0.1,)})) == []


def test_the_counterpart_of_another_network_from_scratch_is_the_same_network() -> None:
    said = findings(FakeResults(EVERY_SYSTEM, scratch="ours"))
    assert "CIDEr of early, second musicnn against early, second musicnn, no pre-training: 31.0 and 21.0" in said[0]
    assert "CIDEr of early against early, second musicnn, no pre-training: 41.0 and 21.0" in said[1]
    assert [sentence.startswith('"Pre-training helps search"') for sentence in said].count(True) == 2


def test_no_gain_is_confirmed_below_a_tenth_of_the_reference() -> None:
    assert is_not_better(difference((40, 40.5, 41), (40, 41, 42))) == "confirmed"
    assert is_not_better(difference((20, 21, 22), (40, 41, 42))) == "confirmed"
    assert is_not_better(difference((50, 51, 52), (40, 41, 42))) == "contradicted"
    assert is_not_better(difference((30, 40, 50), (40, 41, 42))).startswith("not decided (about")


def test_the_table_of_differences_has_every_pair_once_in_each_direction() -> None:
    table = differences_of_cider(
        FakeResults({"musicnn": (0.40, 0.41, 0.42), "late": (0.30, 0.31, 0.32), "ours": (0.40,)})
    )
    lines = table.splitlines()
    assert lines[2] == "| | MusCaps-Musicnn | early, second musicnn | late |"
    assert lines[4] == "| MusCaps-Musicnn |  | +1.0 | **+10.0** ± 2.3 |"
    assert lines[6] == "| late | **-10.0** ± 2.3 | -9.0 |  |"
    assert differences_of_cider(FakeResults({"late": (0.3,)})) == ""


def test_rank_correlation_compares_orders_and_shares_ranks() -> None:
    assert rank_correlation([1, 2, 3], [10, 20, 90]) == pytest.approx(1)
    assert rank_correlation([1, 2, 3], [3, 2, 1]) == pytest.approx(-1)
    assert rank_correlation([1, 2, 2, 3], [1, 2, 3, 4]) == pytest.approx(0.9487, abs=1e-4)
