"""Read a catalogue of any form into one table on local disk.

Conventions: a catalogue is a CSV, TSV, JSONL or Parquet file (text also gzipped), a folder of Parquet files, the
`manifest.json` of an S3 Inventory, a local folder or a bucket prefix. It is read once, front to back, into an Arrow
file on local disk that is mapped, not loaded: five million tracks cost disk space rather than Python objects.
"""

import itertools
import os
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline import storage
from pipeline.catalogue.audio_suffixes import is_audio
from pipeline.catalogue.columns import map_columns, normalise
from pipeline.catalogue.delimited import DelimitedReader
from pipeline.catalogue.errors import CatalogueError
from pipeline.catalogue.folder import FolderReader
from pipeline.catalogue.inventory import InventoryReader
from pipeline.catalogue.jsonl import JsonLinesReader
from pipeline.catalogue.listing_notes import ListingNotes
from pipeline.catalogue.parquet import ParquetFolderReader, ParquetReader
from pipeline.catalogue.reader import BATCH_ROWS, MAX_NAMED, Reader
from pipeline.output.schema import CAPTION_SCHEMA

FILE_SUFFIXES = ("csv", "tsv", "jsonl", "ndjson", "parquet")
"""What a catalogue file's name ends in, `.gz` aside."""


@dataclass(frozen=True, kw_only=True)
class Catalogue:
    """Every row of a catalogue, in Arrow and on disk."""

    source: str
    """The file, folder or prefix it was read from."""
    base: str
    """What relative URIs count from, as `storage.resolve` takes it; absolute, because workers may run in another
    folder."""
    rows: pa.Table
    """`track_id`, `uri`, `etag`, then whatever else of `CATALOGUE_SCHEMA` it gave, then its own columns."""
    renamed: Mapping[str, str] = field(default_factory=dict)
    """Its columns that have another name here: synonyms, and those that collide with ours."""
    notes: ListingNotes = field(default_factory=ListingNotes)
    """What a listing left out; nothing for a file."""

    @property
    def num_tracks(self) -> int:
        """Number of tracks."""
        return int(self.rows.num_rows)

    @property
    def extra_columns(self) -> pa.Schema:
        """The columns that pass through to the captions: all but those a caption row has anyway."""
        return pa.schema([column for column in self.rows.schema if column.name not in CAPTION_SCHEMA.names])

    def select(self, wanted: np.ndarray, *, slice_rows: int) -> Iterator[pa.Table]:
        """Yield the rows where `wanted`, (num_tracks,) bool, is true, at most `slice_rows` at a time."""
        indices = np.flatnonzero(wanted)
        for start in range(0, len(indices), slice_rows):
            yield self.rows.take(pa.array(indices[start : start + slice_rows]))


def read_catalogue(source: str) -> Catalogue:
    """Read a catalogue of any form; nothing of the audio is touched.

    Args:
        source: A .csv, .tsv, .jsonl, .ndjson (each also .gz) or .parquet file, an S3 Inventory's
            `manifest.json`, a folder, or a bucket prefix; local or remote.

    Raises:
        CatalogueError: Missing, unreadable, empty, without `uri`, or with duplicate tracks.
        StorageError: The storage could not be reached.
    """
    reader = open_reader(source)
    tables = reader.tables()
    first = next(tables, None)
    if first is None:
        raise CatalogueError(reader.no_tracks_message())
    columns = map_columns(first.column_names, source)
    rows = _spooled(normalise(itertools.chain([first], tables), columns, reader))
    if rows.num_rows == 0:
        raise CatalogueError(reader.no_tracks_message())
    _refuse_duplicates(rows["track_id"], reader, columns)
    renamed = {old: new for old, new in columns.items() if old != new}
    notes = reader.notes if isinstance(reader, FolderReader) else ListingNotes()
    return Catalogue(source=source, base=storage.absolute_base(reader.base), rows=rows, renamed=renamed, notes=notes)


