"""The tables of an output, and the newest row of every track.

Conventions: an output is the folder or bucket prefix to which `muscaps caption` wrote. A table is one of its folders of
Parquet files. No function here loads a whole table: rows are read in record batches, and the search for the newest row
of each track needs 24 bytes of memory per row. A column whose type differs between files is read as
the common type, see `column_types`.
"""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline import storage
from pipeline.output.column_types import converted, large_integer_columns, unified_schema
from pipeline.output.journal import TableName
from pipeline.output.parts import part_files

logger = logging.getLogger(__name__)

_HASH_KEYS = ("muscaps-track-k1", "muscaps-track-k2")
"""Two keys of 16 bytes. Ids are compared by 128 bits, so that 100 million tracks have no collision."""


class OutputError(ValueError):
    """The requested data is not in the output; the message names the command that writes it."""


@dataclass(frozen=True, kw_only=True)
class Table:
    """One table of an output: its files, oldest first, and the columns of all of them."""

    output: str
    """Folder or bucket prefix of the run."""
    name: TableName
    """captions, failures, features or reviews."""
    uris: tuple[str, ...]
    """Every Parquet file, oldest first."""
    schema: pa.Schema
    """All columns of all files; a column that a file lacks is read as null."""

    def batches(
        self, columns: Sequence[str] | None = None, *, batch_rows: int = 8192
    ) -> Iterator[tuple[int, pa.RecordBatch]]:
        """Yield (file number, rows) for every file, with the same schema throughout.

        Args:
            columns: Columns wanted, in that order; None for all.
            batch_rows: Most rows in one batch.

        Raises:
            OutputError: A wanted column is in no file.
        """
        schema = self.schema if columns is None else pa.schema([self.field(name) for name in columns])
        for number, uri in enumerate(self.uris):
            with _open(uri) as parquet:
                present = [name for name in schema.names if name in parquet.schema_arrow.names]
                for batch in parquet.iter_batches(batch_size=batch_rows, columns=present):
                    yield number, _conformed(batch, schema)

    def field(self, name: str) -> pa.Field:
        """Look up a column.

        Raises:
            OutputError: No file has the column; the message lists the columns.
        """
        if name not in self.schema.names:
            raise OutputError(
                f"no column {name!r} in {self.name}/ of {self.output}; it has: {', '.join(self.schema.names)}"
            )
        return self.schema.field(name)

    def newest(
        self,
        columns: Sequence[str] | None = None,
        *,
        model_id: str | None = None,
        batch_rows: int = 8192,
    ) -> Iterator[pa.RecordBatch]:
        """Yield each track's newest row, once, in file order.

        Args:
            columns: Columns wanted, in that order; None for all.
            model_id: Only rows of this model; None for the rows of all models.
            batch_rows: Most rows in one batch.

        Raises:
            OutputError: A wanted column is in no file, or no row is of this model.
        """
        keep = self._newest_rows(model_id)
        start = 0
        for _, batch in self.batches(columns, batch_rows=batch_rows):
            chosen = batch.filter(pa.array(keep[start : start + batch.num_rows]))
            start += batch.num_rows
            if chosen.num_rows:
                yield chosen

    def newest_by_file(self, model_id: str | None = None) -> list[np.ndarray]:
        """Mark each track's newest row, (rows,) per file in the order of `uris`.

        Raises:
            OutputError: No row is of this model.
        """
        keep = self._newest_rows(model_id)
        counts = [0] * len(self.uris)
        for number, batch in self.batches(["model_id"], batch_rows=65_536):
            counts[number] += batch.num_rows
        return np.split(keep, np.cumsum(counts)[:-1])

    def _newest_rows(self, model_id: str | None) -> np.ndarray:
        """Return a mask, (rows,), that is true for the newest row of each track."""
        has_time = "created_at" in self.schema.names
        columns = ["track_id", "model_id", *(["created_at"] if has_time else [])]
        hashes: list[np.ndarray] = []
        times, of_model = [], []
        models: set[str] = set()
        for number, batch in self.batches(columns, batch_rows=65_536):
            hashes.append(hashed_ids(batch["track_id"]))
            if has_time:
                times.append(batch["created_at"].cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False))
            else:
                times.append(np.full(batch.num_rows, number, dtype=np.int64))
            models.update(pc.unique(batch["model_id"]).to_pylist())
            same = pc.equal(batch["model_id"], model_id).fill_null(False).to_numpy(zero_copy_only=False)
            of_model.append(same if model_id is not None else np.ones(batch.num_rows, dtype=bool))
        if not times:
            return np.zeros(0, dtype=bool)
        allowed = np.concatenate(of_model)
        if model_id is not None and not allowed.any():
            raise OutputError(
                f"{self.output} has no rows of model {model_id!r}; its models: "
                f"{', '.join(sorted(name for name in models if name))}"
            )
        return _newest_per_id(np.concatenate(hashes, axis=1), np.concatenate(times), allowed)


