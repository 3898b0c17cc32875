"""Parquet files, and folders of them as Spark and Hive write them. Rows count from 1 in each file."""

import re
import urllib.parse
from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import storage
from pipeline.catalogue.column_types import INTERVAL_BYTES, any_text, parquet_intervals
from pipeline.catalogue.errors import CatalogueError
from pipeline.catalogue.reader import BATCH_ROWS, MAX_NAMED, numbered

HIVE_NULL = "__HIVE_DEFAULT_PARTITION__"
"""How Hive and Spark write a partition without a value."""


class ParquetReader:
    """Reads a Parquet file."""

    def __init__(self, source: str) -> None:
        """Prepare to read `source`."""
        self.source = self.base = source

    def tables(self) -> Iterator[pa.Table]:
        """Yield the rows without the index that pandas may have stored; see `Reader.tables`."""
        try:
            filesystem, path = storage.filesystem(self.source)
            with pq.ParquetFile(path, filesystem=filesystem) as file:
                intervals = _interval_columns(file)
                for batch in file.iter_batches(batch_size=BATCH_ROWS):
                    yield _converted(pa.Table.from_batches([batch]), intervals)
        except FileNotFoundError:
            raise CatalogueError(f"{self.source}: there is no such file") from None
        except storage.StorageError:
            raise
        except (pa.ArrowException, OSError) as error:
            raise CatalogueError(f"{self.source}: not a readable Parquet file: {error}") from None

    def schema(self) -> pa.Schema:
        """Return the names and types of the columns that `tables` yields."""
        return next(self.tables(), pa.table({})).schema

    def describe_rows(self, rows: Sequence[int]) -> str:
        """Name rows by their number."""
        return numbered("row", [row + 1 for row in rows[:MAX_NAMED]], and_more=len(rows) > MAX_NAMED)

    def no_tracks_message(self) -> str:
        """Explain an empty file."""
        return f"{self.source}: there are no tracks in it"


class ParquetFolderReader:
    """Reads the Parquet files below a folder or prefix as one table.

    A column that a file lacks is null in its rows. A column that has another type in another file is widened, to text
    where nothing else holds both. Hive partitions (`genre=jazz/part-0.parquet`) are columns of text. Relative URIs
    count from the folder.
    """

    def __init__(self, source: str, uris: Sequence[str]) -> None:
        """Prepare to read the files `uris` below `source`."""
        self.source = source
        self.base = source if source.endswith("/") else source + "/"
        self._uris = uris
        self._num_rows: list[int] = []

    def tables(self) -> Iterator[pa.Table]:
        """Yield the rows of one file after the other; see `Reader.tables`."""
        parts = [(ParquetReader(uri), self._partitions(uri)) for uri in self._uris]
        schema = self._common_schema([(reader.schema(), partitions) for reader, partitions in parts])
        self._num_rows = [0] * len(parts)
        for number, (reader, partitions) in enumerate(parts):
            for table in reader.tables():
                self._num_rows[number] += table.num_rows
                yield _conformed(table, partitions, schema)

    def describe_rows(self, rows: Sequence[int]) -> str:
        """Name rows by their file and their number in it."""
        named = []
        for row in rows[:MAX_NAMED]:
            for uri, num_rows in zip(self._uris, self._num_rows, strict=True):
                if row < num_rows:
                    named.append(f"row {row + 1} of {uri.removeprefix(self.base)}")
                    break
                row -= num_rows
        return ", ".join(named) + (" and more" if len(rows) > MAX_NAMED else "")

    def no_tracks_message(self) -> str:
        """Explain empty files."""
        return f"{self.source}: there are no tracks in the Parquet files of this folder"

    def _partitions(self, uri: str) -> dict[str, str | None]:
        """Read the values of Hive partitions from the folders between the source and a file."""
        values: dict[str, str | None] = {}
        for folder in uri[len(self.base) :].split("/")[:-1]:
            match = re.fullmatch(r"([^=]+)=(.*)", folder)
            if match:
                value = urllib.parse.unquote(match[2])
                values[match[1]] = None if value == HIVE_NULL else value
        return values

    def _common_schema(self, parts: Sequence[tuple[pa.Schema, dict[str, str | None]]]) -> pa.Schema:
        kinds: dict[str, pa.DataType] = {}
        for schema, partitions in parts:
            for name, kind in [*zip(schema.names, schema.types, strict=True), *((p, pa.string()) for p in partitions)]:
                kinds[name] = kind if name not in kinds else _common_type(kinds[name], kind)
        return pa.schema(list(kinds.items()))


def _interval_columns(file: pq.ParquetFile) -> set[str]:
    """Find the INTERVAL columns, which pyarrow reads as bytes."""
    columns = (file.schema.column(index) for index in range(len(file.schema)))
    return {column.path for column in columns if column.converted_type == "INTERVAL"}


def _converted(table: pa.Table, intervals: set[str]) -> pa.Table:
    names = [name for name in table.column_names if not name.startswith("__index_level_")]
    columns = []
    for index, name in enumerate(table.column_names):
        if name.startswith("__index_level_"):
            continue
        column = table.column(index)
        is_interval = name in intervals and column.type == pa.binary(INTERVAL_BYTES)
        columns.append(parquet_intervals(column) if is_interval else column)
    return pa.table(columns, names=names)


def _common_type(first: pa.DataType, second: pa.DataType) -> pa.DataType:
    """Return a type that holds the values of both."""
    if first == second:
        return first
    schemas = [pa.schema([("column", kind)]) for kind in (first, second)]
    try:
        return pa.unify_schemas(schemas, promote_options="permissive").field("column").type
    except pa.ArrowException:
        return pa.string()


def _conformed(table: pa.Table, partitions: dict[str, str | None], schema: pa.Schema) -> pa.Table:
    """Return a table with the schema's columns."""
    columns = []
    for column in schema:
        if column.name in partitions and column.name not in table.column_names:
            columns.append(pa.repeat(pa.scalar(partitions[column.name], pa.string()), table.num_rows))
        elif column.name not in table.column_names:
            columns.append(pa.nulls(table.num_rows, column.type))
        else:
            values = table[column.name]
            columns.append(values if values.type == column.type else _widened(values, column.type))
    return pa.table(columns, schema=schema)


def _widened(values: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    return any_text(values) if kind == pa.string() else values.cast(kind)
