"""A run's rounds from plan to record, with stand-ins for Ray."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.captioning import CaptioningConfig, RunSummary, caption_catalogue, run
from pipeline.captioning.rows import Failure, failure_rows
from pipeline.cluster.execution import ENDED
from pipeline.output.newest import open_table
from pipeline.output.schema import RESULT
from pipeline.output.verification import verify

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
    tags = [{"facet": facet, "tag": tag, "score": 0.9} for facet, tag in (("vocals", "vocals"), ("genre", "jazz"))]
    values = {
        "caption": "A song.",
        "log_prob": -3.0,
        "tags": tags,
        "has_vocals": True,
        "decoded_duration_s": 9.0,
        "sample_rate": 16_000,
        "channels": 1,
    }
    values |= {"num_chunks": 3, "coverage": 1.0, "created_at": datetime.now(UTC)}
    columns = [pa.array([values.get(column.name)] * rows.num_rows, column.type) for column in RESULT]
    return pa.table([*rows.columns, *columns], names=[*rows.column_names, *RESULT.names])


def except_track(rows: pa.Table, name: str) -> pa.Table:
    return rows.filter(pa.array([track_id != name for track_id in rows["track_id"].to_pylist()]))


@pytest.fixture
def caption(tmp_path: Path, tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., RunSummary]:
    """Run over six tracks, or those of a CSV, whose executions have the given outcome; the output is `out`."""
    catalogue = tmp_path / "tracks.csv"
    catalogue.write_text("track_id,uri\n" + "".join(f"t{number},{number}.wav\n" for number in range(6)))
    monkeypatch.setattr(run, "Session", FakeSession)
    monkeypatch.setattr(run, "Execution", FakeExecution)
    monkeypatch.setattr(run, "RETRY_PAUSE_SECONDS", 0.0)

    def caption(outcome: Outcome, tracks: str = "", **settings: Any) -> RunSummary:
        if tracks:
            catalogue.write_text(tracks)
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


VERSIONS = "track_id,uri,etag,master_id,duration_s\nm,m.wav,v1,,60\nedit,e.wav,v1,m,30\nstem,s.wav,v1,m,\n"


def newest_rows(output: Path) -> dict[str, dict[str, Any]]:
    batches = open_table(str(output), "captions").newest()
    return {row["track_id"]: row for batch in batches for row in batch.to_pylist()}


def test_versions_share_the_caption_of_their_master_in_the_same_part(
    caption: Callable[..., RunSummary], tmp_path: Path
) -> None:
    summary = caption(lambda rows, isolated: [captions(rows)], tracks=VERSIONS)
    assert (summary.to_do, summary.captioned, summary.shared, summary.left) == (3, 1, 2, 0)
    assert len(list((tmp_path / "out" / "captions").iterdir())) == 1
    rows = newest_rows(tmp_path / "out")
    assert {name: row["shared_from"] for name, row in rows.items()} == {"m": None, "edit": "m", "stem": "m"}
    assert rows["edit"]["caption"] == "A song."
    assert verify(str(tmp_path / "tracks.csv"), str(tmp_path / "out")).is_complete


def test_a_shared_row_says_nothing_about_the_sound_of_its_own_file(
    caption: Callable[..., RunSummary], tmp_path: Path
) -> None:
    caption(lambda rows, isolated: [captions(rows)], tracks=VERSIONS)
    rows = newest_rows(tmp_path / "out")
    assert rows["m"]["has_vocals"]
    assert [tag["tag"] for tag in rows["m"]["tags"]] == ["vocals", "jazz"]
    assert [tag["tag"] for tag in rows["edit"]["tags"]] == ["jazz"]
    unknown = ("has_vocals", "embedding", "sample_rate", "channels", "num_chunks", "coverage")
    assert all(rows["edit"][name] is None for name in unknown)
    assert [rows[name]["duration_s"] for name in ("m", "edit", "stem")] == [9.0, 30.0, None]


def test_a_version_of_a_failed_master_is_captioned_in_the_same_run(
    caption: Callable[..., RunSummary], tmp_path: Path
) -> None:
    damaged = Failure(stage="decode", error_type="damaged", message="no", retryable=False)

    def outcome(rows: pa.Table, isolated: bool) -> list[pa.Table]:
        is_master = rows["track_id"].to_pylist() == ["m"]
        return [failure_rows(rows, damaged) if is_master else captions(rows)]

    summary = caption(outcome, tracks=VERSIONS)
    assert (summary.status, summary.captioned, summary.shared, summary.failed) == ("done", 1, 1, 1)
    assert newest_rows(tmp_path / "out")["stem"]["shared_from"] == "edit"
    assert verify(str(tmp_path / "tracks.csv"), str(tmp_path / "out")).is_complete


def test_a_new_version_shares_an_earlier_caption_without_starting_ray(
    caption: Callable[..., RunSummary], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    caption(lambda rows, isolated: [captions(rows)], tracks=VERSIONS)
    monkeypatch.setattr(run, "Session", None)
    summary = caption(lambda rows, isolated: [], tracks=VERSIONS + "new,n.wav,v1,m,15\n")
    assert (summary.status, summary.captioned, summary.shared) == ("done", 0, 1)
    assert newest_rows(tmp_path / "out")["new"]["shared_from"] == "m"
    assert verify(str(tmp_path / "tracks.csv"), str(tmp_path / "out")).is_complete


def test_versions_follow_a_master_with_new_audio(caption: Callable[..., RunSummary], tmp_path: Path) -> None:
    caption(lambda rows, isolated: [captions(rows)], tracks=VERSIONS)
    tracks = VERSIONS.replace("m.wav,v1", "m.wav,v2")
    summary = caption(lambda rows, isolated: [captions(rows)], tracks=tracks)
    assert (summary.captioned, summary.shared) == (1, 2)
    assert newest_rows(tmp_path / "out")["edit"]["shared_from_etag"] == "v2"
    found = verify(str(tmp_path / "tracks.csv"), str(tmp_path / "out"))
    assert (found.is_complete, found.shared) == (True, 2)
    assert caption(lambda rows, isolated: [], tracks=tracks).status == "nothing_to_do"
