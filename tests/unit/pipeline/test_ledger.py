"""The ledger: what is read back as done, who may write, and what a commit leaves behind."""

import json
import os
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from muscaps.config import DecodingOptions
from pipeline import storage
from pipeline.captioning import stages
from pipeline.output import compaction
from pipeline.output.anti_join import captioned_tracks, failed_tracks
from pipeline.output.commit import CaptionSink
from pipeline.output.lease import Lease, LeaseHeldError, LeaseLostError, current_holder
from pipeline.output.leftovers import remove_leftovers
from pipeline.output.parts import part_files
from pipeline.output.schema import CAPTION_SCHEMA, FAILURE_SCHEMA, FEATURE_SCHEMA

OPTIONS = DecodingOptions(beam_size=3)
EXTRA = pa.schema([("mood", pa.string())])


def results(*track_ids: str, failed: bool = False, attempt: int = 1, etag: str | None = None) -> pa.Table:
    """Result rows as they come out of the pipeline."""
    rows = pa.table(
        {
            "track_id": pa.array(track_ids, pa.string()),
            "uri": [f"/music/{name}.mp3" for name in track_ids],
            "etag": pa.array([etag] * len(track_ids), pa.string()),
            "mood": ["calm"] * len(track_ids),
        }
    )
    rows = stages.input_rows(rows, pa.array([attempt] * len(track_ids)))
    if failed:
        failure = stages.Failure(stage="decode", error_type="damaged", message="no", retryable=attempt == 1)
        return stages.failure_rows(rows, failure)
    values = {
        "sample_rate": 44100,
        "channels": 2,
        "num_chunks": 3,
        "coverage": 1.0,
        "heard_duration_s": 9.5,
        "caption": "A song.",
        "log_prob": -3.5,
        "features": b"\0\0" * 6,
        "feature_dim": 2,
    }
    columns = [pa.array([values.get(column.name)] * len(track_ids), column.type) for column in stages.RESULT]
    return pa.table([*rows.columns, *columns], schema=stages.result_schema(rows.schema))


def sink(output: Path, lease: Lease, **settings: float) -> CaptionSink:
    return CaptionSink(
        str(output),
        lease,
        model_id="m-1",
        options=OPTIONS,
        extra_columns=EXTRA,
        **settings,  # type: ignore[arg-type]
    )


def commit(output: Path, *tables: pa.Table, run_id: str = "run-1") -> None:
    with Lease(str(output), run_id) as lease:
        filled = sink(output, lease)
        for table in tables:
            filled.add(table)
        filled.commit()


def names(output: Path, table: str) -> list[str]:
    return sorted(path.name for path in (output / table).glob("*.parquet"))


def test_committed_rows_have_the_documented_columns(tmp_path: Path) -> None:
    commit(tmp_path, results("a", "b"), results("c", failed=True))
    [captions] = (tmp_path / "captions").glob("*.parquet")
    assert pq.read_schema(captions).names == [*CAPTION_SCHEMA.names, "mood"]
    [failures] = (tmp_path / "failures").glob("*.parquet")
    assert pq.read_schema(failures).equals(FAILURE_SCHEMA)
    row = pq.read_table(captions).to_pylist()[0]
    assert row["duration_s"] == 9.5
    assert row["decoding"] == {"beam_size": 3, "max_words": 22}
    assert (row["model_id"], row["run_id"], row["mood"]) == ("m-1", "run-1", "calm")
    assert datetime.now(UTC) - row["created_at"] < timedelta(minutes=1)
    assert pd.read_parquet(tmp_path / "captions")["track_id"].tolist() == ["a", "b"]


def test_features_are_committed_beside_their_captions(tmp_path: Path) -> None:
    commit(tmp_path, results("a"))
    assert names(tmp_path, "features") == names(tmp_path, "captions")
    table = pq.read_table(tmp_path / "features")
    assert table.schema.equals(FEATURE_SCHEMA)
    assert table.to_pylist()[0]["features"] == b"\0\0" * 6


def test_done_tracks_are_those_of_this_model_and_decoding(tmp_path: Path) -> None:
    commit(tmp_path, results("a", etag="1"), results("b"))
    done = captioned_tracks(str(tmp_path), "m-1", OPTIONS)
    assert done.to_pylist() == [{"track_id": "a", "etag": "1"}, {"track_id": "b", "etag": None}]
    assert captioned_tracks(str(tmp_path), "m-2", OPTIONS).num_rows == 0
    assert captioned_tracks(str(tmp_path), "m-1", DecodingOptions(beam_size=1)).num_rows == 0
    assert captioned_tracks(str(tmp_path / "nowhere"), "m-1", OPTIONS).num_rows == 0