def open_reader(source: str) -> Reader:
    """Choose the reader of a catalogue by its name, and by whether it is a folder.

    Raises:
        CatalogueError: There is no such catalogue, or its format is not known.
        StorageError: The storage could not be reached.
    """
    name = source.lower().rstrip("/").rpartition("/")[2]
    suffix = name.removesuffix(".gz").rpartition(".")[2] if "." in name else ""
    if storage.is_remote(source):
        if name == "manifest.json":
            return InventoryReader(source)
        is_spark_folder = suffix == "parquet" and storage.is_folder(source)
        if suffix in FILE_SUFFIXES and not source.endswith("/") and not is_spark_folder:
            return _file_reader(source, suffix)
        if not storage.is_folder(source):
            raise CatalogueError(f"{source}: there is no such catalogue file, and nothing below such a prefix")
        return _folder_reader(source)
    if not storage.exists(source):
        raise CatalogueError(f"{source}: there is no such file or folder")
    if storage.is_folder(source):
        return _folder_reader(source)
    if name == "manifest.json":
        return InventoryReader(source)
    if suffix not in FILE_SUFFIXES:
        raise CatalogueError(
            f"{source}: not a catalogue; give a .csv, .tsv, .jsonl or .parquet file, or a folder of audio"
        )
    return _file_reader(source, suffix)


def _folder_reader(source: str) -> Reader:
    """Choose between a folder of audio and a folder of Parquet files, by the first audio file in it."""
    parquet = []
    for file in storage.list_files(source, on_unreadable=lambda _: None):  # the reader reports them
        if is_audio(file.uri):
            return FolderReader(source)
        if file.uri.lower().endswith(".parquet") and "/_" not in file.uri[len(source.rstrip("/")) :]:
            parquet.append(file.uri)  # Spark's names of unfinished and administrative files begin with "_"
    return ParquetFolderReader(source, parquet) if parquet else FolderReader(source)


def _file_reader(source: str, suffix: str) -> Reader:
    if suffix == "parquet":
        return ParquetReader(source)
    if suffix in ("jsonl", "ndjson"):
        return JsonLinesReader(source)
    return DelimitedReader(source, delimiter="\t" if suffix == "tsv" else None)


def _refuse_duplicates(ids: pa.ChunkedArray, reader: Reader, columns: Mapping[str, str]) -> None:
    """Refuse a catalogue in which two rows are the same track.

    Raises:
        CatalogueError: The first few such tracks, with their lines.
    """
    if pc.count_distinct(ids).as_py() == len(ids):
        return
    counts = pc.value_counts(ids)
    duplicates = counts.field("values").filter(pc.greater(counts.field("counts"), 1))
    rows = np.flatnonzero(pc.is_in(ids, value_set=duplicates[:MAX_NAMED]).to_numpy())
    rows_of: dict[str, list[int]] = {}
    for row in rows:
        rows_of.setdefault(ids[int(row)].as_py(), []).append(int(row))
    listed = "; ".join(f"{track_id!r} in {reader.describe_rows(numbers)}" for track_id, numbers in rows_of.items())
    more = f" and {len(duplicates) - MAX_NAMED:,} more" if len(duplicates) > MAX_NAMED else ""
    remedy = "each track needs its own"
    if "track_id" not in columns.values():
        own_name = next(own for own, ours in columns.items() if ours == "uri")
        remedy = f"there is no column 'track_id', so the ids are those of column {own_name!r}; add one"
    raise CatalogueError(f"{reader.source}: the same track_id more than once: {listed}{more}; {remedy}")


def _spooled(tables: Iterator[pa.Table]) -> pa.Table:
    """Write tables to a temporary Arrow file and map it; the file goes away with the returned table."""
    handle, path = tempfile.mkstemp(prefix="muscaps-catalogue-", suffix=".arrow")
    os.close(handle)
    try:
        writer = None
        for table in tables:
            if writer is None:
                schema = table.schema.remove_metadata()
                writer = pa.ipc.new_file(path, schema)
            writer.write_table(table.cast(schema), max_chunksize=BATCH_ROWS)
        if writer is None:
            return pa.table({"track_id": pa.array([], pa.string())})
        writer.close()
        return pa.ipc.open_file(pa.memory_map(path)).read_all()
    finally:
        os.unlink(path)  # the map keeps the bytes
