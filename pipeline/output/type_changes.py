"""One type per catalogue column in all files of `captions/`, so that every Parquet reader can read the folder.

pandas, DuckDB and Spark take the columns and types of a folder from one file. A later catalogue may hold `ca. 1970`
where an earlier one held the number 1999. Its values get the earlier type where that loses nothing. Otherwise the
earlier files are rewritten with the common type, usually text, one after the other under their own names. Each rewrite
is atomic, and a repeated call continues an interrupted one. A column that a later catalogue lacks is null in its files.
"""

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import storage
from pipeline.output.column_types import fits, large_integer_columns, unified_schema, with_schema
from pipeline.output.lease import Lease, LeaseLostError
from pipeline.output.parts import parquet_bytes, part_files
from pipeline.output.schema import CAPTION_SCHEMA

logger = logging.getLogger(__name__)

FOOTER_THREADS = 16
"""Footers read at the same time; on S3 each takes a request or two."""


def conform_to_earlier_runs(output: str, lease: Lease, catalogue: pa.Table, columns: pa.Schema) -> pa.Schema:
    """Choose the types with which a run writes the catalogue's own columns, and rewrite earlier files where needed.

    Args:
        output: Folder or bucket prefix of the output.
        lease: Held by this process.
        catalogue: Its rows.
        columns: The columns that pass through to the captions.

    Returns:
        The same columns, then those that only earlier catalogues had, with the types that all files have from now on.

    Raises:
        LeaseLostError: Another run took over.
        StorageError: The output cannot be read or written.
    """
    files = part_files(output, "captions")
    if not files:
        return columns
    schemas, large_integers = _read_footers(files)
    earlier = unified_schema(schemas, large_integers=large_integers)
    wanted = []
    for column in columns:
        if column.name in earlier.names and fits(catalogue[column.name], earlier.field(column.name).type):
            column = column.with_type(earlier.field(column.name).type)
        wanted.append(column)
        is_int64 = pa.types.is_integer(column.type) and column.type.bit_width == 64
        if is_int64 and not fits(catalogue[column.name], pa.float64()):
            large_integers.add(column.name)
    common = unified_schema([earlier, pa.schema(wanted)], large_integers=large_integers)
    _rewrite(output, lease, files, schemas, common)
    missing = [name for name in earlier.names if name not in columns.names and name not in CAPTION_SCHEMA.names]
    return pa.schema([common.field(name).with_nullable(True) for name in (*columns.names, *missing)])


def unify_types(output: str, lease: Lease) -> None:
    """Give every column one type in all files of `captions/`.

    Raises:
        LeaseLostError: Another run took over.
        StorageError: The output cannot be read or written.
    """
    files = part_files(output, "captions")
    schemas, large_integers = _read_footers(files)
    _rewrite(output, lease, files, schemas, unified_schema(schemas, large_integers=large_integers))


def _read_footers(files: Sequence[storage.StoredFile]) -> tuple[list[pa.Schema], set[str]]:
    """Return the schema of each file, and the columns that may hold large integers."""

    def read(file: storage.StoredFile) -> tuple[pa.Schema, set[str]]:
        filesystem, path = storage.filesystem(file.uri)
        with pq.ParquetFile(path, filesystem=filesystem) as parquet:
            schema = parquet.schema_arrow.remove_metadata()
            return schema, large_integer_columns(parquet.metadata, schema)

    with ThreadPoolExecutor(FOOTER_THREADS) as pool:
        found = list(pool.map(read, files))
    return [schema for schema, _ in found], {name for _, names in found for name in names}


def _rewrite(
    output: str,
    lease: Lease,
    files: Sequence[storage.StoredFile],
    schemas: Sequence[pa.Schema],
    common: pa.Schema,
) -> None:
    """Rewrite the files in which a column of the catalogue has another type than in `common`."""
    changed: dict[str, set[str]] = {}
    stale = []
    for file, schema in zip(files, schemas, strict=True):
        names = [
            field.name
            for field in schema
            if field.name not in CAPTION_SCHEMA.names and field.type != common.field(field.name).type
        ]
        if names:
            stale.append((file, schema))
        for name in names:
            changed.setdefault(name, set()).add(str(schema.field(name).type))
    for name, types in changed.items():
        logger.warning(
            "%s: column %r was %s and is %s from now on; %d files are rewritten",
            storage.join(output, "captions"), name, " and ".join(sorted(types)), common.field(name).type, len(stale),
        )  # fmt: skip
    for file, schema in stale:
        target = pa.schema(
            [
                field if field.name in CAPTION_SCHEMA.names else field.with_type(common.field(field.name).type)
                for field in schema
            ]
        )
        data, etag = storage.read_versioned(file.uri)
        rows = with_schema(pq.read_table(pa.BufferReader(data)).replace_schema_metadata(None), target)
        lease.ensure_held()
        # A plain write could bring back a file that a successor has merged and removed.
        if not storage.replace_if_unchanged(file.uri, parquet_bytes(rows), etag):
            raise LeaseLostError(f"{file.uri}: another run has changed this file; stopping")
