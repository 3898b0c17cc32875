"""Arrow types of catalogue columns become types that outputs hold: text, numbers, dates, lists.

Conventions: text is what the same value would be in a CSV file. Whole floats are written as integers, because pandas
turns a column of integers with gaps into floats; UUIDs and decimals are text; a list of one value is that value; a
Hugging Face audio column is the path in it. Other types are refused with the file, the column and the type.
"""

import json
import struct
import uuid
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.catalogue.errors import CatalogueError
from pipeline.catalogue.reader import Reader
from pipeline.iso_8601 import duration_text, interval_text

INTERVAL_BYTES = 12
"""Size of a Parquet INTERVAL: months, days and milliseconds, 32-bit unsigned little-endian each."""


def as_text(column: pa.ChunkedArray, name: str, reader: Reader, first_row: int) -> pa.ChunkedArray:
    """Return a column as trimmed text, null where empty.

    Args:
        column: Any type.
        name: Of the column, for messages.
        reader: Names rows in messages.
        first_row: Number of the column's first row, from 0.

    Raises:
        CatalogueError: The type has no text, or a list has more than one value.
    """
    text = pc.utf8_trim_whitespace(_text(column, name, reader, first_row))
    return pc.if_else(pc.equal(text, ""), pa.scalar(None, pa.string()), text)


def _text(column: pa.ChunkedArray, name: str, reader: Reader, first_row: int) -> pa.ChunkedArray:
    column = plain(column)
    kind = column.type
    if pa.types.is_floating(kind):
        return _float_text(column)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return _text(_only_values(column, name, reader, first_row), name, reader, first_row)
    if pa.types.is_struct(kind) and kind.get_field_index("path") >= 0:
        return _text(_paths(column, name, reader, first_row), name, reader, first_row)
    if pa.types.is_binary(kind) or pa.types.is_nested(kind):
        return _decoded(column, name, reader)
    try:
        return column.cast(pa.string())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        raise _refusal(column, name, reader) from None


def as_seconds(column: pa.ChunkedArray, name: str, reader: Reader, first_row: int) -> pa.ChunkedArray:
    """Return durations as float64, null where they are no number (NaN).

    Raises:
        CatalogueError: One is text that is not a number, or the type is not one of numbers.
    """
    if pa.types.is_duration(column.type):
        column = column.cast(pa.duration("us"), safe=False).cast(pa.int64()).cast(pa.float64())
        return pc.divide(column, 1e6)
    column = plain(column)
    if pa.types.is_string(column.type):
        column = pc.utf8_trim_whitespace(column)
        column = pc.if_else(pc.equal(column, ""), pa.scalar(None, pa.string()), column)
    try:
        seconds = column.cast(pa.float64())
    except pa.ArrowNotImplementedError:
        raise _refusal(column, name, reader, "seconds") from None
    except pa.ArrowInvalid:
        for index, value in enumerate(column.to_pylist()):
            if value is not None and not _is_number(value):
                raise CatalogueError(
                    f"{reader.source}: {name} is {value!r} in {reader.describe_rows([first_row + index])}; "
                    "give seconds as a number, or leave it empty"
                ) from None
        raise _refusal(column, name, reader, "seconds") from None
    return pc.if_else(pc.is_nan(seconds), pa.scalar(None, pa.float64()), seconds)


def plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return a column of a type that Parquet files, pandas and DuckDB share.

    Without dictionaries, views, large offsets and extensions; UUIDs, decimals, intervals and durations as text.
    """
    kind = column.type
    for matches, convert in _CONVERSIONS:
        if matches(kind):
            return convert(column)
    return column


def any_text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return values of any type as text, nested ones and bytes as JSON."""
    column = plain(column)
    if pa.types.is_floating(column.type):
        return _float_text(column)
    try:
        return column.cast(pa.string())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return _from_python(column, lambda value: json.dumps(value, default=str, ensure_ascii=False))


