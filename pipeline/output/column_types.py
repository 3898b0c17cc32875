"""The common type of a column whose type differs between files, and conversions that lose nothing.

Conventions: a common type holds every value of both types unchanged. Where no such type exists, it is text, and a value
is converted by `text_values`.
"""

from collections.abc import Callable, Collection, Iterable

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.output.text_values import text_array

MAX_EXACT_FLOAT = 2**53
"""Largest magnitude up to which float64 holds every integer."""
_UNITS = ("s", "ms", "us")
"""Units of time, coarse first. Nanoseconds are left out: with them, years before 1678 do not fit."""


def common_type(first: pa.DataType, second: pa.DataType) -> pa.DataType:
    """Return the narrowest type that holds the values of both types.

    int64 and float64 have float64 in common, for integers up to `MAX_EXACT_FLOAT`; see `unified_schema`.
    """
    if first == second:
        return first
    for one, other in ((first, second), (second, first)):
        if pa.types.is_null(one):
            return other
    for matches, common in (
        (_is_text, lambda one, other: pa.string()),
        (_is_number, _common_number),
        (pa.types.is_decimal, _common_decimal),
        (_is_bytes, _common_bytes),
        (_is_list, lambda one, other: pa.list_(_exact_common_type(one.value_type, other.value_type))),
        (pa.types.is_struct, _common_struct),
        (pa.types.is_date, lambda one, other: pa.date32()),
        (pa.types.is_timestamp, _common_timestamp),
        (pa.types.is_duration, lambda one, other: _with_unit(one, other, pa.duration)),
    ):
        if matches(first) and matches(second):
            return common(first, second)  # type: ignore[no-untyped-call]
    return pa.string()


def unified_schema(schemas: Iterable[pa.Schema], *, large_integers: Collection[str] = ()) -> pa.Schema:
    """Return a schema with all columns of all schemas, in order of appearance, each of a type that holds its values.

    Args:
        schemas: Of the files.
        large_integers: Columns with integers beyond `MAX_EXACT_FLOAT`; mixed with floats they become text.
    """
    types: dict[str, pa.DataType] = {}
    fields: dict[str, pa.Field] = {}
    for schema in schemas:
        for field in schema:
            before = types.get(field.name, field.type)
            fields.setdefault(field.name, field)
            kind = common_type(before, field.type)
            if field.name in large_integers and pa.types.is_floating(kind):
                kind = pa.string()
            types[field.name] = kind
    return pa.schema([fields[name].with_type(kind) for name, kind in types.items()])


def large_integer_columns(metadata: pq.FileMetaData, schema: pa.Schema) -> set[str]:
    """Return the columns of a file that may hold integers beyond `MAX_EXACT_FLOAT`, by the file's statistics."""
    candidates = {field.name for field in schema if pa.types.is_int64(field.type) or pa.types.is_uint64(field.type)}
    found = set()
    for group in range(metadata.num_row_groups if candidates else 0):
        for index in range(metadata.num_columns):
            column = metadata.row_group(group).column(index)
            if column.path_in_schema in candidates:
                limits = column.statistics
                if limits is None or not limits.has_min_max:
                    if limits is None or limits.null_count != column.num_values:
                        found.add(column.path_in_schema)
                elif max(abs(limits.min), abs(limits.max)) > MAX_EXACT_FLOAT:
                    found.add(column.path_in_schema)
    return found


def converted(array: pa.Array | pa.ChunkedArray, kind: pa.DataType) -> pa.Array | pa.ChunkedArray:
    """Convert an array to a type that holds its values.

    Raises:
        pa.ArrowInvalid: A value does not fit.
    """
    if array.type == kind:
        return array
    if isinstance(array, pa.ChunkedArray):
        return pa.chunked_array([converted(chunk, kind) for chunk in array.chunks], kind)
    if pa.types.is_string(kind):
        return text_array(array)
    if pa.types.is_struct(kind) and pa.types.is_struct(array.type):
        return _converted_struct(array, kind)
    if pa.types.is_list(kind) and _is_list(array.type):
        return _converted_list(array, kind)
    return array.cast(kind)


def fits(array: pa.Array | pa.ChunkedArray, kind: pa.DataType) -> bool:
    """Return whether a column can be stored with another type and read back unchanged.

    Anything fits text. A text fits a number where it is that number's text: `1999` does, `007` does not. Numbers do not
    fit times, and yes or no does not fit numbers.
    """
    if array.type == kind or pa.types.is_string(kind):
        return True
    if not _is_convertible(array.type, kind):
        return False
    try:
        return bool(converted(converted(array, kind), array.type).equals(array))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return False


def with_schema(rows: pa.Table, schema: pa.Schema) -> pa.Table:
    """Return rows with just the columns of a schema, in its types; missing columns are null."""
    columns, fields = [], []
    for field in schema:
        is_present = field.name in rows.schema.names
        column = rows[field.name] if is_present else pa.nulls(rows.num_rows, field.type)
        columns.append(converted(column, field.type))
        fields.append(field if is_present else field.with_nullable(True))
    return pa.table(columns, schema=pa.schema(fields))


