"""The common type of two column types holds all values of both; other conversions happen only where nothing is lost."""

from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.output.column_types import (
    common_type,
    converted,
    fits,
    large_integer_columns,
    unified_schema,
    with_schema,
)

TEXT = pa.string()
US, NS = pa.timestamp("us"), pa.timestamp("ns")


@pytest.mark.parametrize(
    ("first", "second", "common"),
    [
        (pa.int64(), TEXT, TEXT),
        (pa.int64(), pa.bool_(), TEXT),
        (pa.date32(), US, TEXT),
        (US, pa.timestamp("us", "UTC"), TEXT),
        (US, NS, TEXT),
        (pa.timestamp("s"), US, US),
        (pa.int8(), pa.int32(), pa.int32()),
        (pa.uint32(), pa.int8(), pa.int64()),
        (pa.uint64(), pa.int64(), TEXT),
        (pa.int32(), pa.float32(), pa.float64()),
        (pa.null(), pa.date32(), pa.date32()),
        (pa.decimal128(5, 2), pa.decimal128(6, 4), pa.decimal128(7, 4)),
        (pa.decimal128(5, 2), pa.int64(), TEXT),
        (pa.large_string(), TEXT, TEXT),
        (pa.list_(pa.int64()), pa.list_(TEXT), pa.list_(TEXT)),
        (pa.list_(pa.int64()), pa.int64(), TEXT),
        (pa.list_(pa.int64()), pa.list_(pa.float64()), pa.list_(TEXT)),
        (pa.struct([("a", pa.int8())]), pa.struct([("b", TEXT)]), pa.struct([("a", pa.int8()), ("b", TEXT)])),
        (pa.struct([("a", pa.int8())]), pa.struct([("a", TEXT)]), pa.struct([("a", TEXT)])),
        (pa.binary(16), TEXT, TEXT),
    ],
)
def test_common_type_in_either_order(first: pa.DataType, second: pa.DataType, common: pa.DataType) -> None:
    assert common_type(first, second) == common
    assert common_type(second, first) == common or pa.types.is_struct(common)
    assert common_type(common, first) == common


@pytest.mark.parametrize(
    ("values", "kind", "texts"),
    [
        ([1999, None], pa.int64(), ["1999", None]),
        ([True], pa.bool_(), ["true"]),
        ([0.5], pa.float64(), ["0.5"]),
        ([Decimal("12.50")], pa.decimal128(4, 2), ["12.50"]),
        ([date(1999, 1, 2)], pa.date32(), ["1999-01-02"]),
        ([datetime(1999, 1, 2)], pa.timestamp("s"), ["1999-01-02 00:00:00"]),
        ([b"\xff\0", b"ab"], pa.binary(), ["ff00", "6162"]),
        ([b"0" * 16], pa.uuid(), ["30303030-3030-3030-3030-303030303030"]),
        ([1_500_000], pa.duration("us"), ["PT1.5S"]),
        ([(1, 2, 500_000_000)], pa.month_day_nano_interval(), ["P1M2DT0.5S"]),
        ([[1, None], []], pa.list_(pa.int64()), ["[1, null]", "[]"]),
        ([{"a": "Zoë"}], pa.struct([("a", TEXT)]), ['{"a": "Zoë"}']),
    ],
)
def test_every_type_has_a_text(values: list[Any], kind: pa.DataType, texts: list[str | None]) -> None:
    array = pa.array(values, kind)
    assert converted(array, TEXT).to_pylist() == texts
    assert converted(pa.chunked_array([array, array]), TEXT).to_pylist() == texts * 2


@pytest.mark.parametrize(
    ("values", "kind", "is_kept"),
    [
        (pa.array(["1999", None]), pa.int64(), True),
        (pa.array(["1999", "ca. 1970"]), pa.int64(), False),
        (pa.array(["007"]), pa.int64(), False),
        (pa.array([1999.0]), pa.int64(), True),
        (pa.array([1999.5]), pa.int64(), False),
        (pa.array([2**53 + 1]), pa.float64(), False),
        (pa.array([True]), pa.int64(), False),
        (pa.array([1]), pa.bool_(), False),
        (pa.array([datetime(1999, 1, 2)]), pa.date32(), True),
        (pa.array([datetime(1999, 1, 2, 3)]), pa.date32(), False),
        (pa.array([1], pa.timestamp("us")), pa.int64(), False),
        (pa.array([{"a": 1}]), pa.struct([("a", pa.int64()), ("b", TEXT)]), True),
        (pa.array([{"a": 1, "b": "x"}]), pa.struct([("a", pa.int64())]), False),
        (pa.array([[1]]), TEXT, True),
    ],
)
def test_values_fit_a_type_where_they_can_be_read_back_unchanged(
    values: pa.Array, kind: pa.DataType, is_kept: bool
) -> None:
    assert fits(values, kind) is is_kept


def test_nested_values_keep_their_nulls_when_they_are_converted() -> None:
    lists = pa.array([[1], None, [], [2, 3]])[1:]
    assert converted(lists, pa.list_(TEXT)).to_pylist() == [None, [], ["2", "3"]]
    structs = pa.array([{"a": 1}, None, {"a": None}])[1:]
    kind = pa.struct([("a", TEXT), ("b", pa.int8())])
    assert converted(structs, kind).to_pylist() == [None, {"a": None, "b": None}]


def test_integers_that_no_float_holds_make_text_of_a_column_that_also_has_floats(tmp_path) -> None:
    small, large = tmp_path / "small.parquet", tmp_path / "large.parquet"
    pq.write_table(pa.table({"a": [1999], "b": [1]}), small)
    pq.write_table(
        pa.table({"a": [2**53 + 1], "b": [None]}, schema=pa.schema([("a", pa.int64()), ("b", pa.int64())])), large
    )
    assert large_integer_columns(pq.read_metadata(small), pq.read_schema(small)) == set()
    assert large_integer_columns(pq.read_metadata(large), pq.read_schema(large)) == {"a"}
    schemas = [pq.read_schema(large), pa.schema([("a", pa.float64())])]
    assert unified_schema(schemas).field("a").type == pa.float64()
    assert unified_schema(schemas, large_integers={"a"}).field("a").type == TEXT


def test_rows_get_the_columns_of_a_schema() -> None:
    schema = pa.schema([("year", TEXT), pa.field("genre", TEXT, nullable=False)])
    rows = with_schema(pa.table({"other": [0], "year": [1999]}), schema)
    assert rows.to_pylist() == [{"year": "1999", "genre": None}]
