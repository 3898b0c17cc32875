"""Commit result rows to an output as a run does, without running the stages."""

from pathlib import Path
from typing import Any

import pyarrow as pa

from muscaps.config import DecodingOptions
from pipeline.captioning.rows import Failure, failure_rows, input_rows, result_schema
from pipeline.output.commit import CaptionSink
from pipeline.output.lease import Lease
from pipeline.output.schema import RESULT

MODEL_ID = "m-1"
OPTIONS = DecodingOptions(beam_size=3)
EXTRA = pa.schema([("mood", pa.string())])


def result_rows(
    *track_ids: str, failed: bool = False, attempt: int = 1, etag: str | None = None, **changes: Any
) -> pa.Table:
    """Result rows as they come out of the pipeline."""
    rows = pa.table(
        {
            "track_id": pa.array(track_ids, pa.string()),
            "uri": [f"/music/{name}.mp3" for name in track_ids],
            "etag": pa.array([etag] * len(track_ids), pa.string()),
            "mood": ["calm"] * len(track_ids),
        }
    )
    rows = input_rows(rows, pa.array([attempt] * len(track_ids)))
    if failed:
        failure = Failure(stage="decode", error_type="damaged", message="no", retryable=attempt == 1)
        return failure_rows(rows, failure)
    values = {
        "sample_rate": 44100,
        "channels": 2,
        "num_chunks": 3,
        "coverage": 1.0,
        "decoded_duration_s": 9.5,
        "caption": "A song.",
        "log_prob": -3.5,
        "features": b"\0\0" * 6,
        "feature_dim": 2,
        **changes,
    }
    columns = [pa.array([values.get(column.name)] * len(track_ids), column.type) for column in RESULT]
    return pa.table([*rows.columns, *columns], schema=result_schema(rows.schema))


def caption_sink(output: Path, lease: Lease, **settings: Any) -> CaptionSink:
    return CaptionSink(
        str(output),
        lease,
        model_id=MODEL_ID,
        options=OPTIONS,
        extra_columns=EXTRA,
        **settings,
    )


def commit_rows(output: Path, *tables: pa.Table, run_id: str = "run-1", **settings: Any) -> None:
    with Lease(str(output), run_id) as lease:
        filled = caption_sink(output, lease, **settings)
        for table in tables:
            filled.add(table)
        filled.commit()


def part_names(output: Path, table: str) -> list[str]:
    return sorted(path.name for path in (output / table).glob("*.parquet"))
