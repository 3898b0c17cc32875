"""The Parquet files of an output: which of them are valid, and reading columns of many files at once.

Conventions:

- `OUTPUT/captions/`, `failures/`, `features/` and `reviews/` hold Parquet files. Each is written whole under a name
  that no other write uses: `part-<run>-<number>.parquet`. They are the only record of finished work.
- `OUTPUT/compaction.json` (`journal.py`) records which files do not count: those of a merge in progress, and late
  files of a run that lost its lease. `part_files` leaves them out, so that a reader sees every row once at any time.
"""

import logging
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq

from pipeline import storage
from pipeline.output.journal import TableName, part_name, read_journal

logger = logging.getLogger(__name__)


def part_files(output: str, table: TableName) -> list[storage.StoredFile]:
    """List a table's valid Parquet files, sorted by URI.

    Args:
        output: Folder or bucket prefix of the output.
        table: captions, failures, features or reviews.

    Raises:
        StorageError: The output cannot be listed.
    """
    incomplete = None
    while True:
        found = read_journal(output)
        journal, _ = found
        files = {part_name(file.uri): file for file in storage.list_files(storage.join(output, table), ".parquet")}
        missing = journal.missing(table, files)
        # A merge may begin or end during the listing, which takes several requests.
        if read_journal(output) != found:
            continue
        # Old files are removed after the new ones were written: a second listing has the new ones.
        if missing and incomplete != found:
            incomplete = found
            continue
        if missing:
            logger.warning("%s/%s: %s, which a merge was to replace, is missing", output, table, missing[0])
        return [files[name] for name in journal.counted(table, files)]


def read_parts(
    files: Sequence[storage.StoredFile], schema: pa.Schema, condition: pyarrow.dataset.Expression | None = None
) -> pa.Table:
    """Read some columns of part files, many files at a time; a column that a file lacks is read as null.

    Raises:
        StorageError: A file cannot be read.
    """
    if not files:
        return schema.empty_table()
    filesystem, _ = storage.filesystem(files[0].uri)
    paths = [storage.filesystem(file.uri)[1] for file in files]
    try:
        parts = pyarrow.dataset.dataset(paths, schema=schema, format="parquet", filesystem=filesystem)
        return parts.to_table(columns=schema.names, filter=condition)
    except storage.StorageError:
        raise
    except (OSError, pa.ArrowInvalid) as error:
        message = f"{files[0].uri.rpartition('/')[0]}: a Parquet file cannot be read: {error}"
        raise storage.StorageError(message, "unreadable") from error


def parquet_bytes(rows: pa.Table) -> bytes:
    """Return rows as one Parquet file."""
    sink = pa.BufferOutputStream()
    pq.write_table(rows, sink, compression="zstd")
    return bytes(sink.getvalue())
