"""A run's rounds from plan to record, with stand-ins for Ray."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.captioning import CaptioningConfig, RunSummary, caption_catalogue, run
from pipeline.captioning.rows import Failure, failure_rows
from pipeline.cluster.execution import ENDED
from pipeline.output.schema import RESULT

Outcome = Callable[[pa.Table, bool], list[pa.Table]]
"""What an execution returns for the rows of a round, isolated or not."""


class FakeSession:
    """Two cores and no GPU; counts restarts."""

    num_cpus, num_gpus = 2, 0
    restarts = 0

    def __init__(self, *_: Any, **__: Any) -> None:
        FakeSession.restarts = 0

    def __enter__(self) -> "FakeSession":
        return self

    def __exit__(self, *_: object) -> None: ...

    def restart(self) -> None:
        FakeSession.restarts += 1

    def drain(self, run_id: str) -> None: ...


class FakeExecution:
    """Returns the tables that it is given as its dataset."""

    error = None

    def __init__(self, dataset: list[pa.Table], **_: Any) -> None:
        self._items: list[Any] = [*dataset, ENDED]

    def __enter__(self) -> "FakeExecution":
        return self

    def __exit__(self, *_: object) -> None: ...

    def next(self, timeout: float) -> Any:
        return self._items.pop(0)


def captions(rows: pa.Table) -> pa.Table:
    values = {"caption": "A song.", "log_prob": -3.0, "decoded_duration_s": 9.0, "sample_rate": 16_000, "channels": 1}
    values |= {"num_chunks": 3, "coverage": 1.0}
    columns = [pa.array([values.get(column.name)] * rows.num_rows, column.type) for column in RESULT]
    return pa.table([*rows.columns, *columns], names=[*rows.column_names, *RESULT.names])


def except_track(rows: pa.Table, name: str) -> pa.Table:
    return rows.filter(pa.array([track_id != name for track_id in rows["track_id"].to_pylist()]))


@pytest.fixture
def caption(tmp_path: Path, tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., RunSummary]:
    """Run over six tracks whose executions have the given outcome; the output is `tmp_path / "out"`."""
    catalogue = tmp_path / "tracks.csv"
    catalogue.write_text("track_id,uri\n" + "".join(f"t{number},{number}.wav\n" for number in range(6)))
    monkeypatch.setattr(run, "Session", FakeSession)
    monkeypatch.setattr(run, "Execution", FakeExecution)
    monkeypatch.setattr(run, "RETRY_PAUSE_SECONDS", 0.0)

    def caption(outcome: Outcome, **settings: Any) -> RunSummary:
        monkeypatch.setattr(
            run.CaptioningGraph, "dataset", lambda self, rows, session, *, isolated: outcome(rows, isolated)
        )
        config = CaptioningConfig(
            catalogue=str(catalogue), output=str(tmp_path / "out"), checkpoint=str(tiny_checkpoint), **settings
        )
        return caption_catalogue(config)

    return caption


def test_a_track_that_crashes_every_worker_is_given_up_and_the_others_are_captioned(
    caption: Callable[..., RunSummary], tmp_path: Path
) -> None:
    def outcome(rows: pa.Table, isolated: bool) -> list[pa.Table]:
        if not isolated and "t3" in rows["track_id"].to_pylist():
            return []
        return [captions(except_track(rows, "t3"))]

    summary = caption(outcome)
    assert (summary.status, summary.captioned, summary.failed, summary.left) == ("done", 5, 1, 0)
    assert (summary.rounds, FakeSession.restarts) == (4, 3)  # one shared, three isolated
    [row] = pq.read_table(tmp_path / "out" / "failures").to_pylist()
    assert (row["track_id"], row["error_type"], row["retryable"], row["attempt"]) == ("t3", "worker_died", False, 1)


def test_a_passing_failure_is_retried_and_counts_attempts(caption: Callable[..., RunSummary], tmp_path: Path) -> None:
    throttled = Failure(stage="fetch", error_type="throttled", message="slow down", retryable=True)

    def outcome(rows: pa.Table, isolated: bool) -> list[pa.Table]:
        first = rows["attempt"][0].as_py() == 1
        return [failure_rows(rows, throttled)] if first else [captions(rows)]

    summary = caption(outcome)
    assert (summary.status, summary.captioned, summary.failed) == ("done", 6, 0)
    assert summary.failures_by_reason == {"fetch/throttled": 6}
    assert (summary.rounds, FakeSession.restarts) == (2, 0)


def test_a_track_that_returns_twice_is_committed_once(caption: Callable[..., RunSummary], tmp_path: Path) -> None:
    summary = caption(lambda rows, isolated: [captions(rows), captions(rows.slice(2))])
    assert summary.captioned == 6
    assert len(pq.read_table(tmp_path / "out" / "captions")) == 6


def test_lost_tracks_are_processed_again_after_a_restart(caption: Callable[..., RunSummary]) -> None:
    lost = ["t4"]

    def outcome(rows: pa.Table, isolated: bool) -> list[pa.Table]:
        return [captions(except_track(rows, lost.pop() if lost else ""))]

    summary = caption(outcome)
    assert (summary.status, summary.captioned, summary.rounds, FakeSession.restarts) == ("done", 6, 2, 1)


def test_a_time_limit_drains_the_run(caption: Callable[..., RunSummary]) -> None:
    summary = caption(lambda rows, isolated: [captions(rows.slice(0, 2))], max_runtime_s=1e-9)
    assert (summary.status, summary.captioned, summary.left) == ("drained", 2, 4)
    assert summary.reason.startswith("the time limit of")
