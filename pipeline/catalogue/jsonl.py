"""JSON lines: one object per line. A column is a number where all its values are; nested values stay JSON text."""

import io
import itertools
import json
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa

from pipeline.catalogue.errors import CatalogueError
from pipeline.catalogue.reader import BATCH_ROWS, MAX_NAMED, numbered
from pipeline.catalogue.text_files import GZIP_ERRORS, open_text


class JsonLinesReader:
    """Reads a JSONL file."""

    def __init__(self, source: str) -> None:
        """Prepare to read `source`; its name ends in `.gz` if it is compressed."""
        self.source = self.base = source

    def tables(self) -> Iterator[pa.Table]:
        """Yield the rows, with the same column types throughout; see `Reader.tables`."""
        kinds: dict[str, pa.DataType] = {}
        for _, record in self._records():
            for name, value in record.items():
                kinds[name] = _wider(kinds.get(name), value)
        schema = pa.schema([(name, pa.string() if pa.types.is_null(kind) else kind) for name, kind in kinds.items()])
        records = self._records()
        while part := list(itertools.islice(records, BATCH_ROWS)):
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
        source = self.source
        number = 0
        try:
            with open_text(source) as stream:
                for number, line in enumerate(io.TextIOWrapper(stream, "utf-8-sig"), start=1):
                    if not line.strip():
                        continue
                    record = json.loads(line)
                    if not isinstance(record, dict):
                        raise CatalogueError(f'{source}: line {number} is not a JSON object like {{"uri": ...}}')
                    yield number, record
        except json.JSONDecodeError as error:
            raise CatalogueError(f"{source}: line {number} is not JSON: {error.msg}") from None
        except UnicodeDecodeError:
            raise CatalogueError(f"{source}: not UTF-8; save the file as UTF-8 and try again") from None
        except GZIP_ERRORS as error:
            raise CatalogueError(f"{source}: not a whole gzip file: {error}") from None


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


def _fitting(value: Any, kind: pa.DataType) -> Any:
    if value is None or kind != pa.string() or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)
