"""Learning-rate schedules."""

import pytest

from muscaps.training.schedules import linear_decay, warmup_cosine


def test_learning_rate_falls_linearly_to_zero() -> None:
    assert [linear_decay(step, 10, 1e-4) for step in (0, 5, 10)] == pytest.approx([1e-4, 5e-5, 0])


def test_learning_rate_warms_up_and_falls_to_zero() -> None:
    assert warmup_cosine(0, 0.0, 1.0) == pytest.approx(1 / 200)
    assert warmup_cosine(100, 0.01, 1.0) == pytest.approx(101 / 200, abs=1e-3)
    assert warmup_cosine(10, 0.1, 1.0) > 0.97  # of a run of 100 steps
    assert warmup_cosine(500, 0.5, 1.0) == pytest.approx(0.5)
    assert warmup_cosine(500, 1.0, 1.0) == pytest.approx(0.0)
