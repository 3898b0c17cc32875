"""The record of a run: totals over result rows, written to `OUTPUT/runs/<run_id>.json` and reported as metrics."""

import json
import logging
import sys
from collections import Counter, defaultdict, deque
from dataclasses import asdict, replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipeline import storage
from pipeline.captioning.config import CaptioningConfig
from pipeline.captioning.memory import peak_bytes
from pipeline.captioning.plan import Plan
from pipeline.captioning.summary import Progress, RunSummary, Status
from pipeline.captioning.telemetry import RunMetrics
from pipeline.captioning.versions import installed_versions
from pipeline.catalogue import Catalogue
from pipeline.output import clock
from pipeline.output.commit import Counts

logger = logging.getLogger(__name__)

RECORD_SECONDS = 10.0
"""Time between two writes of the record during a run, in seconds."""
RECENT_SECONDS = 120.0
"""Time over which the record states the current rate, in seconds; less in a younger run."""
MAX_DAMAGED_NAMED = 100
"""Maximum number of damaged tracks that the record lists."""


class RunRecord:
    """The totals of a run so far."""

    def __init__(self, config: CaptioningConfig, *, run_id: str, model_id: str, catalogue: Catalogue) -> None:
        """Begin the record; the run's time starts now.

        Args:
            config: Configuration of the run.
            run_id: Name of the run.
            model_id: Model id of the checkpoint.
            catalogue: The tracks, and the files that its listing left out.
        """
        self._started = self._written = clock.monotonic()
        self._first_result: float | None = None
        self._marks: deque[tuple[float, int]] = deque()
        self.failures: Counter[str] = Counter()
        """`stage/error_type` -> number of attempts."""
        self._damaged_tracks: list[dict[str, str]] = []
        self._stage_seconds: dict[str, float] = defaultdict(float)
        self._peak_bytes: dict[str, int] = {}
        self._metrics: RunMetrics | None = None
        self.num_rounds = 0
        """Number of Ray executions so far."""
        self._output = config.output
        self.summary = RunSummary(
            run_id=run_id,
            output=config.output,
            status="running",
            model_id=model_id,
            num_tracks=catalogue.num_tracks,
            files_left_out={suffix: asdict(note) for suffix, note in catalogue.notes.left_out.items()},
            num_unreadable=catalogue.notes.num_unreadable,
            unreadable=list(catalogue.notes.unreadable),
            num_undecodable=catalogue.notes.num_undecodable,
            undecodable=list(catalogue.notes.undecodable),
            started_at=_now(),
            config=config_as_json(config),
            versions=installed_versions(),
        )

    @property
    def elapsed_seconds(self) -> float:
        """Time since the run started."""
        return clock.monotonic() - self._started

    @property
    def has_results(self) -> bool:
        """Whether any track has returned."""
        return self._first_result is not None

    @property
    def is_due(self) -> bool:
        """Whether the record should be written again."""
        return clock.monotonic() - self._written > RECORD_SECONDS

    def set_plan(self, plan: Plan) -> None:
        """Record the plan of the run."""
        self.summary = replace(
            self.summary,
            already_captioned=plan.already_captioned,
            already_failed=plan.already_failed,
            to_do=plan.num_tracks,
        )

    def add_commit_seconds(self, seconds: float) -> None:
        """Add time that the driver spent on commits."""
        self._stage_seconds["commit"] += seconds

    def add(self, rows: pa.Table) -> None:
        """Add result rows, see `schema.RESULT`, to the totals."""
        if self._first_result is None and rows.num_rows:
            self._first_result = clock.monotonic()
            self._marks.append((self._first_result, 0))
        for name in ("fetch", "decode", "feature", "search"):
            self._stage_seconds[name] += pc.sum(rows[f"{name}_seconds"]).as_py() or 0.0
        for name in ("decode", "caption"):
            peak = pc.max(rows[f"{name}_peak_bytes"]).as_py() or 0
            self._peak_bytes[name] = max(self._peak_bytes.get(name, 0), peak)
        failed = rows.filter(rows["stage"].is_valid()).select(["stage", "error_type"])
        self.failures.update(f"{row['stage']}/{row['error_type']}" for row in failed.to_pylist())

        damaged = rows.filter(pc.and_(rows["caption"].is_valid(), rows["damage"].is_valid()))
        room = MAX_DAMAGED_NAMED - len(self._damaged_tracks)
        self._damaged_tracks.extend(damaged.select(["track_id", "damage"]).slice(0, room).to_pylist())

    def progress(self, counts: Counts, failed_tracks: int, step: str = "") -> Progress:
        """Return the progress of the run, with the current step in words."""
        return Progress(
            total=self.summary.to_do, captioned=counts.captioned + counts.shared, failed=failed_tracks, step=step
        )

    def num_left(self, counts: Counts, failed_tracks: int) -> int:
        """Return the number of tracks that have neither caption nor failure yet."""
        return max(0, self.summary.to_do - counts.captioned - counts.shared - failed_tracks)

    def write(self, status: Status, counts: Counts, failed_tracks: int, reason: str = "") -> RunSummary:
        """Write `runs/<run_id>.json` and the metrics as of now.

        Args:
            status: Status of the run.
            counts: Numbers of results in the sink.
            failed_tracks: Number of failed tracks (not attempts).
            reason: Why the run ends early.

        Raises:
            StorageError: The record cannot be written. Temporary errors during the run are only logged.
        """
        self._written = clock.monotonic()
        recent_tracks, recent_seconds = self._recent(counts.captioned + counts.shared + failed_tracks)
        first = self._written if self._first_result is None else self._first_result
        self.summary = replace(
            self.summary,
            status=status,
            reason=reason,
            captioned=counts.captioned,
            shared=counts.shared,
            saved_seconds=round(counts.shared * (self._written - first) / counts.captioned, 3)
            if counts.captioned
            else None,
            failed=failed_tracks,
            left=self.num_left(counts, failed_tracks),
            damaged=counts.damaged,
            not_music=counts.not_music,
            damaged_tracks=list(self._damaged_tracks),
            failures_by_reason=dict(self.failures.most_common()),
            audio_seconds=round(counts.audio_seconds, 3),
            wall_seconds=round(self._written - self._started, 3),
            startup_seconds=round(first - self._started, 3),
            stage_seconds={name: round(seconds, 3) for name, seconds in self._stage_seconds.items()},
            peak_memory_bytes={"driver": peak_bytes(), **self._peak_bytes},
            recent_tracks=recent_tracks,
            recent_seconds=recent_seconds,
            rounds=self.num_rounds,
            updated_at=_now(),
            ended_at="" if status == "running" else _now(),
        )
        self._update_metrics()
        self._write_json()
        return self.summary

    def _recent(self, done: int) -> tuple[int, float]:
        """Return the tracks that were finished in the last minutes, and the length of these minutes in seconds."""
        if not self._marks:
            return 0, 0.0
        while len(self._marks) > 1 and self._written - self._marks[1][0] >= RECENT_SECONDS:
            self._marks.popleft()
        began, before = self._marks[0]
        self._marks.append((self._written, done))
        return max(0, done - before), round(self._written - began, 3)

    def _write_json(self) -> None:
        record = {**asdict(self.summary), "real_time_factor": round(self.summary.real_time_factor, 2)}
        uri = storage.join(self._output, "runs", f"{self.summary.run_id}.json")
        try:
            storage.write_once(uri, json.dumps(record, indent=2).encode())
        except storage.StorageError as error:
            if self.summary.status != "running" or not error.retryable:
                raise
            logger.warning("the run's record could not be written: %s", error)

    def _update_metrics(self) -> None:
        """Report the totals as metrics, if this process is connected to Ray."""
        ray = sys.modules.get("ray")  # a run with nothing to do does not import it
        if ray is None or not ray.is_initialized():
            return
        self._metrics = self._metrics or RunMetrics(self.summary.run_id)
        names = ("captioned", "failed", "left", "audio_seconds", "wall_seconds", "failures_by_reason", "stage_seconds")
        self._metrics.update(**{name: getattr(self.summary, name) for name in names})


def config_as_json(config: CaptioningConfig) -> dict[str, Any]:
    """Return the configuration as JSON values, without secrets."""
    values = asdict(config)
    for name in ("catalogue", "output", "checkpoint"):
        if values[name] is not None:
            values[name] = storage.redacted(str(values[name]))
    return values


def _now() -> str:
    return clock.now().isoformat(timespec="seconds")
