"""Values of any Arrow type as text and as strict JSON.

Conventions: bytes are hex digits, UUIDs and decimals their usual text, times and intervals ISO 8601, lists and structs
JSON. A text never depends on the machine's locale or time zone.
"""

import json
import math
import uuid
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa

from pipeline.iso_8601 import duration_text, interval_text


def json_line(value: Any) -> str:
    """Return strict JSON on one line: times as ISO 8601, NaN and infinity as null."""
    return json.dumps(strict_json(value), ensure_ascii=False, allow_nan=False, separators=(", ", ": "))


def strict_json(value: Any) -> Any:
    """Replace what strict JSON cannot hold: NaN and infinity by null, other types by their text."""
    if isinstance(value, dict):
        return {key: strict_json(part) for key, part in value.items()}
    if isinstance(value, pa.MonthDayNano):  # a tuple
        return interval_text(value.months, value.days, value.nanoseconds)
    if isinstance(value, list | tuple):  # a map is a list of tuples
        return [strict_json(part) for part in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, Decimal | uuid.UUID):
        return str(value)
    if hasattr(value, "isoformat"):  # date, time, datetime, and pandas' Timestamp and Timedelta
        return value.isoformat()
    return duration_text(value // timedelta(microseconds=1)) if isinstance(value, timedelta) else value


def text_array(array: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    """Return an array of any type as text; nulls stay null."""
    kind = array.type
    if pa.types.is_string(kind):
        return array
    castable = (
        pa.types.is_integer, pa.types.is_boolean, pa.types.is_decimal, pa.types.is_date, pa.types.is_time,
        pa.types.is_timestamp, pa.types.is_large_string, pa.types.is_string_view, pa.types.is_null,
        pa.types.is_float32, pa.types.is_float64,
    )  # fmt: skip
    if any(matches(kind) for matches in castable):
        return array.cast(pa.string())
    texts = [None if value is None else _text(value) for value in array.to_pylist()]
    return (
        pa.chunked_array([texts], pa.string()) if isinstance(array, pa.ChunkedArray) else pa.array(texts, pa.string())
    )


def _text(value: Any) -> str:
    """Return a value as text; text itself without the quotes of JSON."""
    plain = strict_json(value)
    return plain if isinstance(plain, str) else json_line(plain)
