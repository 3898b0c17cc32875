"""The figures of an output: captions, failures, words, durations and runs.

Conventions: every count is over each track's newest caption and newest failure. A failure counts only while
its track has no caption. Times are UTC.
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

logger = logging.getLogger(__name__)


STOP_WORDS = frozenset(
    (
        "a",
        "an",
        "the",
        "and",
        "or",
        "but",
        "with",
        "of",
        "in",
        "on",
        "to",
        "for",
        "by",
        "from",
        "at",
        "as",
        "is",
        "are",
        "it",
        "its",
        "this",
        "that",
        "into",
        "over",
        "then",
        "some",
        "very",
        "piece",
        "track",
        "song",
        "music",
        "built",
        "led",
        "featuring",
        "pace",
        "tempo",
    )
)
"""Words that say nothing about a track, left out of the frequencies."""


@dataclass(frozen=True, kw_only=True)
class FailureReason:
    """Tracks that wait for the same reason."""

    stage: str
    """fetch, decode or caption."""
    error_type: str
    """The machine word of the failure."""
    count: int
    """Tracks."""
    retryable: int
    """Of them, those `muscaps retry` may cure without anyone changing anything."""
    examples: tuple[dict[str, Any], ...]
    """Up to five: track_id, message, attempt."""


@dataclass(kw_only=True)
class Summary:
    """An output in numbers."""

    output: str
    """Folder or bucket prefix."""
    tracks: int = 0
    """Captioned tracks."""
    distinct: int = 0
    """Different captions among them."""
    audio_s: float = 0.0
    """Length of all captioned tracks, in seconds."""
    partly_heard: int = 0
    """Tracks heard only in part."""
    failures: list[FailureReason] = field(default_factory=list)
    """Tracks without a caption, by reason, most frequent first."""
    models: Counter[str] = field(default_factory=Counter)
    """Captions by model_id."""
    words: Counter[str] = field(default_factory=Counter)
    """Captions that hold a word, stop words left out."""
    captions: Counter[str] = field(default_factory=Counter)
    """How often each caption was given."""
    word_counts: Counter[int] = field(default_factory=Counter)
    """Captions by number of words."""
    log_probs: np.ndarray = field(default_factory=lambda: np.zeros(0))
    """Log-probabilities of all captions, (tracks,)."""
    durations: np.ndarray = field(default_factory=lambda: np.zeros(0))
    """Lengths of all captioned tracks in seconds, (tracks,)."""
    minutes: dict[str, Counter[int]] = field(default_factory=dict)
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
        """The figures a machine may want."""
        return {
            "output": storage.redacted(self.output),
            "tracks": self.tracks,
            "failed": self.failed,
            "distinct_captions": self.distinct,
            "audio_seconds": round(self.audio_s, 3),
            "partly_heard": self.partly_heard,
            "mean_log_prob": float(self.log_probs.mean()) if self.log_probs.size else None,
            "failures": [
                {"stage": r.stage, "error_type": r.error_type, "count": r.count, "retryable": r.retryable}
                for r in self.failures
            ],
            "models": dict(self.models),
            "runs": [run.get("run_id") for run in self.runs],
        }


def summarise(output: str, *, max_tracks: int = 0) -> tuple[Summary, pa.Table]:
    """Count everything in an output, and draw the tracks to show.

    Args:
        output: Folder or bucket prefix of the run.
        max_tracks: Most tracks to draw.

    Returns:
        The figures over all tracks, and the drawn rows with all their columns, by track_id.

    Raises:
        OutputError: The output holds neither captions nor failures.
        StorageError: It could not be read.
    """
    summary = Summary(output=output, runs=_run_records(output))
    captions, failures = _optional(output, "captions"), _optional(output, "failures")
    if captions is None and failures is None:
        raise OutputError(f"{output} holds neither captions nor failures: run `muscaps caption` first")
    waiting = _newest_failures(failures, summary)
    shown = _count_captions(captions, summary, waiting, max_tracks) if captions else pa.table({"track_id": []})
    grouped: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in waiting.values():
        grouped.setdefault((row["stage"], row["error_type"]), []).append(row)
    summary.failures = sorted(
        (
            FailureReason(
                stage=stage,
                error_type=error_type,
                count=len(rows),
                retryable=sum(bool(row["retryable"]) for row in rows),
                examples=tuple({k: row[k] for k in ("track_id", "message", "attempt")} for row in rows[:5]),
            )
            for (stage, error_type), rows in grouped.items()
        ),
        key=lambda reason: (-reason.count, reason.stage, reason.error_type),
    )
    return summary, shown


def _optional(output: str, name: Any) -> Table | None:
    try:
        return open_table(output, name)
    except OutputError:
        return None


def _run_records(output: str) -> list[dict[str, Any]]:
    """The JSON records in `runs/`, newest first; a damaged one is left out with a warning."""
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


def _newest_failures(failures: Table | None, summary: Summary) -> dict[str, dict[str, Any]]:
    """Each track's newest failed attempt, by track_id; counts all attempts per run and second."""
    newest: dict[str, dict[str, Any]] = {}
    if failures is None:
        return newest
    for _, batch in failures.batches():
        for row in batch.to_pylist():
            _count_second(summary.failed_at, row)
            known = newest.get(row["track_id"])
            if known is None or row["created_at"] >= known["created_at"]:
                newest[row["track_id"]] = row
    return newest


