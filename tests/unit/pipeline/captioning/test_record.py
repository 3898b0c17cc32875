"""The run's record: totals over result rows, and the JSON file."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from pipeline.captioning.config import CaptioningConfig
from pipeline.captioning.plan import Plan
from pipeline.captioning.record import RunRecord
from pipeline.captioning.summary import RunSummary
from pipeline.catalogue import Catalogue
from pipeline.catalogue.listing_notes import ListingNotes
from pipeline.output.commit import Counts
from pipeline.output.schema import RESULT
from pipeline.storage import StorageError


@pytest.fixture
def record(tmp_path: Path) -> RunRecord:
    config = CaptioningConfig(catalogue="s3://user:password@music/tracks.csv", output=str(tmp_path))
    notes = ListingNotes()
    notes.add_left_out("sub/cover.jpg")
    notes.add_unreadable(StorageError("/music/secret: access denied", "forbidden"))
    tracks = pa.table({"track_id": [f"t{number}" for number in range(10)]})
    catalogue = Catalogue(source="/music", base="/music/", rows=tracks, notes=notes)
    record = RunRecord(config, run_id="run-1", model_id="model-1", catalogue=catalogue)
    record.set_plan(Plan(selected=np.ones(10, bool), attempts=np.zeros(8, int), already_captioned=2, already_failed=0))
    return record


def results(*rows: dict[str, Any]) -> pa.Table:
    schema = pa.schema([pa.field("track_id", pa.string()), *RESULT])
    empty = dict.fromkeys(schema.names)
    return pa.Table.from_pylist([empty | row for row in rows], schema=schema)


CAPTIONED = {"track_id": "a", "caption": "A song.", "decode_seconds": 0.5, "search_seconds": 2.0}
FAILED = {"track_id": "b", "stage": "fetch", "error_type": "throttled", "retryable": True, "fetch_seconds": 1.0}


def written(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "runs" / "run-1.json").read_text())
    return found


def test_stage_seconds_are_summed_over_rows(record: RunRecord) -> None:
    record.add(results(CAPTIONED, FAILED))
    record.add(results(CAPTIONED | {"track_id": "c"}))
    record.add_commit_seconds(0.25)
    summary = record.write("running", Counts(captioned=2, failed=1), 1)
    assert summary.stage_seconds == {"fetch": 1.0, "decode": 1.0, "feature": 0.0, "search": 4.0, "commit": 0.25}


def test_peak_memory_is_the_largest_of_any_worker(record: RunRecord) -> None:
    for size in (5, 9, 7):
        record.add(results(CAPTIONED | {"decode_peak_bytes": size}))
    peaks = record.write("running", Counts(), 0).peak_memory_bytes
    assert peaks["decode"] == 9
    assert peaks["driver"] > 2**20


def test_what_the_listing_left_out_is_in_the_record(record: RunRecord, tmp_path: Path) -> None:
    record.write("running", Counts(), 0)
    file = written(tmp_path)
    assert file["num_tracks"] == 10
    assert file["files_left_out"] == {".jpg": {"files": 1, "example": "sub/cover.jpg"}}
    assert (file["num_unreadable"], file["unreadable"]) == (1, ["/music/secret: access denied"])


def test_failures_are_counted_by_stage_and_type(record: RunRecord) -> None:
    record.add(results(FAILED, FAILED | {"track_id": "c"}, CAPTIONED))
    assert record.write("done", Counts(), 2).failures_by_reason == {"fetch/throttled": 2}


def test_what_is_left_is_neither_captioned_nor_failed(record: RunRecord) -> None:
    summary = record.write("drained", Counts(captioned=3), 1, "received SIGTERM")
    assert (summary.to_do, summary.captioned, summary.failed, summary.left) == (8, 3, 1, 4)


def test_the_file_holds_the_summary_and_no_secret(record: RunRecord, tmp_path: Path) -> None:
    summary = record.write("done", Counts(captioned=8, audio_seconds=90.0), 0)
    found = written(tmp_path)
    assert found.keys() == {*RunSummary.__dataclass_fields__, "real_time_factor"}
    assert (found["status"], found["captioned"], found["model_id"]) == ("done", 8, "model-1")
    assert found["wall_seconds"] == summary.wall_seconds
    assert "password" not in json.dumps(found)


def test_start_up_ends_with_the_first_result(record: RunRecord) -> None:
    assert not record.has_results
    record.add(results())
    assert not record.has_results
    record.add(results(CAPTIONED))
    assert record.has_results


def test_summaries_show_how_much_faster_than_real_time() -> None:
    summary = RunSummary(run_id="r", output="o", status="done", audio_seconds=90.0, wall_seconds=3.0)
    assert summary.real_time_factor == 30


def test_damaged_tracks_are_named_with_their_damage(record: RunRecord, tmp_path: Path) -> None:
    cut = CAPTIONED | {"damage": "the file ends early"}
    record.add(results(CAPTIONED, cut | {"track_id": "b"}, FAILED | {"damage": "not captioned"}))
    record.write("done", Counts(captioned=2, failed=1, damaged=1), 1)
    assert written(tmp_path)["damaged_tracks"] == [{"track_id": "b", "damage": "the file ends early"}]
    record.add(results(*[cut | {"track_id": f"t{number}"} for number in range(200)]))
    assert len(record.write("done", Counts(), 0).damaged_tracks) == 100


def test_a_run_in_progress_has_no_end_and_states_its_recent_rate(record: RunRecord, tmp_path: Path) -> None:
    record.write("running", Counts(), 0)
    assert (written(tmp_path)["recent_tracks"], written(tmp_path)["ended_at"]) == (0, "")
    record.add(results(CAPTIONED))
    summary = record.write("running", Counts(captioned=6), 0)
    assert (summary.recent_tracks, summary.ended_at) == (6, "")
    assert record.write("done", Counts(captioned=8), 0).ended_at


def test_the_recent_rate_forgets_what_is_older_than_its_time(
    record: RunRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = [1000.0]
    monkeypatch.setattr("pipeline.output.clock.monotonic", lambda: seconds[0])
    record.add(results(CAPTIONED))
    for done in (10, 20, 90):
        seconds[0] += 100
        summary = record.write("running", Counts(captioned=done), 0)
    assert (summary.recent_tracks, summary.recent_seconds) == (80, 200.0)
