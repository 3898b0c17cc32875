"""What `muscaps search` prints about weak matches."""

import pytest

from jobs.commands.search import _print_notes, _print_table
from pipeline.reading.search import Hit, SearchResult


def result(*fits: float) -> SearchResult:
    hits = tuple(Hit(track_id=f"t{n}", score=-1.0 * n, fit=fit, is_weak=fit < 0.5) for n, fit in enumerate(fits))
    return SearchResult(hits=hits, tracks=len(hits), seconds=0.1)


def test_the_best_fit_of_weak_matches_need_not_be_that_of_the_first(capsys: pytest.CaptureFixture[str]) -> None:
    _print_notes(result(0.2, 0.44, 0.39))
    assert capsys.readouterr().err == "no track fits well: the best fit of these is 0.44, below 0.5\n"


def test_a_weak_match_does_not_read_one_half(capsys: pytest.CaptureFixture[str]) -> None:
    _print_table(result(0.4999))
    shown = capsys.readouterr()
    assert "0.49 weak" in shown.out
    assert "1 track ranked" in shown.err
