"""Rows between the stages: preparing catalogue rows, adding columns, failures.

Conventions: a batch is a `pyarrow.Table` with one row per track. It has the catalogue's columns, `attempt` (number of
this attempt, from 1) and the columns of the stages so far (`schema.DECODED`, `schema.RESULT`). A failed track keeps its
row, with stage and reason, through the later stages. PCM is mono int16, little-endian, as binary; features are float16,
row-major, as binary.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.output.schema import CATALOGUE_SCHEMA, RESULT


@dataclass(frozen=True, kw_only=True)
class Failure:
    """The reason why a track has no caption, as in `failures/`."""

    stage: str
    """fetch, decode or caption."""
    error_type: str
    """An identifier in snake_case, by which failures are counted."""
    message: str
    """An explanation for a catalogue editor."""
    retryable: bool
    """Whether a retry may succeed although nothing is changed."""


def failure_rows(rows: pa.Table, failure: Failure) -> pa.Table:
    """Convert catalogue rows to result rows that all have the same failure."""
    values = failure_values(failure.stage, failure.error_type, failure.message, failure.retryable)
    return extend_rows(rows, RESULT, [values] * rows.num_rows)


def result_schema(catalogue: pa.Schema) -> pa.Schema:
    """Return the schema of result rows for the schema of the first stage's input."""
    return pa.schema([*catalogue, *RESULT])


def input_rows(rows: pa.Table, attempts: pa.Array) -> pa.Table:
    """Prepare catalogue rows for the first stage.

    Args:
        rows: Rows of the catalogue.
        attempts: Number of the coming attempt of each track, (rows,) int.
    """
    own = [name for name in rows.column_names if name in CATALOGUE_SCHEMA.names]
    others = [name for name in rows.column_names if name not in CATALOGUE_SCHEMA.names]
    return rows.select([*own, *others]).append_column("attempt", attempts.cast(pa.int32()))


def failure_values(stage: str, error_type: str, error: Exception | str, retryable: bool) -> dict[str, Any]:
    """Return the columns of a failure; the message is one line of at most 1,000 characters."""
    message = " ".join(str(error).split()) or type(error).__name__
    return {
        "stage": stage,
        "error_type": error_type,
        "message": message[:1000],
        "retryable": retryable,
    }


def extend_rows(rows: pa.Table, schema: pa.Schema, values: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Add a schema's columns to rows: from `values` if it has the column, otherwise from the rows, otherwise null."""
    for column in schema:
        given = [value.get(column.name) for value in values]
        present = column.name in rows.column_names
        if present and all(value is None for value in given):
            continue
        if present:
            before = rows[column.name].to_pylist()
            given = [old if new is None else new for old, new in zip(before, given, strict=True)]
        array = pa.array(given, column.type)
        if present:
            rows = rows.set_column(rows.column_names.index(column.name), column.with_nullable(True), array)
        else:
            rows = rows.append_column(column.with_nullable(True), array)
    return rows.select([name for name in rows.column_names if name not in schema.names] + schema.names)


def binary_array(samples: np.ndarray) -> pa.Array:
    """Return an array with one binary value that shares the memory of a NumPy array."""
    data = pa.py_buffer(np.ascontiguousarray(samples))
    offsets = pa.py_buffer(np.array([0, data.size], dtype=np.int64))
    return pa.Array.from_buffers(pa.large_binary(), 1, [None, offsets, data])


def error_type_of(error: Exception) -> str:
    """Return the `error_type` of an unexpected error: `OutOfMemoryError` -> `out_of_memory`."""
    name = type(error).__name__.removesuffix("Error")
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name).strip("_") or "error"
