"""The newest row of every track, in the order of the catalogue, with memory for one bucket of rows.

Parts hold rows in the order in which tracks were finished. Rows are distributed to buckets on disk by their position in
the catalogue, and each bucket is sorted in memory. Arrow files keep every type as it is.
"""

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pyarrow as pa

from pipeline.output.catalogue_order import CatalogueOrder, read_order
from pipeline.output.newest import Table

BUCKET_TRACKS = 50_000
"""Tracks of the catalogue per bucket; a row is about 1 KB."""
MAX_BUCKETS = 200
"""Maximum number of buckets, each an open file; with more than 10 million tracks buckets are larger."""
_BATCH_ROWS = 8192


def rows_in_order(
    table: Table, columns: Sequence[str], *, model_id: str | None = None, bucket_tracks: int = BUCKET_TRACKS
) -> Iterator[pa.RecordBatch]:
    """Yield each track's newest row, once, in the order of the newest run's catalogue.

    Tracks that this catalogue does not have come last, in the order in which they were finished.

    Args:
        table: Captions.
        columns: Columns wanted, in that order.
        model_id: Only rows of this model; None for the rows of all models.
        bucket_tracks: Tracks of the catalogue that are sorted at a time.

    Raises:
        OutputError: A wanted column is in no file, or no row is of this model.
    """
    order = read_order(table.output)
    if order is None:
        yield from table.newest(columns, model_id=model_id)
        return
    read = [*columns, *(["track_id"] if "track_id" not in columns else [])]
    rows = table.newest(read, model_id=model_id)
    num_buckets = min(MAX_BUCKETS, order.num_tracks // bucket_tracks + 1)
    for bucket in _buckets(rows, order, num_buckets):
        yield from bucket.select(columns).to_batches(max_chunksize=_BATCH_ROWS)


def _buckets(rows: Iterable[pa.RecordBatch], order: CatalogueOrder, num_buckets: int) -> Iterator[pa.Table]:
    """Distribute rows by their position; yield every bucket sorted, and last the rows that have no position."""
    per_bucket = order.num_tracks // num_buckets + 1
    with ExitStack() as open_files, tempfile.TemporaryDirectory(prefix="muscaps-order-") as folder:
        files = [Path(folder) / f"{number}.arrow" for number in range(num_buckets + 1)]
        writers: dict[int, pa.RecordBatchStreamWriter] = {}
        for batch in rows:
            positions = order.positions_of(batch["track_id"])
            buckets = np.where(positions < order.num_tracks, positions // per_bucket, num_buckets)
            for bucket in np.unique(buckets).tolist():
                if bucket not in writers:
                    sink = open_files.enter_context(pa.OSFile(str(files[bucket]), "wb"))
                    writers[bucket] = open_files.enter_context(pa.ipc.new_stream(sink, batch.schema))
                writers[bucket].write_batch(batch.filter(pa.array(buckets == bucket)))
        open_files.close()
        for bucket in sorted(writers):
            with pa.memory_map(str(files[bucket])) as source:
                yield _sorted(pa.ipc.open_stream(source).read_all(), order)
            files[bucket].unlink()


def _sorted(rows: pa.Table, order: CatalogueOrder) -> pa.Table:
    """Sort rows by position; rows without one keep their order."""
    positions = np.concatenate([order.positions_of(batch["track_id"]) for batch in rows.to_batches()])
    return rows.take(pa.array(np.argsort(positions, kind="stable")))
