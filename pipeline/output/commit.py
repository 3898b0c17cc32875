"""Commits: result rows are written as whole Parquet files, each row once, under the lease."""

import logging
from collections.abc import Mapping, Set
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from muscaps import __version__
from muscaps.config import DecodingOptions
from muscaps.tags import MIN_MUSIC_SCORE
from pipeline import storage
from pipeline.output import clock
from pipeline.output.column_types import converted
from pipeline.output.effort import Effort
from pipeline.output.journal import TableName
from pipeline.output.lease import OUTAGE_SECONDS, Lease
from pipeline.output.parts import parquet_bytes
from pipeline.output.schema import DECODING, FAILURE_SCHEMA, FEATURE_SCHEMA, TIMESTAMP, caption_schema, decoding_of
from pipeline.output.shared_captions import shared_rows

logger = logging.getLogger(__name__)

OUTAGE_PAUSE_SECONDS = 5.0
"""Pause between two attempts to write a part while the store does not answer, in seconds."""


@dataclass(kw_only=True)
class Counts:
    """Numbers of the results of a run, committed or waiting for the next commit."""

    captioned: int = 0
    shared: int = 0
    """Versions that have the caption of another track."""
    failed: int = 0
    retryable: int = 0
    audio_seconds: float = 0.0
    damaged: int = 0
    not_music: int = 0

    @property
    def attempted(self) -> int:
        """Attempts with a result: captions and failures together."""
        return self.captioned + self.failed