def hashed_ids(track_ids: pa.Array) -> np.ndarray:
    """Hash ids with both keys, uint64 (2, rows)."""
    import pandas as pd  # imported here because the import is slow and only readers of outputs need it

    names = track_ids.to_numpy(zero_copy_only=False)
    return np.stack([pd.util.hash_array(names, hash_key=key, categorize=False) for key in _HASH_KEYS])


def _newest_per_id(hashes: np.ndarray, times: np.ndarray, allowed: np.ndarray) -> np.ndarray:
    """Mark the newest allowed row of each id; of rows with the same time, the last one.

    Args:
        hashes: Hashes of the ids, (2, rows).
        times: When each row was written, (rows,).
        allowed: True for rows that may be chosen, (rows,) bool.
    """
    candidates = np.flatnonzero(allowed)
    first, second = hashes[:, candidates]
    order = np.lexsort((candidates, times[candidates], second, first))
    last = np.ones(len(order), dtype=bool)  # within equal ids, sorted by time, the last row is the newest
    last[:-1] = (first[order][1:] != first[order][:-1]) | (second[order][1:] != second[order][:-1])
    keep = np.zeros(len(allowed), dtype=bool)
    keep[candidates[order[last]]] = True
    return keep


def open_table(output: str, name: TableName) -> Table:
    """Find a table's files and read their footers.

    Args:
        output: Folder or bucket prefix of the run.
        name: captions, failures, features or reviews.

    Raises:
        OutputError: The output has no such table; the message names the command that writes it.
        StorageError: The storage cannot be read.
    """
    stored = sorted(part_files(output, name), key=lambda file: (file.modified, file.uri))
    if not stored:
        raise OutputError(f"{output} has no {name}/ with Parquet files: {_HOW_TO_GET[name]}")
    schemas: list[pa.Schema] = []
    large_integers: set[str] = set()
    for file in stored:
        with _open(file.uri) as parquet:
            schemas.append(parquet.schema_arrow.remove_metadata())
            large_integers |= large_integer_columns(parquet.metadata, parquet.schema_arrow)
    schema = unified_schema(schemas, large_integers=large_integers)
    _log_changed_types(output, name, schemas, schema)
    return Table(output=output, name=name, uris=tuple(file.uri for file in stored), schema=schema)


_HOW_TO_GET: dict[TableName, str] = {
    "captions": "run `muscaps caption CATALOGUE OUTPUT` first, or check the path",
    "failures": "no track has failed, or check the path",
    "features": "run `muscaps caption CATALOGUE OUTPUT --save-features`, with a new OUTPUT if this one has captions",
    "reviews": "save reviews.jsonl on the report page, then run `muscaps review apply OUTPUT reviews.jsonl`",
}


def _log_changed_types(output: str, name: TableName, schemas: Sequence[pa.Schema], schema: pa.Schema) -> None:
    """Log the columns that are text because their types have nothing else in common."""
    for field in schema:
        types = {str(part.field(field.name).type) for part in schemas if field.name in part.names}
        if len(types) > 1 and pa.types.is_string(field.type):
            logger.warning(
                "%s: column %r is %s in different files and is read as text",
                storage.join(output, name), field.name, " and ".join(sorted(types)),
            )  # fmt: skip


def _open(uri: str) -> Any:
    """Open a `pyarrow.parquet.ParquetFile` on a local or remote file."""
    filesystem, path = storage.filesystem(uri)
    return pq.ParquetFile(path, filesystem=filesystem)


def _conformed(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """Return the batch with the schema's columns; missing columns are null."""
    arrays = [
        converted(batch[field.name], field.type)
        if field.name in batch.schema.names
        else pa.nulls(batch.num_rows, field.type)
        for field in schema
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=pa.schema([field.with_nullable(True) for field in schema]))