def _count_second(seconds: dict[str, Counter[int]], row: dict[str, Any]) -> None:
    if row["created_at"] is not None:
        seconds.setdefault(row["run_id"] or "", Counter())[int(row["created_at"].timestamp())] += 1


def _count_captions(captions: Table, summary: Summary, waiting: dict[str, dict[str, Any]], max_tracks: int) -> pa.Table:
    """Add every track's newest caption to the figures; drop its failure; return the drawn rows."""
    rng = np.random.default_rng(0)
    drawn: pa.Table | None = None
    keys = np.zeros(0)
    log_probs, durations = [], []
    for batch in captions.newest():
        rows = pa.table(batch)
        summary.tracks += batch.num_rows
        for track_id in rows["track_id"].to_pylist():
            waiting.pop(track_id, None)
        log_probs.append(_floats(batch, "log_prob"))
        durations.append(_floats(batch, "duration_s"))
        summary.partly_heard += pc.sum(pc.less(batch["coverage"], 0.9995)).as_py() or 0
        summary.models.update(batch["model_id"].to_pylist())
        for text in batch["caption"].to_pylist():
            words = re.findall(r"[\w'’-]+", (text or "").lower())
            summary.captions[text or ""] += 1
            summary.word_counts[len(words)] += 1
            summary.words.update({word for word in words if word not in STOP_WORDS})
        for row in rows.select(["run_id", "created_at"]).to_pylist():
            _count_second(summary.minutes, row)
        fresh = rng.random(batch.num_rows)
        drawn = rows if drawn is None else pa.concat_tables([drawn, rows])
        keys = np.concatenate([keys, fresh])
        if len(keys) > max_tracks:  # the rows with the smallest keys are an even draw of all seen so far
            kept = np.sort(np.argpartition(keys, max_tracks)[:max_tracks]) if max_tracks else np.zeros(0, np.int64)
            drawn, keys = drawn.take(pa.array(kept)), keys[kept]
    summary.distinct = len(summary.captions)
    summary.log_probs = np.concatenate(log_probs) if log_probs else np.zeros(0)
    summary.durations = np.concatenate(durations) if durations else np.zeros(0)
    summary.audio_s = float(np.nansum(summary.durations))
    return drawn.sort_by("track_id") if drawn is not None else pa.table({"track_id": []})


def _floats(batch: pa.RecordBatch, name: str) -> np.ndarray:
    return np.asarray(batch[name].to_numpy(zero_copy_only=False), dtype=np.float64)
