"""The state of a run, from its record."""

from datetime import UTC, datetime, timedelta
from typing import Any

from pipeline.reading.run_status import status_of

STARTED = datetime(2026, 11, 26, 4, 0, tzinfo=UTC)


def record(**changes: Any) -> dict[str, Any]:
    """A run in progress: 40 of 100 tracks in 200 s, 60 s of them start-up; 30 tracks in the last 60 s."""
    return {
        "run_id": "r", "status": "running", "started_at": STARTED.isoformat(), "updated_at": "u", "ended_at": "",
        "to_do": 100, "captioned": 38, "failed": 2, "left": 60, "wall_seconds": 200.0, "startup_seconds": 60.0,
        "recent_tracks": 30, "recent_seconds": 60.0,
    } | changes  # fmt: skip


def status(seconds: float, host: str | None = "box", **changes: Any) -> Any:
    return status_of(record(**changes), host=host, now=STARTED + timedelta(seconds=seconds))


def test_a_run_in_progress_has_the_time_until_now_and_no_end() -> None:
    found = status(208)
    assert found.state == "running on box"
    assert (found.elapsed_seconds, found.ended_at) == (208.0, None)


def test_the_rate_now_decides_the_time_left_and_the_overall_rate_has_the_start_up() -> None:
    found = status(200)
    assert (found.tracks_per_second_now, found.tracks_per_second) == (0.5, 0.2)
    assert found.seconds_left == 120.0


def test_a_run_that_stalls_is_judged_by_its_overall_rate() -> None:
    found = status(200, recent_tracks=0)
    assert (found.tracks_per_second_now, found.seconds_left) == (0.0, 300.0)


def test_before_the_first_track_nothing_is_estimated() -> None:
    found = status(50, captioned=0, failed=0, left=100, recent_tracks=0, recent_seconds=0.0)
    assert (found.startup_seconds, found.seconds_left, found.tracks_per_second_now) == (None, None, None)
    assert found.cost(36)["cost_per_1000_tracks"] is None


def test_costs_include_the_start_up_and_the_time_left() -> None:
    assert status(200).cost(36) == {"cost_so_far": 2.0, "cost_per_1000_tracks": 50.0, "cost_at_end": 3.2}


def test_a_killed_run_keeps_the_time_of_its_last_record() -> None:
    found = status(9000, host=None)
    assert "killed?" in found.state
    assert (found.elapsed_seconds, found.seconds_left, found.ended_at) == (200.0, None, None)


def test_a_record_of_an_older_version_is_read() -> None:
    old = record(status="done", ended_at="e")
    for name in ("updated_at", "recent_tracks", "recent_seconds"):
        del old[name]
    found = status_of(old, host=None, now=STARTED)
    assert (found.updated_at, found.ended_at, found.state) == ("e", "e", "done")