def _converted_struct(array: pa.StructArray, kind: pa.StructType) -> pa.StructArray:
    parts = dict(zip([field.name for field in array.type], array.flatten(), strict=True))
    columns = [
        converted(parts[field.name], field.type) if field.name in parts else pa.nulls(len(array), field.type)
        for field in kind
    ]
    return pa.StructArray.from_arrays(columns, fields=list(kind), mask=array.is_null())


def _converted_list(array: pa.Array, kind: pa.ListType) -> pa.ListArray:
    if not pa.types.is_list(array.type):
        array = array.cast(pa.list_(array.type.value_type))
    values = converted(array.flatten(), kind.value_type)
    lengths = array.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)
    offsets = pa.array([0, *lengths.cumsum().tolist()], pa.int32())
    return pa.ListArray.from_arrays(offsets, values, type=kind, mask=array.is_null())


def _is_convertible(source: pa.DataType, target: pa.DataType) -> bool:
    """Return whether values of two types mean the same."""
    if pa.types.is_struct(source) and pa.types.is_struct(target):
        parts = {field.name: field.type for field in target}
        return all(
            field.name in parts and (field.type == parts[field.name] or _is_convertible(field.type, parts[field.name]))
            for field in source
        )
    if _is_list(source) and pa.types.is_list(target):
        return bool(source.value_type == target.value_type) or _is_convertible(source.value_type, target.value_type)
    if pa.types.is_string(target):
        return _is_text(source)
    if pa.types.is_timestamp(source) and pa.types.is_timestamp(target):
        return bool(source.tz == target.tz)
    same_meaning = (_is_text, _is_number, pa.types.is_decimal, _is_bytes, pa.types.is_duration, pa.types.is_date)
    if any(matches(source) and matches(target) for matches in same_meaning):
        return True
    if _is_text(source):
        return _is_number(target) or pa.types.is_boolean(target) or pa.types.is_date(target)
    naive_times = {
        pa.types.is_date(kind) or (pa.types.is_timestamp(kind) and kind.tz is None) for kind in (source, target)
    }
    return naive_times == {True}


def _is_text(kind: pa.DataType) -> bool:
    return any(matches(kind) for matches in (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view))


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def _is_bytes(kind: pa.DataType) -> bool:
    return any(
        matches(kind) for matches in (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_fixed_size_binary)
    )


def _is_list(kind: pa.DataType) -> bool:
    return any(matches(kind) for matches in (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list))


def _exact_common_type(first: pa.DataType, second: pa.DataType) -> pa.DataType:
    """Return the common type of nested values, for which large integers cannot be excluded."""
    kind = common_type(first, second)
    has_int64 = any(pa.types.is_integer(own) and own.bit_width == 64 for own in (first, second))
    return pa.string() if has_int64 and pa.types.is_floating(kind) else kind


def _common_number(first: pa.DataType, second: pa.DataType) -> pa.DataType:
    if pa.types.is_floating(first) or pa.types.is_floating(second):
        return pa.float64()
    if pa.types.is_signed_integer(first) == pa.types.is_signed_integer(second):
        return first if first.bit_width > second.bit_width else second
    unsigned = first if pa.types.is_unsigned_integer(first) else second
    return pa.string() if unsigned.bit_width == 64 else pa.int64()


def _common_decimal(first: pa.DataType, second: pa.DataType) -> pa.DataType:
    scale = max(first.scale, second.scale)
    precision = scale + max(first.precision - first.scale, second.precision - second.scale)
    if precision > 76:
        return pa.string()
    return pa.decimal128(precision, scale) if precision <= 38 else pa.decimal256(precision, scale)


def _common_bytes(first: pa.DataType, second: pa.DataType) -> pa.DataType:
    is_large = pa.types.is_large_binary(first) or pa.types.is_large_binary(second)
    return pa.large_binary() if is_large else pa.binary()


def _common_struct(first: pa.StructType, second: pa.StructType) -> pa.DataType:
    types = {field.name: field.type for field in first}
    for field in second:
        types[field.name] = _exact_common_type(types.get(field.name, field.type), field.type)
    return pa.struct([pa.field(name, kind) for name, kind in types.items()])


def _common_timestamp(first: pa.DataType, second: pa.DataType) -> pa.DataType:
    if first.tz != second.tz:
        return pa.string()
    return _with_unit(first, second, lambda unit: pa.timestamp(unit, first.tz))


def _with_unit(first: pa.DataType, second: pa.DataType, make: Callable[[str], pa.DataType]) -> pa.DataType:
    """Return the type of the finer unit; text where one is in nanoseconds."""
    if "ns" in (first.unit, second.unit):
        return pa.string()
    return make(max(first.unit, second.unit, key=_UNITS.index))
