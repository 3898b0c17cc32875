"""The figures of an output: captions, failures, words, durations and runs.

Conventions: every count is over each track's newest caption and newest failure. A failure counts only while
its track has no caption. Versions that share a caption are counted, and are in no other figure. Times are UTC. Memory
is bounded: rows are read in batches, texts and failures are in a temporary database, and only two numbers per track
stay in memory.
"""

import json
import logging
import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline import storage
from pipeline.output.newest import OutputError, Table, open_table
from pipeline.reading.report.result_tables import FAILURE_COLUMNS, FailureReason, ResultTables, result_tables
from pipeline.reading.report.sampling import TrackSample

logger = logging.getLogger(__name__)

STOP_WORDS = frozenset(
    (
        "a an the and or but with of in on to for by from at as is are it its this that into over then some very "
        "piece track song music built led featuring pace tempo"
    ).split()
)
"""Words without information about a track; the word frequencies leave them out."""

FULL_COVERAGE = 0.9995
"""Coverage from which a track counts as processed in full; below, float32 rounding is excluded."""


MAX_VERSIONS_NAMED, VERSIONS_COLUMN = 20, "versions_"
"""Versions that are named with the track whose caption they share, and the column of drawn rows that has them."""
MAX_DAMAGED_NAMED = 100
"""Damaged files that the report names; all are counted."""


@dataclass(kw_only=True)
class Summary:
    """An output in numbers."""

    output: str
    """Folder or bucket prefix."""
    tracks: int = 0
    """Captioned tracks, without versions that share a caption."""
    shared: int = 0
    """Versions that share the caption of another track."""
    distinct: int = 0
    """Different captions among them."""
    repeated: list[tuple[str, int]] = field(default_factory=list)
    """The most frequent captions of more than one track, with their number of tracks."""
    audio_seconds: float = 0.0
    """Total length of all captioned tracks."""
    partly_processed: int = 0
    """Captioned tracks with coverage below 1."""
    damaged: int = 0
    """Captioned tracks whose file is damaged in part."""
    damaged_examples: list[tuple[str, str]] = field(default_factory=list)
    """`track_id` and `damage` of the first `MAX_DAMAGED_NAMED` of them."""
    failures: list[FailureReason] = field(default_factory=list)
    """Tracks without a caption, by reason, most frequent first."""
    models: Counter[str] = field(default_factory=Counter)
    """Captions by model_id."""
    words: Counter[str] = field(default_factory=Counter)
    """Number of captions with a word, without stop words."""
    caption_lengths: Counter[int] = field(default_factory=Counter)
    """Captions by number of words."""
    log_probs: np.ndarray = field(default_factory=lambda: np.zeros(0))
    """Log-probabilities of all captions, (tracks,)."""
    durations: np.ndarray = field(default_factory=lambda: np.zeros(0))
    """Lengths of all captioned tracks in seconds, (tracks,)."""
    captioned_at: dict[str, Counter[int]] = field(default_factory=dict)
    """Captions per run and second since 1970."""
    failed_at: dict[str, Counter[int]] = field(default_factory=dict)
    """Failed attempts per run and second since 1970."""
    runs: list[dict[str, Any]] = field(default_factory=list)
    """The records in `runs/`, newest first."""

    @property
    def failed(self) -> int:
        """Tracks that failed and have no caption."""
        return sum(reason.count for reason in self.failures)

    def as_json(self) -> dict[str, Any]:
        """Return the figures of `muscaps report --json`."""
        return {
            "output": storage.redacted(self.output),
            "tracks": self.tracks,
            "shared": self.shared,
            "failed": self.failed,
            "distinct_captions": self.distinct,
            "audio_seconds": round(self.audio_seconds, 3),
            "partly_processed": self.partly_processed,
            "damaged": self.damaged,
            "mean_log_prob": float(self.log_probs.mean()) if self.log_probs.size else None,
            "failures": [
                {"stage": r.stage, "error_type": r.error_type, "count": r.count, "retryable": r.retryable}
                for r in self.failures
            ],
            "models": dict(self.models),
            "runs": [run.get("run_id") for run in self.runs],
        }


