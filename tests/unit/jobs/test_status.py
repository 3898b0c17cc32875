"""The lines of `muscaps status`."""

from datetime import UTC, datetime
from typing import Any

from jobs.commands.status import _progress_lines
from pipeline.reading.run_status import status_of

STARTED = datetime(2026, 11, 26, 4, 0, tzinfo=UTC)


def lines(host: str | None, **changes: Any) -> str:
    record = {
        "run_id": "r", "status": "running", "started_at": STARTED.isoformat(), "ended_at": "", "to_do": 100,
        "captioned": 40, "failed": 0, "left": 60, "wall_seconds": 200.0, "startup_seconds": 60.0,
    } | changes  # fmt: skip
    return "\n".join(_progress_lines(status_of(record, host=host, now=STARTED)))


def test_of_a_killed_run_the_last_tracks_may_be_missing_and_the_remedy_is_named() -> None:
    text = lines(None)
    assert "40 captioned" in text
    assert (
        "may not be written: `muscaps verify` counts what is, and the same `muscaps caption` command continues" in text
    )


def test_a_run_in_progress_or_at_its_end_has_no_such_line() -> None:
    assert "may not be written" not in lines("box")
    assert "may not be written" not in lines(None, status="done", ended_at=STARTED.isoformat())
