"""The tracks that a page shows: an even random sample of an output, or its least certain captions."""

from collections.abc import Callable, Container

import numpy as np
import pyarrow as pa

from pipeline.reading.report.comparison import certainty

Keys = Callable[[pa.RecordBatch], np.ndarray]
"""Gives each row of a batch a number, (rows,); the rows with the smallest numbers are drawn."""


class TrackSample:
    """A sample of rows that arrive in batches; the same rows give the same sample."""

    def __init__(self, size: int, *, keys: Keys | None = None, seed: int = 0, without: Container[str] = ()) -> None:
        """Prepare a sample.

        Args:
            size: Maximum number of rows.
            keys: What to order by; None for an even random sample.
            seed: Of the random sample.
            without: Track ids that are left out.
        """
        self._size, self._without = size, without
        rng = np.random.default_rng(seed)
        self._keys_of: Keys = keys or (lambda batch: rng.random(batch.num_rows))
        self._keys = np.zeros(0)
        self._rows: pa.Table | None = None

    def add(self, batch: pa.RecordBatch) -> None:
        """Take the rows of a batch that belong to the sample."""
        keys = self._keys_of(batch)
        if self._without:
            wanted = np.array([track_id not in self._without for track_id in batch["track_id"].to_pylist()], bool)
            batch, keys = batch.filter(pa.array(wanted)), keys[wanted]
        rows = pa.table(batch)
        self._rows = rows if self._rows is None else pa.concat_tables([self._rows, rows])
        self._keys = np.concatenate([self._keys, keys])
        if len(self._keys) > self._size:
            kept = np.zeros(0, np.int64)
            if self._size:
                kept = np.sort(np.argpartition(self._keys, self._size)[: self._size])
            self._rows, self._keys = self._rows.take(pa.array(kept)), self._keys[kept]

    def rows(self) -> pa.Table:
        """Return the sample, by track_id."""
        return pa.table({"track_id": []}) if self._rows is None else self._rows.sort_by("track_id")


def by_certainty(batch: pa.RecordBatch) -> np.ndarray:
    """Return the certainty of each caption, (rows,); infinity where no claim has a score."""
    if "evidence" not in batch.schema.names:
        return np.full(batch.num_rows, np.inf)
    values = [certainty(evidence) for evidence in batch["evidence"].to_pylist()]
    return np.array([np.inf if value is None else value for value in values], dtype=np.float64)
