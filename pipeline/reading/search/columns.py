"""Tracks chosen by their columns in `captions/`: a DuckDB condition, text in a column.

Conventions: a condition sees each track's newest row. A text column of numbers, as a CSV catalogue has it, is a column
of numbers; an empty cell is null. DuckDB reads these rows only.
"""

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.output.newest import Table

_TEXT = frozenset({"track_id", "uri", "etag", "caption", "title", "artist", "album", "isrc", "model_id", "run_id"})
"""Columns that are text even if all their values are numbers."""


def chosen_tracks(captions: Table, where: str | None, filters: Sequence[tuple[str, str]]) -> pa.Array | None:
    """Return the ids of the tracks that meet a condition and have texts in columns; None without either.

    Args:
        captions: The table `captions/`.
        where: DuckDB condition over its columns.
        filters: Column, and text that it contains in any case.

    Raises:
        ValueError: DuckDB refuses the condition.
    """
    if where is None and not filters:
        return None
    named = [name for name in captions.schema.names if where is not None and name.lower() in where.lower()]
    columns = list(dict.fromkeys(["track_id", *named, *(name for name, _ in filters)]))
    batches = list(captions.newest(columns))
    rows = pa.Table.from_batches(batches) if batches else pa.table({name: [] for name in columns})
    for name, text in filters:
        found = pc.match_substring(rows[name].cast(pa.string()), text, ignore_case=True).fill_null(False)
        rows = rows.filter(found)
    if where is not None:
        rows = _where(rows, where, captions)
    return rows["track_id"].combine_chunks()


def _where(rows: pa.Table, where: str, captions: Table) -> pa.Table:
    import duckdb  # 0.3 s

    typed = pa.table({name: _as_numbers(name, rows[name]) for name in rows.column_names})
    typed = typed.append_column("row_number_", pa.array(range(typed.num_rows), pa.int64()))
    connection: Any = duckdb.connect(config={"enable_external_access": "false"})
    try:
        connection.register("captions", typed)
        found = connection.execute(f"SELECT row_number_ FROM captions WHERE ({where}\n)").fetchall()
    except duckdb.Error as error:
        reason = str(error).split("\n", 1)[0]
        raise ValueError(f"--where {where!r}: {reason}; columns: {', '.join(captions.schema.names)}") from None
    finally:
        connection.close()
    return rows.take(pa.array(sorted(row for (row,) in found), pa.int64()))


def _as_numbers(name: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return a text column as numbers, if all its values are numbers."""
    if name in _TEXT or not pa.types.is_string(column.type):
        return column
    filled = pc.if_else(pc.equal(pc.utf8_trim_whitespace(column), ""), None, column)
    try:
        numbers = pc.utf8_trim_whitespace(filled).cast(pa.float64())
    except pa.ArrowInvalid:
        return column
    return column if numbers.null_count == len(numbers) else numbers