def summarise(output: str, *, max_tracks: int = 0, sample: TrackSample | None = None) -> tuple[Summary, pa.Table]:
    """Count everything in an output, and draw the tracks to show.

    Args:
        output: Folder or bucket prefix of the run.
        max_tracks: Maximum number of tracks to draw, evenly at random.
        sample: Draws the tracks instead, if given.

    Returns:
        The figures over all tracks, and the drawn rows with all their columns, by track_id.

    Raises:
        OutputError: The output holds neither captions nor failures.
        StorageError: It could not be read.
    """
    summary = Summary(output=output, runs=_run_records(output))
    captions, failures = _table_or_none(output, "captions"), _table_or_none(output, "failures")
    if captions is None and failures is None:
        raise OutputError(f"{output} holds neither captions nor failures: run `muscaps caption` first")
    drawn = pa.table({"track_id": []})
    with result_tables() as tables:
        if failures is not None:
            _count_failures(failures, summary, tables)
        if captions is not None:
            drawn = _count_captions(captions, summary, tables, sample or TrackSample(max_tracks))
            if summary.shared:
                versions = tables.versions_of(drawn["track_id"], MAX_VERSIONS_NAMED)
                drawn = drawn.append_column(VERSIONS_COLUMN, pa.array(versions, pa.list_(pa.string())))
        summary.distinct = tables.distinct_captions()
        summary.repeated = tables.repeated_captions(7)
        summary.failures = tables.failure_reasons()
    return summary, drawn


def _table_or_none(output: str, name: Any) -> Table | None:
    try:
        return open_table(output, name)
    except OutputError:
        return None


def _run_records(output: str) -> list[dict[str, Any]]:
    """Read the JSON records in `runs/`, newest first; a damaged one is left out with a warning."""
    records = []
    for file in storage.list_files(storage.join(output, "runs"), suffix=".json"):
        try:
            record = json.loads(storage.read_bytes(file.uri, max_bytes=1 << 24))
        except ValueError as error:
            logger.warning("%s is not JSON and was left out: %s", file.uri, error)
            continue
        if isinstance(record, dict):
            records.append(record)
    return sorted(records, key=lambda record: str(record.get("run_id", "")), reverse=True)


def _count_failures(failures: Table, summary: Summary, tables: ResultTables) -> None:
    """Add all failed attempts to the figures and to the tables."""
    for _, batch in failures.batches([*FAILURE_COLUMNS, "run_id"]):
        _count_seconds(summary.failed_at, batch)
        tables.add_failures(batch)


def _count_seconds(seconds: dict[str, Counter[int]], batch: pa.RecordBatch) -> None:
    """Count rows per run and second of `created_at`."""
    for run_id, created_at in zip(batch["run_id"].to_pylist(), batch["created_at"].to_pylist(), strict=True):
        if created_at is not None:
            seconds.setdefault(run_id or "", Counter())[int(created_at.timestamp())] += 1


def _count_captions(captions: Table, summary: Summary, tables: ResultTables, sample: TrackSample) -> pa.Table:
    """Add every track's newest caption to the figures and to the tables; return the drawn rows."""
    log_probs, durations = [np.zeros(0)], [np.zeros(0)]
    columns = [name for name in captions.schema.names if name != "embedding"]  # large, and not on the page
    for rows in captions.newest(columns):
        batch = _without_versions(rows, summary, tables)
        tables.add_captions(batch)
        sample.add(batch)
        summary.tracks += batch.num_rows
        log_probs.append(_floats(batch, "log_prob"))
        durations.append(_floats(batch, "duration_s"))
        summary.partly_processed += pc.sum(pc.less(batch["coverage"], FULL_COVERAGE)).as_py() or 0
        _count_damaged(summary, batch)
        summary.models.update(batch["model_id"].to_pylist())
        for text in batch["caption"].to_pylist():
            words = re.findall(r"[\w'’-]+", (text or "").lower())
            summary.caption_lengths[len(words)] += 1
            summary.words.update({word for word in words if word not in STOP_WORDS})
        _count_seconds(summary.captioned_at, batch)
    summary.log_probs, summary.durations = np.concatenate(log_probs), np.concatenate(durations)
    summary.audio_seconds = float(np.nansum(summary.durations))
    return sample.rows()


def _without_versions(rows: pa.RecordBatch, summary: Summary, tables: ResultTables) -> pa.RecordBatch:
    """Count the rows that share a caption; return the others."""
    if "shared_from" not in rows.schema.names or rows["shared_from"].null_count == rows.num_rows:
        return rows
    versions = rows.filter(rows["shared_from"].is_valid())
    summary.shared += versions.num_rows
    tables.add_versions(versions)
    return rows.filter(rows["shared_from"].is_null())


def _count_damaged(summary: Summary, batch: pa.RecordBatch) -> None:
    """Count and name the tracks with damage; files of earlier versions have no such column."""
    if "damage" not in batch.schema.names:
        return
    rows = batch.select(["track_id", "damage"]).filter(batch["damage"].is_valid())
    summary.damaged += rows.num_rows
    room = MAX_DAMAGED_NAMED - len(summary.damaged_examples)
    summary.damaged_examples.extend((row["track_id"], row["damage"]) for row in rows.slice(0, room).to_pylist())


def _floats(batch: pa.RecordBatch, name: str) -> np.ndarray:
    return np.asarray(batch[name].to_numpy(zero_copy_only=False), dtype=np.float64)
