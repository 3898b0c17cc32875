"""Compaction: small Parquet files are merged into larger ones, and a reader sees every row once at any time.

1. The journal `compaction.json` is changed. It names the new files and the old files that they replace.
2. The new files are written. Readers (`part_files`) ignore them until all exist, and then ignore the old files.
3. The old files are removed, and the journal is cleared.

The lease is checked before each step, so that old files are removed only if the new ones count.

After an interruption the next run finishes or undoes the merge. A reader without the journal, such as DuckDB on the
folder, sees rows twice for the seconds between steps 2 and 3.
"""

import dataclasses
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline import storage
from pipeline.output.column_types import unified_schema, with_schema
from pipeline.output.journal import TABLES, Journal, TableName, change_journal, part_name, read_journal
from pipeline.output.lease import Lease, LeaseLostError
from pipeline.output.leftovers import remove_leftovers
from pipeline.output.parts import parquet_bytes, part_files
from pipeline.output.runs import new_run_id
from pipeline.output.type_changes import unify_types

logger = logging.getLogger(__name__)

TARGET_BYTES = 128 * 2**20
"""Maximum size of a merged file: large enough for query engines, small enough for memory."""

_IDENTITY = {
    "captions": ("track_id", "etag", "model_id", "decoding", "effort"),
    "failures": ("track_id", "attempt", "run_id"),
    "features": ("track_id", "etag", "model_id", "num_chunks"),
    "reviews": ("track_id", "created_at"),
}


@dataclass(frozen=True, kw_only=True)
class CompactionSummary:
    """Result of a compaction."""

    files_before: int
    """Parquet files, all tables together."""
    files_after: int
    """Parquet files after the merge."""
    rows_dropped: int
    """Duplicate rows that were removed."""


def compact(output: str, *, target_bytes: int = TARGET_BYTES) -> CompactionSummary:
    """Merge the small part files of an output.

    Args:
        output: Folder or bucket prefix of the output.
        target_bytes: Maximum size of a merged file.

    Raises:
        LeaseHeldError: A run is writing to the output.
        ValueError: There is no such output, or the target is not positive.
        StorageError: The output cannot be read or written.
    """
    if target_bytes < 1:
        raise ValueError(f"target_bytes must be positive, not {target_bytes}")
    if not _has_parts(output):
        raise ValueError(f"{output}: no captions; write them with `muscaps caption CATALOGUE OUTPUT`")
    before = after = dropped = number = 0
    with Lease(output, new_run_id()) as lease:
        finish(output, lease)
        remove_leftovers(output, lease)
        unify_types(output, lease)
        for table in TABLES:
            files = part_files(output, table)
            before += len(files)
            after += len(files)
            for group in _groups(files, target_bytes):
                dropped += _merge(output, lease, table, group, number)
                after -= len(group) - 1
                number += 1
    return CompactionSummary(files_before=before, files_after=after, rows_dropped=dropped)


def finish(output: str, lease: Lease) -> None:
    """Finish an interrupted merge, or undo it if not all new files were written.

    Raises:
        LeaseLostError: Another run took over.
        StorageError: The output cannot be read or written.
    """
    journal, _ = read_journal(output)
    if journal.table is None:
        return
    folder = storage.join(output, journal.table)
    counted = {part_name(file.uri) for file in part_files(output, journal.table)}
    superseded = journal.old if counted.issuperset(journal.new) else journal.new
    logger.info("a merge of %s was interrupted; removing %d of its files", folder, len(superseded))
    _end(output, lease, journal.table, journal.new, superseded)


def _end(output: str, lease: Lease, table: TableName, new: tuple[str, ...], superseded: Sequence[str]) -> None:
    """Remove the files of a table that do not count after a merge, and clear the merge from the journal."""
    lease.ensure_held()
    for name in superseded:
        storage.delete(storage.join(output, table, name))

    def cleared(journal: Journal) -> Journal | None:
        if journal.new != new:  # another run has finished it
            return None
        return dataclasses.replace(journal, table=None, new=(), old=())

    change_journal(output, cleared)


def _has_parts(output: str) -> bool:
    return any(True for _ in storage.list_files(storage.join(output, "captions"), suffix=".parquet"))


def _groups(files: Sequence[storage.StoredFile], target_bytes: int) -> Iterator[list[storage.StoredFile]]:
    """Group small files: at least two per group, together at most the target size."""
    group: list[storage.StoredFile] = []
    for file in files:
        if file.size >= target_bytes / 2:
            continue
        if group and sum(grouped.size for grouped in group) + file.size > target_bytes:
            if len(group) > 1:
                yield group
            group = []
        group.append(file)
    if len(group) > 1:
        yield group


def _merge(output: str, lease: Lease, table: TableName, group: Sequence[storage.StoredFile], number: int) -> int:
    """Replace a group of files by one file; return the number of duplicate rows that were removed."""
    filesystem, _ = storage.filesystem(group[0].uri)
    parts = [pq.read_table(storage.filesystem(file.uri)[1], filesystem=filesystem) for file in group]
    schema = unified_schema([part.schema.remove_metadata() for part in parts])
    rows = pa.concat_tables([with_schema(part, schema) for part in parts], promote_options="default").combine_chunks()
    kept = _distinct(rows, _IDENTITY[table])
    name = f"merged-{lease.run_id}-{number:06d}.parquet"
    old = tuple(part_name(file.uri) for file in group)

    def begun(journal: Journal) -> Journal:
        if journal.table or lease.run_id in journal.last_numbers:
            raise LeaseLostError(f"{output}: another run has taken over this output; stopping")
        return dataclasses.replace(journal, table=table, new=(name,), old=old)

    lease.ensure_held()
    change_journal(output, begun)
    lease.ensure_held()
    storage.write_once(storage.join(output, table, name), parquet_bytes(kept))
    _end(output, lease, table, (name,), old)
    logger.info("%s: %d files merged into one of %d rows", table, len(group), kept.num_rows)
    return int(rows.num_rows - kept.num_rows)


def _distinct(rows: pa.Table, identity: Sequence[str]) -> pa.Table:
    """Keep the first row of each identity, in the order of the rows."""
    keys: dict[str, pa.Array] = {}
    for name in identity:
        if name not in rows.column_names:  # a column that older releases did not write
            continue
        column = rows[name].combine_chunks() if isinstance(rows[name], pa.ChunkedArray) else rows[name]
        if pa.types.is_struct(column.type):
            keys |= {f"{name}.{part.name}": pc.struct_field(column, part.name) for part in column.type}
        else:
            keys[name] = column
    numbered = pa.table({**keys, "row": pa.array(range(rows.num_rows), pa.int64())})
    first = numbered.group_by(list(keys), use_threads=False).aggregate([("row", "min")])["row_min"]
    return rows if len(first) == rows.num_rows else rows.take(first.combine_chunks().sort())
