"""One captioning run: plan, rounds, commits, record.

Conventions: the driver plans, commits and reports; workers fetch, decode and caption. Results reach the driver as
Arrow blocks of captions, never audio. Only the driver commits, under the output's lease, so that a track is committed
once even if Ray repeats it after the loss of a worker or node. Tracks without a result at the end of a round are
processed in the next one.
"""

import contextlib
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from pipeline import storage
from pipeline.captioning.checkpoint_transfer import local_checkpoint
from pipeline.captioning.checkpoint_warnings import checkpoint_warnings
from pipeline.captioning.config import CaptioningConfig
from pipeline.captioning.dataset import CaptioningGraph, block_bytes
from pipeline.captioning.drain import Drain
from pipeline.captioning.masters import group_column
from pipeline.captioning.memory import release_freed_memory
from pipeline.captioning.plan import Plan, copies, plan_run, shards
from pipeline.captioning.record import RunRecord
from pipeline.captioning.retries import MAX_ATTEMPTS, ShardRetries
from pipeline.captioning.rows import Failure, failure_rows
from pipeline.captioning.summary import Progress, RunSummary, Status
from pipeline.catalogue import Catalogue, read_catalogue
from pipeline.cluster.execution import ENDED, Execution, is_user_code_error, root_cause
from pipeline.cluster.session import Session
from pipeline.output import compaction
from pipeline.output.catalogue_order import write_order
from pipeline.output.commit import CaptionSink
from pipeline.output.lease import Lease, LeaseLostError
from pipeline.output.leftovers import remove_leftovers
from pipeline.output.runs import new_run_id
from pipeline.output.shared_captions import earlier_captions
from pipeline.output.type_changes import conform_to_earlier_runs

if TYPE_CHECKING:
    from muscaps.checkpoint import Checkpoint

logger = logging.getLogger(__name__)

RETRY_PAUSE_SECONDS = 5.0
"""Pause before tracks with temporary failures are tried again."""


def caption_catalogue(
    config: CaptioningConfig,
    *,
    on_progress: Callable[[Progress], None] | None = None,
    on_results: Callable[[pa.Table], None] | None = None,
) -> RunSummary:
    """Caption every track of a catalogue that the output does not hold yet.

    SIGTERM and Ctrl-C drain the run if it is called from the main thread: finished tracks are written, tracks in flight
    have `drain.DRAIN_SECONDS` to finish, and the rest is left for the next run.

    Args:
        config: Configuration of the run.
        on_progress: Called from this thread at intervals.
        on_results: Called from this thread with every table of results, see `schema.RESULT`.

    Returns:
        The result of the run, which is also written to `runs/<run_id>.json`.

    Raises:
        CatalogueError: The catalogue cannot be used.
        CheckpointError: The checkpoint cannot be read.
        LeaseHeldError: Another run writes to the output.
        LeaseLostError: Another run has taken over the output.
        StorageError: Catalogue or output cannot be read or written.
        RuntimeError: The run fails, in contrast to single tracks.
    """
    catalogue = read_catalogue(config.catalogue)  # before anything heavy: most mistakes are found here
    group_column(catalogue, config.group_by)
    with local_checkpoint(config.checkpoint) as directory:
        from muscaps.checkpoint import load_checkpoint  # imports torch

        checkpoint = load_checkpoint(directory)
        for warning in checkpoint_warnings(checkpoint, config.options):
            logger.warning(warning)
        with Lease(config.output, new_run_id()) as lease:
            run = _Run(config, catalogue, checkpoint, directory, lease)
            run.on_progress = on_progress or run.on_progress
            run.on_results = on_results or run.on_results
            return run.execute()


