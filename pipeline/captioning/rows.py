"""Rows between the stages: catalogue rows made ready, columns added, failures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.output.schema import CATALOGUE_SCHEMA, RESULT


@dataclass(frozen=True, kw_only=True)
class Failure:
    """Why a track has no caption, in the words of `failures/`."""

    stage: str
    """fetch, decode or caption."""
    error_type: str
    """A word a program can count by."""
    message: str
    """What a catalogue editor needs to know."""
    retryable: bool
    """Whether the same may succeed later without anyone changing anything."""


def failure_rows(rows: pa.Table, failure: Failure) -> pa.Table:
    """Turn catalogue rows into result rows that all failed in the same way."""
    values = failure_values(failure.stage, failure.error_type, failure.message, failure.retryable)
    return extend_rows(rows, RESULT, [values] * rows.num_rows)


def result_schema(catalogue: pa.Schema) -> pa.Schema:
    """The schema at the end of the pipeline of rows that began with these columns."""
    return pa.schema([*catalogue, *RESULT])


def input_rows(rows: pa.Table, attempts: pa.Array) -> pa.Table:
    """Prepare catalogue rows for the first stage: how often each has been tried comes with them."""
    own = [name for name in rows.column_names if name in CATALOGUE_SCHEMA.names]
    others = [name for name in rows.column_names if name not in CATALOGUE_SCHEMA.names]
    return rows.select([*own, *others]).append_column("attempt", attempts.cast(pa.int32()))


def failure_values(stage: str, error_type: str, error: Exception | str, retryable: bool) -> dict[str, Any]:
    message = " ".join(str(error).split()) or type(error).__name__
    return {
        "stage": stage,
        "error_type": error_type,
        "message": message[:1000],
        "retryable": retryable,
    }


def extend_rows(rows: pa.Table, schema: pa.Schema, values: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Rows with the schema's columns: from `values` where given, else what the rows had, else null."""
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
    """One binary value over a NumPy array's own memory."""
    data = pa.py_buffer(np.ascontiguousarray(samples))
    offsets = pa.py_buffer(np.array([0, data.size], dtype=np.int64))
    return pa.Array.from_buffers(pa.large_binary(), 1, [None, offsets, data])


def error_type_of(error: Exception) -> str:
    """`OutOfMemoryError` -> `out_of_memory`."""
    name = type(error).__name__.removesuffix("Error")
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name).strip("_") or "error"
