"""The Parquet files of an output: which of them are valid, and reading columns of many files at once.

Conventions:

- `OUTPUT/captions/`, `failures/`, `features/` and `reviews/` hold Parquet files. Each is written whole under a name
  that no other write uses: `part-<run>-<number>.parquet`. They are the only record of finished work.
- While files are merged, `OUTPUT/compaction.json` lists the old and the new files. `part_files` leaves out those
  that are not valid, so that a reader sees every row once at any time.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq

from pipeline import storage

TableName = Literal["captions", "failures", "features", "reviews"]


def part_files(output: str, table: TableName) -> list[storage.StoredFile]:
    """List a table's valid Parquet files, sorted by URI.

    Args:
        output: Folder or bucket prefix of the output.
        table: captions, failures, features or reviews.

    Raises:
        StorageError: The output cannot be listed.
    """
    journal = read_compaction(output)  # read before the listing, so that the files that it names are listed
    files = list(storage.list_files(storage.join(output, table), suffix=".parquet"))
    return list(_without_superseded(files, journal, table))


@dataclass(frozen=True, kw_only=True)
class Compaction:
    """A merge of part files in progress. The new files replace the old ones as soon as all new files exist."""

    table: str
    """captions, failures, features or reviews."""
    new: tuple[str, ...]
    """Names of the merged files."""
    old: tuple[str, ...]
    """Names of the files that are replaced."""


def read_compaction(output: str) -> Compaction | None:
    """Read `compaction.json`; None if no merge is in progress."""
    try:
        record = json.loads(storage.read_bytes(compaction_uri(output)))
    except storage.StorageError as error:
        if error.error_type not in ("not_found", "no_bucket"):
            raise
        return None
    return Compaction(table=record["table"], new=tuple(record["new"]), old=tuple(record["old"]))


def compaction_uri(output: str) -> str:
    """Return the URI of the record of a merge in progress."""
    return storage.join(output, "compaction.json")


def _without_superseded(
    files: Iterable[storage.StoredFile], journal: Compaction | None, table: str
) -> Iterator[storage.StoredFile]:
    files = list(files)
    names = {part_name(file.uri) for file in files}
    ignored: set[str] = set()
    if journal is not None and journal.table == table:
        ignored = set(journal.old if names.issuperset(journal.new) else journal.new)
    return (file for file in files if part_name(file.uri) not in ignored)


def part_name(uri: str) -> str:
    """Return the file name at the end of a URI."""
    return uri.rpartition("/")[2]


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
