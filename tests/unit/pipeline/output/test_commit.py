"""Commits: the documented columns, one row per track, written by number of rows and by age."""

import json
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline import storage
from pipeline.output.lease import Lease, LeaseLostError
from pipeline.output.newest import open_table
from pipeline.output.schema import CAPTION_SCHEMA, FAILURE_SCHEMA, FEATURE_SCHEMA
from tests.committed_output import MODEL_ID, caption_sink, commit_rows, part_names, result_rows


def test_committed_rows_have_the_documented_columns(tmp_path: Path) -> None:
    commit_rows(tmp_path, result_rows("a", "b"), result_rows("c", failed=True))
    [captions] = (tmp_path / "captions").glob("*.parquet")
    assert pq.read_schema(captions).names == [*CAPTION_SCHEMA.names, "mood"]
    [failures] = (tmp_path / "failures").glob("*.parquet")
    assert pq.read_schema(failures).equals(FAILURE_SCHEMA)
    row = pq.read_table(captions).to_pylist()[0]
    assert row["duration_s"] == 9.5
    left_to_the_checkpoint = dict.fromkeys(("no_repeated_words", "allow_unknown", "word_reward"))
    assert row["decoding"] == {
        "beam_size": 3,
        "max_words": 22,
        **left_to_the_checkpoint,
        "word_limit": None,
        "char_limit": None,
    }
    assert (row["model_id"], row["run_id"], row["mood"]) == (MODEL_ID, "run-1", "calm")
    assert datetime.now(UTC) - row["created_at"] < timedelta(minutes=1)
    assert pd.read_parquet(tmp_path / "captions")["track_id"].tolist() == ["a", "b"]


def test_embeddings_have_a_fixed_size_and_those_of_several_models_are_read_together(tmp_path: Path) -> None:
    for run_id, width in (("run-1", 2), ("run-2", 3)):
        with Lease(str(tmp_path), run_id) as lease:
            sink = caption_sink(tmp_path, lease, embedding_dim=width)
            sink.add(result_rows(run_id, embedding=[0.5] * width))
            sink.commit()
        [part] = (tmp_path / "captions").glob(f"*{run_id}*.parquet")
        assert pq.read_schema(part).field("embedding").type == pa.list_(pa.float32(), width)
    batches = open_table(str(tmp_path), "captions").newest(["track_id", "embedding"])
    assert pa.Table.from_batches(batches).to_pylist() == [
        {"track_id": "run-1", "embedding": [0.5, 0.5]},
        {"track_id": "run-2", "embedding": [0.5, 0.5, 0.5]},
    ]


def test_features_are_committed_beside_their_captions(tmp_path: Path) -> None:
    commit_rows(tmp_path, result_rows("a"))
    assert part_names(tmp_path, "features") == part_names(tmp_path, "captions")
    table = pq.read_table(tmp_path / "features")
    assert table.schema.equals(FEATURE_SCHEMA)
    assert table.to_pylist()[0]["features"] == b"\0\0" * 6


def test_a_track_that_comes_out_twice_is_committed_once(tmp_path: Path) -> None:
    with Lease(str(tmp_path), "run-1") as lease:
        filled = caption_sink(tmp_path, lease)
        assert filled.add(result_rows("a", "b")).num_rows == 2
        assert filled.add(result_rows("b", "c"))["track_id"].to_pylist() == ["c"]
        filled.commit()
        assert filled.add(result_rows("a")).num_rows == 0
        filled.commit()
        assert filled.counts.captioned == 3
    assert pq.read_table(tmp_path / "captions")["track_id"].to_pylist() == ["a", "b", "c"]


def test_a_track_retried_in_the_next_round_is_no_longer_failed(tmp_path: Path) -> None:
    with Lease(str(tmp_path), "run-1") as lease:
        filled = caption_sink(tmp_path, lease)
        filled.add(result_rows("a", "b", failed=True))
        assert filled.failed_tracks == 2
        filled.start_round()
        filled.add(result_rows("a"))
        assert (filled.failed_tracks, filled.counts.failed, filled.counts.captioned) == (1, 2, 1)


def test_rows_are_written_by_number_and_by_age(tmp_path: Path) -> None:
    with Lease(str(tmp_path), "run-1") as lease:
        filled = caption_sink(tmp_path, lease, max_rows=3, max_seconds=0.2)
        filled.add(result_rows("a", "b"))
        assert part_names(tmp_path, "captions") == []
        filled.add(result_rows("c"))
        assert len(part_names(tmp_path, "captions")) == 1
        filled.add(result_rows("d"))
        time.sleep(0.25)
        filled.commit_if_due()
        assert len(part_names(tmp_path, "captions")) == 2


def test_nothing_is_committed_once_the_lease_is_lost(tmp_path: Path) -> None:
    with Lease(str(tmp_path), "run-1", heartbeat_seconds=0.05) as lease:
        filled = caption_sink(tmp_path, lease)
        filled.add(result_rows("a"))
        record = json.loads((tmp_path / "lease.json").read_text()) | {"run_id": "usurper"}
        storage.write_once(str(tmp_path / "lease.json"), json.dumps(record).encode())
        time.sleep(0.3)
        with pytest.raises(LeaseLostError, match="has taken over this output"):
            filled.commit()
    assert part_names(tmp_path, "captions") == []
    assert json.loads((tmp_path / "lease.json").read_text())["run_id"] == "usurper"
