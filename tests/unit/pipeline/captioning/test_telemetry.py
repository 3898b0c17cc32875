"""Metrics: counters move by what is new, gauges are what is; names and tags are the ones registered."""

from typing import Any

import pytest

from pipeline.captioning.telemetry import COUNTERS, GAUGES, RunMetrics


class Recorded:
    """Stands for ray.util.metrics.Counter and Gauge, and rejects tags that were not declared."""

    values: dict[tuple, float]

    def __init__(self, name: str, description: str, tag_keys: tuple[str, ...]) -> None:
        self.name, self.tag_keys = name, tag_keys

    def _key(self, tags: dict[str, str]) -> tuple:
        assert set(tags) == set(self.tag_keys)
        return self.name, tuple(sorted(tags.values()))

    def inc(self, value: float, tags: dict[str, str]) -> None:
        assert value > 0
        Recorded.values[self._key(tags)] = Recorded.values.get(self._key(tags), 0.0) + value

    def set(self, value: float, tags: dict[str, str]) -> None:
        Recorded.values[self._key(tags)] = value


@pytest.fixture
def metrics(monkeypatch: pytest.MonkeyPatch) -> RunMetrics:
    from ray.util import metrics

    Recorded.values = {}
    monkeypatch.setattr(metrics, "Counter", Recorded)
    monkeypatch.setattr(metrics, "Gauge", Recorded)
    return RunMetrics("run-1")


def totals(captioned: int, failed: int = 0, **changes: Any) -> dict[str, Any]:
    return {
        "captioned": captioned, "failed": failed, "left": 10 - captioned - failed, "audio_seconds": 3.0 * captioned,
        "wall_seconds": 1.0, "failures_by_reason": {"fetch/not_found": failed} if failed else {},
        "stage_seconds": {"decode": 2.0 * captioned},
    } | changes  # fmt: skip


def test_counters_end_at_the_totals_however_often_they_are_reported(metrics: RunMetrics) -> None:
    for captioned, failed in ((0, 0), (2, 1), (2, 1), (7, 3)):
        metrics.update(**totals(captioned, failed))
    assert Recorded.values == {
        ("muscaps_tracks", ("captioned", "run-1")): 7,
        ("muscaps_tracks", ("failed", "run-1")): 3,
        ("muscaps_failures", ("fetch/not_found", "run-1")): 3,
        ("muscaps_audio_seconds", ("run-1",)): 21,
        ("muscaps_stage_seconds", ("decode", "run-1")): 14,
        ("muscaps_tracks_left", ("run-1",)): 0,
        ("muscaps_wall_seconds", ("run-1",)): 1,
    }
    assert {name for name, _ in Recorded.values} == {*COUNTERS, *GAUGES}


def test_a_total_that_fell_is_not_taken_back(metrics: RunMetrics) -> None:
    for failed in (2, 1, 3):
        metrics.update(**totals(1, failed))
    assert Recorded.values["muscaps_tracks", ("failed", "run-1")] == 3