def _dictionary_values(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return plain(column.cast(column.type.value_type))


def _extension_storage(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if column.type.extension_name == "arrow.uuid":
        return _from_python(column, lambda value: str(uuid.UUID(bytes=value) if isinstance(value, bytes) else value))
    storage = [chunk.storage for chunk in column.chunks]
    return plain(pa.chunked_array(storage, column.type.storage_type))


def _from_python(column: pa.ChunkedArray, convert: Callable[[Any], str]) -> pa.ChunkedArray:
    """Convert each value to text."""
    values = [None if value is None else convert(value) for value in column.to_pylist()]
    return pa.chunked_array([pa.array(values, pa.string())])


def _month_day_nano_text(value: Any) -> str:
    return interval_text(value.months, value.days, value.nanoseconds)


def _duration_texts(column: pa.ChunkedArray) -> pa.ChunkedArray:
    microseconds = column.cast(pa.duration("us"), safe=False).cast(pa.int64())
    return _from_python(microseconds, duration_text)


def parquet_intervals(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Read Parquet INTERVAL values, which pyarrow gives as 12 bytes each."""

    def text(value: bytes) -> str:
        months, days, milliseconds = struct.unpack("<III", value)
        return interval_text(months, days, milliseconds * 1_000_000)

    return _from_python(column, text)


def _has_no_fields(kind: pa.DataType) -> bool:
    """Whether a type holds a struct without fields, which Parquet cannot store."""
    if pa.types.is_struct(kind) and kind.num_fields == 0:
        return True
    children: Sequence[Any] = [kind.field(index) for index in range(kind.num_fields)]
    return any(_has_no_fields(child.type) for child in children)


def _cast_to(kind: pa.DataType) -> Callable[[pa.ChunkedArray], pa.ChunkedArray]:
    return lambda column: column.cast(kind)


_types = pa.types
_CONVERSIONS: list[tuple[Callable[[pa.DataType], bool], Callable[[pa.ChunkedArray], pa.ChunkedArray]]] = [
    (_types.is_dictionary, _dictionary_values),
    (lambda kind: isinstance(kind, pa.BaseExtensionType), _extension_storage),
    (
        lambda kind: _types.is_large_string(kind) or _types.is_string_view(kind) or _types.is_null(kind),
        _cast_to(pa.string()),
    ),
    (lambda kind: _types.is_large_binary(kind) or _types.is_binary_view(kind), _cast_to(pa.binary())),
    (_types.is_decimal, lambda column: _from_python(column, lambda value: format(value, "f"))),
    (_types.is_float16, _cast_to(pa.float32())),
    (_types.is_duration, _duration_texts),
    (_types.is_interval, lambda column: _from_python(column, _month_day_nano_text)),
    (
        lambda kind: _types.is_nested(kind) and _has_no_fields(kind),
        lambda column: _from_python(column, lambda value: json.dumps(value, default=str)),
    ),
]
"""How each kind of column that not every reader of outputs understands is converted."""


def _float_text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Write whole floats as integers, others in the shortest form, NaN as null."""
    values = column.cast(pa.float64())
    values = pc.if_else(pc.is_nan(values), pa.scalar(None, pa.float64()), values)
    exact = pc.less(pc.abs(values), 2.0**63)
    if not pc.all(pc.fill_null(exact, True)).as_py():
        return _from_python(values, lambda value: str(int(value)) if np.isfinite(value) else str(value))
    is_whole = pc.equal(pc.floor(values), values)
    whole = pc.if_else(is_whole, values, pa.scalar(None, pa.float64())).cast(pa.int64()).cast(pa.string())
    return pc.coalesce(whole, values.cast(pa.string()))


def _only_values(column: pa.ChunkedArray, name: str, reader: Reader, first_row: int) -> pa.ChunkedArray:
    """Return the value of each list of one; an empty list is null.

    Raises:
        CatalogueError: A list has more values.
    """
    many = np.flatnonzero(pc.greater(pc.fill_null(pc.list_value_length(column), 0), 1).to_numpy())
    if len(many):
        rows = [first_row + int(index) for index in many]
        raise CatalogueError(
            f"{reader.source}: column {name!r} is a list of several values in {reader.describe_rows(rows)}; "
            "give one value per row"
        )
    kind = column.type.value_type
    chunks = [
        pa.array([None if not value else value[0] for value in chunk.to_pylist()], kind) for chunk in column.chunks
    ]
    return pa.chunked_array(chunks, kind)


def _paths(column: pa.ChunkedArray, name: str, reader: Reader, first_row: int) -> pa.ChunkedArray:
    """Return the paths of a Hugging Face audio column.

    Raises:
        CatalogueError: A row holds audio without a path.
    """
    paths = pc.struct_field(column, "path")
    without = np.flatnonzero(pc.and_(pc.is_valid(column), pc.is_null(paths)).to_numpy())
    if len(without):
        rows = [first_row + int(index) for index in without]
        raise CatalogueError(
            f"{reader.source}: column {name!r} is of type {column.type} and holds audio without a path in "
            f"{reader.describe_rows(rows)}; save the audio as files and give their paths"
        )
    return paths


def _decoded(column: pa.ChunkedArray, name: str, reader: Reader) -> pa.ChunkedArray:
    """Return bytes that are UTF-8 as text; some programs write text without saying that it is text."""
    if pa.types.is_binary(column.type):
        try:
            text = column.cast(pa.string())
            text.validate(full=True)
        except pa.ArrowInvalid:
            pass
        else:
            return text
    raise _refusal(column, name, reader)


def _refusal(column: pa.ChunkedArray, name: str, reader: Reader, wanted: str = "text") -> CatalogueError:
    return CatalogueError(
        f"{reader.source}: column {name!r} is of type {column.type}, which is not read as {wanted}; "
        f"write it as {'text' if wanted == 'text' else 'a number'}, or leave it out"
    )


def _is_number(value: Any) -> bool:
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return True
