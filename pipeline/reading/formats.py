"""The file formats of an export: CSV, JSON lines and Parquet, written batch by batch."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from pipeline.output.newest import OutputError
from pipeline.output.text_values import json_line

ExportFormat = Literal["csv", "jsonl", "parquet"]

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
"""Start of a file that Excel then reads as UTF-8."""


@contextmanager
def batch_writer(
    path: Path,
    schema: pa.Schema,
    file_format: ExportFormat,
    *,
    byte_order_mark: bool = False,
    delimiter: str = ",",
) -> Iterator[Any]:
    """Give a function that appends a record batch to the file, in its format.

    Args:
        path: Local file.
        schema: Of the batches.
        file_format: Format of the file.
        byte_order_mark: CSV only: begin with the mark that Excel needs.
        delimiter: CSV only.
    """
    if file_format == "csv":
        with path.open("wb") as file:
            file.write(BYTE_ORDER_MARK if byte_order_mark else b"")
            options = pyarrow.csv.WriteOptions(delimiter=delimiter)
            with pyarrow.csv.CSVWriter(file, schema, write_options=options) as csv:
                yield csv.write_batch
    elif file_format == "parquet":
        with pq.ParquetWriter(path, schema, compression="zstd") as parquet:
            yield parquet.write_batch
    else:
        with path.open("w", encoding="utf-8", newline="\n") as lines:
            yield lambda batch: lines.writelines(json_line(row) + "\n" for row in _python_rows(batch))


def is_csv_type(kind: pa.DataType) -> bool:
    """Return whether CSV has a usual spelling of a type; values of other types are written as their text."""
    spelled = (
        pa.types.is_boolean, pa.types.is_integer, pa.types.is_float32, pa.types.is_float64, pa.types.is_string,
        pa.types.is_date, pa.types.is_time, pa.types.is_timestamp,
    )  # fmt: skip
    return any(matches(kind) for matches in spelled)


def _python_rows(batch: pa.RecordBatch) -> list[dict[str, Any]]:
    """Return rows as Python objects.

    Raises:
        OutputError: Python has no object for a value, such as a time after the year 9999; names the column.
    """
    columns = []
    for field, array in zip(batch.schema, batch.columns, strict=True):
        try:
            columns.append(array.to_pylist())
        except (ValueError, OverflowError, NotImplementedError) as error:
            raise OutputError(
                f"column {field.name!r} ({field.type}) cannot be written as JSON: {error}; "
                "write .parquet, or leave it out with --columns"
            ) from error
    return [dict(zip(batch.schema.names, values, strict=True)) for values in zip(*columns, strict=True)]
