"""JSON lines: one object per line. A column is a number where all its values are; nested values stay JSON text."""

import itertools
import json
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa

from pipeline.catalogue.columns import KNOWN, map_columns
from pipeline.catalogue.errors import CatalogueError
from pipeline.catalogue.reader import BATCH_ROWS, MAX_NAMED, numbered
from pipeline.catalogue.text_files import is_unicode, numbered_lines

LARGEST_EXACT_INTEGER = 2**53
"""Integers up to this size are the same as floats."""


class JsonLinesReader:
    """Reads a JSONL file."""

    def __init__(self, source: str) -> None:
        """Prepare to read `source`; its name ends in `.gz` if it is compressed."""
        self.source = self.base = source

    def tables(self) -> Iterator[pa.Table]:
        """Yield the rows, with the same column types throughout; see `Reader.tables`."""
        kinds: dict[str, pa.DataType] = {}
        large: set[str] = set()
        for _, record in self._records():
            for name, value in record.items():
                kinds[name] = _wider(kinds.get(name), value)
                if isinstance(value, int) and abs(value) > LARGEST_EXACT_INTEGER:
                    large.add(name)
        schema = pa.schema([(name, _column_type(kind, name in large)) for name, kind in kinds.items()])
        columns_of_ours = map_columns(list(kinds), self.source) if kinds else {}
        texts = {name for name, ours in columns_of_ours.items() if ours in KNOWN and ours != "duration_s"}
        records = self._records()
        while part := list(itertools.islice(records, BATCH_ROWS)):
            for number, record in part:
                for name in texts & record.keys():
                    if isinstance(record[name], list | dict):
                        record[name] = self._only_value(number, name, record[name])
            columns = [
                pa.array([_fitting(record.get(column.name), column.type) for _, record in part], column.type)
                for column in schema
            ]
            yield pa.table(columns, schema=schema)

    def describe_rows(self, rows: Sequence[int]) -> str:
        """Name the lines at which rows stand; blank lines are no rows."""
        wanted = set(rows[:MAX_NAMED])
        numbers = [number for index, (number, _) in enumerate(self._records()) if index in wanted]
        return numbered("line", numbers, and_more=len(rows) > MAX_NAMED)

    def no_tracks_message(self) -> str:
        """Explain an empty file."""
        return f"{self.source}: there are no tracks in it"

    def _records(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield (line number, object).

        Raises:
            CatalogueError: A line is not a JSON object in UTF-8.
        """
        for number, line in numbered_lines(self.source):
            if not line.strip():
                continue
            try:
                record = json.loads(line)
            except json.JSONDecodeError as error:
                raise CatalogueError(f"{self.source}: line {number} is not JSON: {error.msg}") from None
            except (ValueError, RecursionError):
                raise CatalogueError(
                    f"{self.source}: line {number} holds a number of too many digits, or values nested too deeply"
                ) from None
            if not isinstance(record, dict):
                raise CatalogueError(f'{self.source}: line {number} is not a JSON object like {{"uri": ...}}')
            if "\\u" in line:
                self._check_characters(number, record)
            yield number, record

    def _only_value(self, number: int, name: str, value: Any) -> Any:
        """Return the value of a list of one, or the path of a Hugging Face audio object, for a column of text.

        Raises:
            CatalogueError: It is another list or object.
        """
        if isinstance(value, dict) and isinstance(value.get("path"), str):
            return value["path"]
        if isinstance(value, list) and len(value) <= 1:
            only = value[0] if value else None
            return self._only_value(number, name, only) if isinstance(only, list | dict) else only
        found = "a list of several values" if isinstance(value, list) else "an object"
        raise CatalogueError(f"{self.source}: line {number}: {name!r} is {found}; give one value")

    def _check_characters(self, number: int, record: dict[str, Any]) -> None:
        """Refuse halves of surrogate pairs, such as a title that was cut within an emoji."""
        for name, value in record.items():
            if not is_unicode(name) or not is_unicode(json.dumps(value, ensure_ascii=False)):
                column = name.encode("ascii", "backslashreplace").decode()
                raise CatalogueError(
                    f"{self.source}: line {number}: {column!r} holds half of a character (a lone \\ud800 to \\udfff); "
                    "complete or remove it"
                )


def _wider(kind: pa.DataType | None, value: Any) -> pa.DataType:
    """Return the narrowest type that holds a column's values so far and this one."""
    if value is None:
        return kind or pa.null()
    own = {bool: pa.bool_(), int: pa.int64(), float: pa.float64()}.get(type(value), pa.string())
    if own == pa.int64() and not -(2**63) <= value < 2**63:
        own = pa.string()
    if kind is None or pa.types.is_null(kind) or kind == own:
        return own
    return pa.float64() if {kind, own} == {pa.int64(), pa.float64()} else pa.string()


def _column_type(kind: pa.DataType, has_large_integers: bool) -> pa.DataType:
    """Return a column's type: text where it is empty, or where floats would round its integers."""
    if pa.types.is_null(kind) or (pa.types.is_floating(kind) and has_large_integers):
        return pa.string()
    return kind


def _fitting(value: Any, kind: pa.DataType) -> Any:
    if value is None or kind != pa.string() or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)
