"""Durations and intervals as ISO 8601."""

import pytest

from pipeline.iso_8601 import duration_text, interval_text

HALF = 500_000_000


@pytest.mark.parametrize(
    ("interval", "text"),
    [
        ((0, 0, 0), "PT0S"),
        ((1, 0, 0), "P1M"),
        ((0, 2, 0), "P2D"),
        ((0, 0, HALF), "PT0.5S"),
        ((1, 2, 3 * 10**9), "P1M2DT3S"),
        ((0, 1, -HALF), "P1DT-0.5S"),
    ],
)
def test_intervals(interval: tuple[int, int, int], text: str) -> None:
    assert interval_text(*interval) == text


@pytest.mark.parametrize(
    ("microseconds", "text"), [(0, "PT0S"), (93_784_500_000, "PT93784.5S"), (-1_500_000, "-PT1.5S"), (1, "PT0.000001S")]
)
def test_durations(microseconds: int, text: str) -> None:
    assert duration_text(microseconds) == text