def test_a_track_that_failed_twice_counts_both_attempts_and_shows_the_last(tmp_path: Path) -> None:
    commit(tmp_path, results("a", "b", failed=True))
    commit(tmp_path, results("a", failed=True, attempt=2), run_id="run-2")
    failed = {row["track_id"]: row for row in failed_tracks(str(tmp_path)).to_pylist()}
    assert (failed["a"]["attempt"], failed["a"]["retryable"], failed["a"]["run_id"]) == (2, False, "run-2")
    assert (failed["b"]["attempt"], failed["b"]["retryable"]) == (1, True)


def test_a_track_that_comes_out_twice_is_committed_once(tmp_path: Path) -> None:
    with Lease(str(tmp_path), "run-1") as lease:
        filled = sink(tmp_path, lease)
        assert filled.add(results("a", "b")).num_rows == 2
        assert filled.add(results("b", "c"))["track_id"].to_pylist() == ["c"]
        filled.commit()
        assert filled.add(results("a")).num_rows == 0
        filled.commit()
        assert filled.counts.captioned == 3
    assert pq.read_table(tmp_path / "captions")["track_id"].to_pylist() == ["a", "b", "c"]


def test_a_track_retried_in_the_next_round_is_no_longer_failed(tmp_path: Path) -> None:
    with Lease(str(tmp_path), "run-1") as lease:
        filled = sink(tmp_path, lease)
        filled.add(results("a", "b", failed=True))
        assert filled.failed_tracks == 2
        filled.start_round()
        filled.add(results("a"))
        assert (filled.failed_tracks, filled.counts.failed, filled.counts.captioned) == (1, 2, 1)


def test_rows_are_written_by_number_and_by_age(tmp_path: Path) -> None:
    with Lease(str(tmp_path), "run-1") as lease:
        filled = sink(tmp_path, lease, max_rows=3, max_seconds=0.2)
        filled.add(results("a", "b"))
        assert names(tmp_path, "captions") == []
        filled.add(results("c"))
        assert len(names(tmp_path, "captions")) == 1
        filled.add(results("d"))
        time.sleep(0.25)
        filled.commit_if_due()
        assert len(names(tmp_path, "captions")) == 2


def test_features_without_captions_are_removed_by_the_next_run(tmp_path: Path) -> None:
    commit(tmp_path, results("a"), run_id="run-1")
    [part] = (tmp_path / "features").glob("*.parquet")
    left_over = part.with_name("part-run-0-000007.parquet")
    left_over.write_bytes(part.read_bytes())
    remove_leftovers(str(tmp_path))
    assert names(tmp_path, "features") == [part.name]


def test_a_living_holder_is_named_and_keeps_its_lease(tmp_path: Path) -> None:
    with Lease(str(tmp_path), "run-1"):
        started = time.monotonic()
        with pytest.raises(LeaseHeldError, match=r"run run-1 \(process \d+ on .* replaced in \d+ s"):
            Lease(str(tmp_path), "run-2").__enter__()
        assert time.monotonic() - started < 1
    assert not (tmp_path / "lease.json").exists()
    with Lease(str(tmp_path), "run-3"):
        pass


def hold_in_a_process_and_kill_it(output: Path) -> None:
    code = (
        "import os, signal, sys; from pipeline.output.lease import Lease\n"
        "Lease(sys.argv[1], 'dead').__enter__(); os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", code, str(output)], check=False, cwd=Path(__file__).parents[3])


def test_a_dead_process_of_this_machine_is_replaced_at_once(tmp_path: Path) -> None:
    hold_in_a_process_and_kill_it(tmp_path)
    assert (tmp_path / "lease.json").exists()
    started = time.monotonic()
    with Lease(str(tmp_path), "run-2"):
        assert time.monotonic() - started < 1


def test_a_silent_holder_elsewhere_is_replaced_after_the_stated_time(tmp_path: Path) -> None:
    hold_in_a_process_and_kill_it(tmp_path)
    path = tmp_path / "lease.json"
    record = json.loads(path.read_text()) | {"process": "another machine/1-2", "host": "far"}
    path.write_text(json.dumps(record))
    with pytest.raises(LeaseHeldError, match="on far"):
        Lease(str(tmp_path), "run-2").__enter__()
    silent = datetime.now(UTC) - timedelta(seconds=61)
    path.write_text(json.dumps(record | {"heartbeat_at": silent.isoformat()}))
    with Lease(str(tmp_path), "run-2", heartbeat_seconds=0.1):
        assert json.loads(path.read_text())["run_id"] == "run-2"


def test_a_holder_whose_clock_is_wrong_is_not_replaced_while_it_moves(tmp_path: Path) -> None:
    with Lease(str(tmp_path), "run-1") as lease:
        record = json.loads(lease._record())
        record |= {"process": "another machine/1-2", "heartbeat_at": datetime(2020, 1, 1, tzinfo=UTC).isoformat()}
        (tmp_path / "lease.json").write_text(json.dumps(record))
        second = Lease(str(tmp_path), "run-2", heartbeat_seconds=0.4)
        import threading

        threading.Timer(0.2, lambda: (tmp_path / "lease.json").write_text(json.dumps(record | {"pid": 1}))).start()
        with pytest.raises(LeaseHeldError, match="clock differs"):
            second.__enter__()


