"""The file formats of an export: CSV, JSON lines and Parquet, written batch by batch."""

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

ExportFormat = Literal["csv", "jsonl", "parquet"]


@contextmanager
def batch_writer(path: Path, schema: pa.Schema, file_format: ExportFormat) -> Iterator[Any]:
    """Give a function that appends a record batch to the file, in its format."""
    if file_format == "csv":
        with pyarrow.csv.CSVWriter(path, schema) as csv:
            yield csv.write_batch
    elif file_format == "parquet":
        with pq.ParquetWriter(path, schema, compression="zstd") as parquet:
            yield parquet.write_batch
    else:
        with path.open("w", encoding="utf-8", newline="\n") as lines:
            yield lambda batch: lines.writelines(json_line(row) + "\n" for row in batch.to_pylist())


def json_line(value: Any) -> str:
    """Return strict JSON on one line: times as ISO 8601, NaN and infinity as null."""
    return json.dumps(strict_json(value), ensure_ascii=False, allow_nan=False, separators=(", ", ": "))


def strict_json(value: Any) -> Any:
    """Replace what strict JSON cannot hold: NaN and infinity by null, bytes by hex digits, times by ISO 8601."""
    if isinstance(value, dict):
        return {key: strict_json(part) for key, part in value.items()}
    if isinstance(value, list):
        return [strict_json(part) for part in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, bytes):
        return value.hex()
    return value.isoformat() if hasattr(value, "isoformat") else value