class _Run:
    """One call of `caption_catalogue`, while it holds the lease."""

    def __init__(
        self, config: CaptioningConfig, catalogue: Catalogue, checkpoint: "Checkpoint", directory: Path, lease: Lease
    ) -> None:
        self._config, self._catalogue, self._run_id = config, catalogue, lease.run_id
        self._lease = lease
        self.on_progress: Callable[[Progress], None] = lambda progress: None
        self.on_results: Callable[[pa.Table], None] = lambda rows: None
        self._drain = Drain()
        self._record = RunRecord(config, run_id=lease.run_id, model_id=checkpoint.model_id, catalogue=catalogue)
        self._graph = CaptioningGraph(
            config=config,
            base=catalogue.base,
            audio=checkpoint.audio_config,
            checkpoint=directory,
            run_id=lease.run_id,
        )
        self._sink = CaptionSink(
            config.output,
            lease,
            model_id=checkpoint.model_id,
            options=config.options,
            effort=config.recorded_effort,
            extra_columns=catalogue.extra_columns,
            embedding_dim=checkpoint.model.embedding_dim,
            max_seconds=config.commit_seconds,
        )

    def execute(self) -> RunSummary:
        """Process all planned tracks and return the summary."""
        compaction.finish(self._config.output, self._lease)
        remove_leftovers(self._config.output, self._lease)
        plan = plan_run(self._catalogue, self._config, self._record.summary.model_id)
        self._record.set_plan(plan)
        write_order(self._config.output, self._catalogue.rows["track_id"])
        if not plan.num_tracks:
            return self._end("nothing_to_do")
        columns = self._catalogue.extra_columns
        types = conform_to_earlier_runs(self._config.output, self._lease, self._catalogue.rows, columns)
        self._sink.set_catalogue_columns(types)
        try:
            self._write_record("running")
            self._process(plan)
            self._sink.commit()
        except BaseException as error:
            with contextlib.suppress(LeaseLostError, storage.StorageError):
                self._sink.commit()
            with contextlib.suppress(storage.StorageError):
                self._end("failed", f"{type(error).__name__}: {error}")
            raise
        if self._drain.too_many_failures:
            return self._end("stopped", self._drain.reason)
        left = self._record.num_left(self._sink.counts, self._sink.failed_tracks)
        return self._end("drained" if self._drain.is_requested and left else "done", self._drain.reason)

    def _process(self, plan: Plan) -> None:
        """Start Ray and caption the planned tracks, a shard at a time."""
        config, drain = self._config, self._drain
        self._share_earlier_captions(plan)
        if plan.groups is not None and plan.groups.num_copies == plan.num_tracks:
            return
        drain.is_starting = True
        try:
            with drain.on_signals(), Session(config.address, cpus=config.cpus, gpus=config.gpus) as session:
                drain.is_starting = False
                for shard in shards(self._catalogue, plan, session.num_cpus, lambda: self._sink.failing):
                    if drain.is_requested:
                        break
                    self._sink.set_versions(shard.versions)
                    self._process_shard(shard.rows, session)
                    release_freed_memory()
        except SystemExit:
            if not drain.is_requested:  # not from the signal handler
                raise

    def _share_earlier_captions(self, plan: Plan) -> None:
        """Add the versions of tracks that the output holds."""
        config, model_id = self._config, self._record.summary.model_id
        for wanted in copies(self._catalogue, plan):
            for versions, sources in earlier_captions(
                config.output, model_id, config.options, wanted, effort=config.recorded_effort
            ):
                self._sink.share(versions, sources)
                self._report("sharing captions of versions")

    def _process_shard(self, rows: pa.Table, session: Session) -> None:
        """Caption the rows of a shard, in rounds until every track has a result."""
        retries = ShardRetries(rows["track_id"].to_pylist())
        while True:
            returned, retryable, error = self._process_round(rows, session, isolated=retries.isolated)
            if self._drain.is_requested:
                return
            following = retries.after_round(returned=returned, retryable=retryable, error=error)
            if following.num_missing:
                logger.warning("%d tracks did not return (%s); retrying them", following.num_missing, error)
            self._record_crashed(rows, following.given_up)
            if not following.track_ids:
                return
            if following.retried:
                logger.info("%d tracks had a temporary failure; retrying them", len(following.retried))
                self._drain.wait(RETRY_PAUSE_SECONDS)
                if self._drain.is_requested:
                    return
            rows = _rows_of_next_round(rows, following.track_ids, following.retried)
            if following.restart_ray:
                session.restart()

    def _process_round(
        self, rows: pa.Table, session: Session, *, isolated: bool
    ) -> tuple[set[str], set[str], Exception | None]:
        """Run the stages once over some rows.

        Returns:
            The tracks that returned, those with a temporary failure, and the error that ended the execution early.

        Raises:
            RuntimeError: The code of a stage failed, so that a retry would fail as well.
        """
        self._sink.start_round()
        self._record.num_rounds += 1
        self._report("" if self._record.has_results else "starting workers")
        returned, retryable = set[str](), set[str]()
        last_result = time.monotonic()
        dataset = self._graph.dataset(rows, session, isolated=isolated)
        with Execution(dataset, skip_failed_blocks=isolated, block_bytes=block_bytes(session.num_gpus)) as execution:
            while (item := execution.next(timeout=0.25)) is not ENDED:
                if isinstance(item, pa.Table):
                    last_result = time.monotonic()
                    returned.update(item["track_id"].to_pylist())
                    retryable |= self._add_results(item)
                self._commit_and_record()
                if self._should_end_round(session, last_result):
                    break
            error = execution.error
        if error is not None and not self._drain.is_requested and is_user_code_error(error):
            raise RuntimeError(f"captioning failed: {root_cause(error)}") from error
        return returned, retryable, error

    def _add_results(self, rows: pa.Table) -> set[str]:
        """Count result rows and pass them to the sink; return the tracks with a temporary failure."""
        started = time.perf_counter()
        fresh = self._sink.add(rows)
        self._record.add_commit_seconds(time.perf_counter() - started)
        self.on_results(fresh)
        self._record.add(fresh)
        self._report()
        return set(fresh.filter(pc.fill_null(fresh["retryable"], False))["track_id"].to_pylist())

    def _record_crashed(self, rows: pa.Table, track_ids: tuple[str, ...]) -> None:
        """Record the failure of tracks that did not return from any isolated round."""
        if not track_ids:
            return
        message = (
            f"The process crashed {MAX_ATTEMPTS} times on this file: it needs too much memory, or the decoder crashes. "
            "Convert the file, or leave it out."
        )
        failure = Failure(stage="decode", error_type="worker_died", message=message, retryable=False)
        crashing = rows.filter(pc.is_in(rows["track_id"], value_set=pa.array(track_ids, pa.string())))
        self._add_results(failure_rows(crashing, failure))

    def _commit_and_record(self) -> None:
        self._sink.commit_if_due()
        if self._record.is_due:
            self._write_record("running")

    def _should_end_round(self, session: Session, last_result: float) -> bool:
        """Check the limits and the drain; return whether the execution must be ended.

        Args:
            session: The Ray session whose workers a drain stops.
            last_result: `time.monotonic()` of the last result.
        """
        config, drain, counts = self._config, self._drain, self._sink.counts
        drain.check_runtime(self._record.elapsed_seconds, config.max_runtime_s)
        drain.check_failures(counts.failed, counts.attempted, config.max_error_rate, self._record.failures)
        if drain.begin():
            self._report("draining")
            self._sink.commit()  # first, because the process may be killed in three seconds
            session.drain(self._run_id)
        if time.monotonic() - last_result > config.stall_seconds:
            logger.error("no result for %.0f s; ending this round", config.stall_seconds)
            return True
        return drain.is_over

    def _end(self, status: Status, reason: str = "") -> RunSummary:
        summary = self._write_record(status, reason)
        logger.info("%s: %d captioned, %d failed, %d left", status, summary.captioned, summary.failed, summary.left)
        return summary

    def _write_record(self, status: Status, reason: str = "") -> RunSummary:
        return self._record.write(status, self._sink.counts, self._sink.failed_tracks, reason)

    def _report(self, step: str = "") -> None:
        self.on_progress(self._record.progress(self._sink.counts, self._sink.failed_tracks, step))


def _rows_of_next_round(rows: pa.Table, track_ids: frozenset[str], retried: frozenset[str]) -> pa.Table:
    """Return the rows of some tracks; `attempt` is increased for retried tracks."""
    ids = rows["track_id"].to_pylist()
    attempts = pc.add(rows["attempt"], pa.array([track_id in retried for track_id in ids]).cast(pa.int32()))
    rows = rows.set_column(rows.column_names.index("attempt"), "attempt", attempts)
    return rows.filter(pa.array([track_id in track_ids for track_id in ids]))