def test_nothing_is_committed_once_the_lease_is_lost(tmp_path: Path) -> None:
    with Lease(str(tmp_path), "run-1", heartbeat_seconds=0.05) as lease:
        filled = sink(tmp_path, lease)
        filled.add(results("a"))
        record = json.loads((tmp_path / "lease.json").read_text()) | {"run_id": "usurper"}
        storage.write_once(str(tmp_path / "lease.json"), json.dumps(record).encode())
        time.sleep(0.3)
        with pytest.raises(LeaseLostError, match="took this output over"):
            filled.commit()
    assert names(tmp_path, "captions") == []
    assert json.loads((tmp_path / "lease.json").read_text())["run_id"] == "usurper"


def test_an_unreadable_lease_is_taken_over(tmp_path: Path) -> None:
    (tmp_path / "lease.json").write_text("{")
    with Lease(str(tmp_path), "run-2", heartbeat_seconds=0.1):
        assert current_holder(str(tmp_path)).run_id == "run-2"  # type: ignore[union-attr]


def many_parts(output: Path) -> list[str]:
    for number in range(4):
        commit(output, results(f"t{number}"), results(f"f{number}", failed=True), run_id=f"run-{number}")
    return [f"t{number}" for number in range(4)]


def test_compaction_merges_every_table_and_keeps_every_row(tmp_path: Path) -> None:
    tracks = many_parts(tmp_path)
    before = failed_tracks(str(tmp_path)).sort_by("track_id")
    summary = compaction.compact(str(tmp_path))
    assert (summary.files_before, summary.files_after, summary.rows_dropped) == (12, 3, 0)
    assert sorted(pq.read_table(tmp_path / "captions")["track_id"].to_pylist()) == tracks
    assert failed_tracks(str(tmp_path)).sort_by("track_id").equals(before)
    remove_leftovers(str(tmp_path))
    assert len(names(tmp_path, "features")) == 1
    assert not (tmp_path / "compaction.json").exists()
    assert compaction.compact(str(tmp_path)).files_after == 3


def test_compaction_keeps_features_whose_captions_were_merged_first(tmp_path: Path) -> None:
    many_parts(tmp_path)
    compaction._merge(str(tmp_path), "captions", part_files(str(tmp_path), "captions"))
    remove_leftovers(str(tmp_path))
    assert len(names(tmp_path, "features")) == 4


def test_a_row_written_twice_is_merged_into_one(tmp_path: Path) -> None:
    commit(tmp_path, results("a"), run_id="run-1")
    commit(tmp_path, results("a", "b"), run_id="run-2")
    assert compaction.compact(str(tmp_path)).rows_dropped == 2  # the caption and its features
    assert sorted(pq.read_table(tmp_path / "captions")["track_id"].to_pylist()) == ["a", "b"]


def test_readers_see_each_row_once_wherever_a_merge_is_cut_short(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class CutError(Exception):
        pass

    for allowed in range(8):
        output = tmp_path / str(allowed)
        tracks = many_parts(output)
        left = allowed

        def counted(function):
            def call(uri: str, *rest: object) -> None:
                nonlocal left
                if not uri.endswith("lease.json"):
                    if left == 0:
                        raise CutError
                    left -= 1
                function(uri, *rest)

            return call

        with monkeypatch.context() as patched:
            patched.setattr(storage, "write_once", counted(storage.write_once))
            patched.setattr(storage, "delete", counted(storage.delete))
            files = part_files(str(output), "captions")
            if allowed < 7:
                with pytest.raises(CutError):
                    compaction._merge(str(output), "captions", files)
            else:
                compaction._merge(str(output), "captions", files)

        def seen(output: Path = output) -> list[str]:
            return sorted(captioned_tracks(str(output), "m-1", OPTIONS)["track_id"].to_pylist())

        assert seen() == tracks
        compaction.finish(str(output))
        assert seen() == tracks
        assert sorted(pq.read_table(output / "captions")["track_id"].to_pylist()) == tracks
        assert not (output / "compaction.json").exists()


def test_what_killed_writers_left_hidden_is_removed_once_they_cannot_live(tmp_path: Path) -> None:
    old, fresh = [], []
    for folder in (tmp_path, tmp_path / "captions", tmp_path / "runs"):
        folder.mkdir(exist_ok=True)
        old.append(folder / ".0123.part")
        fresh.append(folder / ".4567.part")
    for path in (*old, *fresh):
        path.write_bytes(b"PAR1")
    for path in old:
        os.utime(path, (0, 0))
    remove_leftovers(str(tmp_path))
    assert not any(path.exists() for path in old)
    assert all(path.exists() for path in fresh)