class CaptionSink:
    """Collects result rows and commits them, one Parquet object per table and commit.

    Rows wait until one of the limits `max_rows`, `max_bytes` and `max_seconds` is reached. A crash loses at most the
    waiting rows. If a track has two results in a round, only the first is used. Rows of versions that share a caption
    are added with the row of the captioned track, so both are in the same object.
    """

    def __init__(
        self,
        output: str,
        lease: Lease,
        *,
        model_id: str,
        options: DecodingOptions,
        effort: Effort | None = None,
        extra_columns: pa.Schema,
        embedding_dim: int | None = None,
        max_rows: int = 10_000,
        max_bytes: int = 64 * 2**20,
        max_seconds: float = 30.0,
    ) -> None:
        """Prepare commits by the lease's run.

        Args:
            output: Folder or bucket prefix.
            lease: Held by this process.
            model_id: Model id of the checkpoint.
            options: Options of the beam search.
            effort: Column `effort`; None for null.
            extra_columns: Further columns of the catalogue; they follow those of `CAPTION_SCHEMA`.
            embedding_dim: Width of the checkpoint's embeddings; None for any.
            max_rows: Number of waiting rows at which they are committed.
            max_bytes: Size of the waiting rows at which they are committed.
            max_seconds: Age of the oldest waiting row at which all are committed.
        """
        self._output, self._lease, self._run_id = output, lease, lease.run_id
        self._model_id = model_id
        self._decoding, self._effort = decoding_of(options), effort
        self._embedding_dim = embedding_dim
        self._caption_schema = caption_schema(extra_columns, embedding_dim)
        self._max_rows, self._max_bytes, self._max_seconds = max_rows, max_bytes, max_seconds
        self._waiting: list[pa.Table] = []
        self._waiting_rows = self._waiting_bytes = 0
        self._oldest = 0.0
        self._number = 0
        self._versions: pa.Table | None = None
        self._with_result: set[str] = set()
        self._failing: set[str] = set()
        self.counts = Counts()
        self.parts: list[str] = []

    @property
    def failing(self) -> Set[str]:
        """Tracks that failed and have not been captioned since."""
        return self._failing

    @property
    def failed_tracks(self) -> int:
        """Number of tracks, not attempts, that failed and have not been captioned since."""
        return len(self._failing)

    def set_catalogue_columns(self, columns: pa.Schema) -> None:
        """Replace the types of the catalogue's own columns; values are converted when they are committed."""
        self._caption_schema = caption_schema(columns, self._embedding_dim)

    def set_versions(self, versions: pa.Table | None) -> None:
        """Set the versions of the tracks that are processed next; their captions are added with those of the tracks.

        Args:
            versions: Rows for the first stage, with `shared_from` and `shared_from_etag`; None without versions.
        """
        self._versions = versions

    def start_round(self) -> None:
        """Begin a round. A track with a result in the last round may have another one, as another attempt."""
        self._with_result.clear()

    def add(self, rows: pa.Table) -> pa.Table:
        """Add result rows, see `schema.RESULT`, and commit if a limit is reached.

        Returns:
            The rows of tracks that had no result in this round.

        Raises:
            LeaseLostError: Another run has taken over the output.
            StorageError: The store failed for longer than `OUTAGE_SECONDS`, or rejects the write.
        """
        rows = rows.combine_chunks()  # one chunk per track would make every step below slow
        is_new = []
        for track_id in rows["track_id"].to_pylist():
            is_new.append(track_id not in self._with_result)
            self._with_result.add(track_id)
        if not all(is_new):
            rows = rows.filter(pa.array(is_new))
        if rows.num_rows:
            self._count(rows)
            self._wait(rows)
            if self._versions is not None:
                self._add_shared(self._versions, rows.filter(rows["caption"].is_valid()))
        self.commit_if_due()
        return rows

    def share(self, versions: pa.Table, sources: pa.Table) -> None:
        """Add versions of tracks that were captioned before, and commit if a limit is reached.

        Args:
            versions: Rows for the first stage, with `shared_from` and `shared_from_etag`.
            sources: Rows of `captions/`, see `shared_captions.SHARED`.

        Raises:
            LeaseLostError: Another run has taken over the output.
            StorageError: The store failed for longer than `OUTAGE_SECONDS`, or rejects the write.
        """
        self._add_shared(versions, sources)
        self.commit_if_due()

    def _add_shared(self, versions: pa.Table, sources: pa.Table) -> None:
        rows = shared_rows(versions, sources).combine_chunks()
        self.counts.shared += rows.num_rows
        if rows.num_rows:
            self._failing.difference_update(rows["track_id"].to_pylist() if self._failing else ())
            self._wait(rows)

    def _wait(self, rows: pa.Table) -> None:
        self._oldest = self._oldest if self._waiting else clock.monotonic()
        self._waiting.append(rows)
        self._waiting_rows += rows.num_rows
        self._waiting_bytes += rows.nbytes

    def commit_if_due(self) -> None:
        """Commit the waiting rows if a limit is reached."""
        if not self._waiting:
            return
        old = clock.monotonic() - self._oldest >= self._max_seconds
        if self._waiting_rows >= self._max_rows or self._waiting_bytes >= self._max_bytes or old:
            self.commit()

    def commit(self) -> None:
        """Write all waiting rows; on return they are stored.

        Raises:
            LeaseLostError: Another run has taken over the output.
            StorageError: The store failed for longer than `OUTAGE_SECONDS`, or rejects the write.
        """
        if not self._waiting:
            return
        rows = pa.concat_tables(self._waiting, promote_options="default")
        captioned = rows["caption"].is_valid()
        done, failed = rows.filter(captioned), rows.filter(pc.invert(captioned))
        name = f"part-{self._run_id}-{self._number:06d}.parquet"
        if done.num_rows:
            if "features" in done.column_names:  # not if all are versions
                with_features = done.filter(done["features"].is_valid())
                if with_features.num_rows:
                    self._put("features", name, self._feature_rows(with_features))
            self._put("captions", name, self._caption_rows(done))
        if failed.num_rows:
            self._put("failures", name, self._failure_rows(failed))
        self._number += 1
        self._waiting, self._waiting_rows, self._waiting_bytes = [], 0, 0

    def _put(self, table: TableName, name: str, rows: pa.Table) -> None:
        uri = storage.join(self._output, table, name)
        data = parquet_bytes(rows)
        deadline = clock.monotonic() + OUTAGE_SECONDS
        while True:
            self._lease.ensure_held()
            try:
                storage.write_once(uri, data)
            except storage.StorageError as error:
                if not error.retryable or clock.monotonic() > deadline:
                    raise
                logger.warning("%s; %d rows wait to be written", error, rows.num_rows)
                clock.sleep(OUTAGE_PAUSE_SECONDS)
            else:
                self.parts.append(f"{table}/{name}")
                return

    def _count(self, rows: pa.Table) -> None:
        captioned = rows["caption"].is_valid()
        done = rows.filter(captioned)
        self.counts.captioned += done.num_rows
        self.counts.failed += rows.num_rows - done.num_rows
        self._failing.update(rows["track_id"].filter(pc.invert(captioned)).to_pylist())
        self._failing.difference_update(done["track_id"].to_pylist() if self._failing else ())
        self.counts.retryable += pc.sum(rows["retryable"].cast(pa.int64())).as_py() or 0
        self.counts.audio_seconds += pc.sum(done["decoded_duration_s"]).as_py() or 0.0
        self.counts.damaged += done.num_rows - done["damage"].null_count
        self.counts.not_music += pc.sum(pc.less(done["music_score"], MIN_MUSIC_SCORE)).as_py() or 0

    def _caption_rows(self, rows: pa.Table) -> pa.Table:
        """Return rows of `captions/`: the columns of `CAPTION_SCHEMA`, then those of the catalogue."""
        durations = [rows[name] for name in ("decoded_duration_s", "duration_s") if name in rows.column_names]
        values = {
            "duration_s": pc.coalesce(*durations) if durations else None,
            "model_id": self._model_id,
            "decoding": pa.scalar(self._decoding, DECODING),
            "effort": self._effort,
            "code_version": __version__,
            "run_id": self._run_id,
            "created_at": _times(rows),
        }
        return _conformed(rows, self._caption_schema, values)

    def _failure_rows(self, rows: pa.Table) -> pa.Table:
        values = {"run_id": self._run_id, "created_at": _times(rows), "model_id": self._model_id}
        return _conformed(rows, FAILURE_SCHEMA, values)

    def _feature_rows(self, rows: pa.Table) -> pa.Table:
        return _conformed(rows, FEATURE_SCHEMA, {"model_id": self._model_id})


def _conformed(rows: pa.Table, schema: pa.Schema, values: Mapping[str, Any]) -> pa.Table:
    """Return rows with the columns of a schema: from `values` (a column, or one value for all), else from `rows`."""
    columns = []
    for column in schema:
        value = values.get(column.name, rows[column.name] if column.name in rows.column_names else None)
        if not isinstance(value, pa.ChunkedArray | pa.Array):
            scalar = value if isinstance(value, pa.Scalar) else pa.scalar(value, column.type)
            value = pa.repeat(scalar, rows.num_rows)
        columns.append(converted(value, column.type))
    return pa.table(columns, schema=schema)


def _times(rows: pa.Table) -> pa.ChunkedArray:
    """Return the time of each row; for failures, the time of the commit."""
    return pc.coalesce(rows["created_at"].cast(TIMESTAMP), pa.scalar(clock.now(), TIMESTAMP))
