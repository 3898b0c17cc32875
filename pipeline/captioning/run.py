"""The whole job: a catalogue in, `captions/` and `failures/` out, the stages joined into one Ray Dataset.

Conventions: the driver plans, commits and reports; workers fetch, decode and caption. Results reach the driver as
Arrow blocks of captions (never audio) and are committed by it alone, under the output's lease: whatever Ray
repeats after a worker or node died, a track comes out once. What is lost on the way is found missing at the end
of a round and goes into the next one.
"""

import contextlib
import json
import logging
import math
import signal
import sys
import threading
import time
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline import storage
from pipeline.captioning import stages
from pipeline.captioning.checkpoint_transfer import local_checkpoint
from pipeline.captioning.config import CaptioningConfig
from pipeline.captioning.memory import peak_bytes
from pipeline.captioning.record import Progress, RunSummary, Status, config_as_json, installed_versions
from pipeline.captioning.rows import Failure, failure_rows, input_rows
from pipeline.captioning.telemetry import RunMetrics
from pipeline.catalogue import Catalogue, read_catalogue
from pipeline.cluster.drain_flag import DrainFlag
from pipeline.cluster.execution import ENDED, Execution, cause_of, is_our_fault
from pipeline.cluster.session import Session
from pipeline.output import compaction
from pipeline.output.anti_join import captioned_tracks, failed_tracks, rows_to_do
from pipeline.output.commit import CaptionSink
from pipeline.output.lease import Lease, LeaseLostError
from pipeline.output.leftovers import remove_leftovers
from pipeline.output.runs import new_run_id

if TYPE_CHECKING:
    import ray.data

    from muscaps.checkpoint import Checkpoint

logger = logging.getLogger(__name__)

BLOCK_BYTES = 32 * 2**20
"""PCM handed over at a time: five or six tracks of three minutes; also what one forward pass works on."""
GPU_BLOCK_BYTES = 128 * 2**20
"""The same where GPUs caption, which want more tracks at once."""
GPU_BATCH_TRACKS = 32
"""Tracks a GPU is given at a time: of three minutes each they are 1,920 chunks and 184 MB of PCM."""
ROWS_PER_TASK = 16
"""Most tracks one decode task takes: starting a task costs some 10 ms, decoding a track some 100 ms."""
SHARD_ROWS, SHARD_ROWS_PER_CPU = (2_000, 100_000), 1_000
"""Tracks one Ray execution is given, at least and at most, and a core's part: some ten minutes of work, beside which
starting its workers is nothing. Ray's books in the driver grow by 5 KB a track and are closed with the execution."""
ACTOR_CPUS, DECODE_CPUS = 0.75, 0.25
"""Shares of a core without GPUs: one captioning actor and one decode task a core, since captioning takes
several times as long as decoding and the operating system balances the two."""
MAX_TRIES = 3
"""How often one run tries a track whose failure may pass, and how often a track may take its worker down."""
RETRY_PAUSE_SECONDS = 5.0
DRAIN_SECONDS = 18.0
"""How long a drained run waits for tracks in flight."""
MIN_ERROR_SAMPLE = 50
"""Tracks after which `max_error_rate` is looked at."""
RECORD_SECONDS = 30.0
"""How often the run's record is renewed while it runs."""


def caption_catalogue(
    config: CaptioningConfig,
    *,
    on_progress: Callable[[Progress], None] | None = None,
    on_results: Callable[[pa.Table], None] | None = None,
) -> RunSummary:
    """Caption every track of a catalogue that the output does not hold yet.

    SIGTERM and Ctrl-C drain the run when it is called from the main thread: what is finished is written, what is
    in flight may finish for `DRAIN_SECONDS`, the rest is left for the next run.

    Args:
        config: What to do.
        on_progress: Called from this thread now and then.
        on_results: Called from this thread with every table of results, see `schema.RESULT`.

    Returns:
        What was done; the same is written to `runs/<run_id>.json`.

    Raises:
        CatalogueError: The catalogue cannot be used.
        CheckpointError: The checkpoint cannot be read.
        LeaseHeldError: Another run works on the output.
        LeaseLostError: Another run took the output over meanwhile.
        StorageError: Catalogue or output cannot be reached.
        RuntimeError: The work itself fails, as opposed to single tracks.
    """
    catalogue = read_catalogue(config.catalogue)  # before anything heavy: most mistakes are found here
    with local_checkpoint(config.checkpoint) as directory:
        from muscaps.checkpoint import load_checkpoint

        checkpoint = load_checkpoint(directory)
        if config.options.attention and checkpoint.model_config.fusion != "attention":
            logger.warning("%s hears a track as a whole: it has no attention to keep", checkpoint.model_id)
        run_id = new_run_id()
        with Lease(config.output, run_id) as lease:
            run = _Run(config, catalogue, checkpoint, directory, lease)
            run.on_progress = on_progress or run.on_progress
            run.on_results = on_results or run.on_results
            return run.finish()


class _Run:
    """One call of `caption_catalogue`, lease held."""

    def __init__(
        self,
        config: CaptioningConfig,
        catalogue: Catalogue,
        checkpoint: "Checkpoint",
        directory: Path,
        lease: Lease,
    ) -> None:
        self._config, self._catalogue, self._lease = config, catalogue, lease
        self._directory, self._audio = directory, checkpoint.audio_config
        self.on_progress: Callable[[Progress], None] = lambda progress: None
        self.on_results: Callable[[pa.Table], None] = lambda rows: None
        self._started = time.monotonic()
        self._recorded = self._started
        self._stopping = ""
        self._deadline = math.inf
        self._starting = False
        self._reasons: Counter[str] = Counter()
        self._stage_seconds: dict[str, float] = defaultdict(float)
        self._peaks: dict[str, int] = {}
        self._metrics: RunMetrics | None = None
        self._first_result = 0.0
        self._rounds = 0
        self._again: set[str] = set()
        self._sink = CaptionSink(
            config.output,
            lease,
            model_id=checkpoint.model_id,
            options=config.options,
            extra_columns=catalogue.extra_columns,
            max_seconds=config.commit_seconds,
        )
        self._summary = RunSummary(
            run_id=lease.run_id,
            output=config.output,
            status="running",
            model_id=checkpoint.model_id,
            num_tracks=catalogue.num_tracks,
            started_at=datetime.now(UTC).isoformat(timespec="seconds"),
            config=config_as_json(config),
            versions=installed_versions(),
        )

    def finish(self) -> RunSummary:
        """Do all there is to do, and say so."""
        compaction.finish(self._config.output)
        remove_leftovers(self._config.output)
        wanted, attempts = self._plan()
        if not wanted.any():
            return self._end("nothing_to_do")
        try:
            self._record("running")
            self._work(wanted, attempts)
            self._sink.commit()
        except BaseException as error:
            with contextlib.suppress(LeaseLostError, storage.StorageError):
                self._sink.commit()
            with contextlib.suppress(storage.StorageError):
                self._end("failed", f"{type(error).__name__}: {error}")
            raise
        if self._stopping.startswith("errors"):
            return self._end("stopped", self._stopping)
        return self._end("drained" if self._stopping and self._left() else "done", self._stopping)

    def _work(self, wanted: np.ndarray, attempts: np.ndarray) -> None:
        """Start Ray and caption the wanted rows, a shard at a time."""
        self._starting = True
        try:
            with self._signals(), Session(self._config.address, cpus=self._config.cpus, gpus=self._config.gpus) as ray:
                self._starting = False
                least, most = SHARD_ROWS
                size = min(most, max(least, SHARD_ROWS_PER_CPU * ray.num_cpus))
                for number, rows in enumerate(self._catalogue.select(wanted, slice_rows=size)):
                    if self._stopping:
                        break
                    tried = pa.array(attempts[number * size : (number + 1) * size] + 1)
                    self._shard(input_rows(rows, tried), ray)
        except SystemExit:
            if not self._stopping:  # not from the handler below
                raise

    def _plan(self) -> tuple[np.ndarray, np.ndarray]:
        """Choose the rows to do: what was asked minus what is done.

        Returns:
            (num_tracks,) bool, true where there is work; and for those, how often each was tried before.
        """
        config, rows = self._config, self._catalogue.rows
        captioned = captioned_tracks(config.output, self._summary.model_id, config.options)
        failures = failed_tracks(config.output)
        wanted = rows_to_do(self._catalogue, captioned)
        own = pc.or_(pc.not_equal(failures["stage"], "caption"), pc.equal(failures["model_id"], self._summary.model_id))
        failures = failures.filter(pc.fill_null(own, True))
        final = failures.filter(pc.invert(failures["retryable"])) if not config.only_failed else failures
        failed = ~rows_to_do(self._catalogue, final)
        already_captioned = int((~wanted).sum())
        skipped = wanted & (~failed if config.only_failed else failed)
        wanted &= ~skipped
        if config.limit is not None:
            wanted[np.flatnonzero(wanted)[config.limit :]] = False
        chosen = rows["track_id"].filter(pa.array(wanted))
        tried = pc.index_in(chosen, value_set=failures["track_id"].combine_chunks())
        attempts = pc.fill_null(failures["attempt"].combine_chunks().take(tried.combine_chunks()), 0)
        self._summary = replace(
            self._summary,
            already_captioned=already_captioned,
            already_failed=0 if config.only_failed else int(skipped.sum()),
            to_do=int(wanted.sum()),
        )
        return wanted, attempts.to_numpy(zero_copy_only=False)

    def _shard(self, rows: pa.Table, session: "Session") -> None:
        """Caption some rows, in as many rounds as it takes until each has come out."""
        takedowns: Counter[str] = Counter()
        careful, fruitless = False, 0
        for number in range(1, sys.maxsize):
            self._again.clear()
            self._sink.start_round()
            came, error = self._round(rows, session, careful)
            if self._stopping:
                return
            ids = rows["track_id"].to_pylist()
            missing = [track_id for track_id in ids if track_id not in came]
            if missing:
                fruitless = 0 if came else fruitless + 1
                if fruitless == MAX_TRIES and not careful and error is not None:
                    raise RuntimeError(f"no track came through in {fruitless} attempts: {error}") from error
                logger.warning("%d tracks did not come back (%s); trying them again", len(missing), error)
                if careful:
                    takedowns.update(missing)
                    self._give_up(rows, [track_id for track_id in missing if takedowns[track_id] >= MAX_TRIES])
                careful = careful or fruitless > 0 or number > 1
            given_up = {track_id for track_id in missing if takedowns[track_id] >= MAX_TRIES}
            retried = self._again if number < MAX_TRIES else set()
            wanted = [track_id in retried or (track_id not in came and track_id not in given_up) for track_id in ids]
            if not any(wanted):
                return
            if retried:
                logger.info("%d tracks failed for reasons that may pass; trying them again", len(retried))
                self._wait(RETRY_PAUSE_SECONDS)
                if self._stopping:
                    return
            tried = [track_id in retried for track_id in ids]
            attempt = pc.add(rows["attempt"], pa.array(tried).cast(pa.int32()))
            rows = rows.set_column(rows.column_names.index("attempt"), "attempt", attempt).filter(pa.array(wanted))
            if missing:
                session.restart()

    def _give_up(self, rows: pa.Table, track_ids: list[str]) -> None:
        """Record tracks that took their worker down each time they were tried on their own."""
        culprits = rows.filter(pc.is_in(rows["track_id"], value_set=pa.array(track_ids, pa.string())))
        if culprits.num_rows:
            message = (
                f"The process working on this file died {MAX_TRIES} times: it needed too much memory, or broke the "
                "decoder. Convert the file, or leave it out."
            )
            failure = Failure(stage="decode", error_type="worker_died", message=message, retryable=False)
            self._take(failure_rows(culprits, failure))

    def _round(self, rows: pa.Table, session: "Session", careful: bool) -> tuple[set[str], Exception | None]:
        """Run the stages once over some rows.

        Returns:
            The tracks that came out, and what ended the execution early.

        Raises:
            RuntimeError: Our own code failed, which trying again would not change.
        """
        self._rounds += 1
        self._progress("starting workers" if not self._first_result else "")
        came: set[str] = set()
        self._heard = time.monotonic()
        with Execution(
            self._dataset(rows, session, careful),
            keep_going=careful,
            block_bytes=GPU_BLOCK_BYTES if session.num_gpus else BLOCK_BYTES,
        ) as execution:
            while (item := execution.next(timeout=0.25)) is not ENDED:
                if isinstance(item, pa.Table):
                    self._heard = time.monotonic()
                    self._first_result = self._first_result or self._heard
                    came.update(item["track_id"].to_pylist())
                    self._take(item)
                if self._should_leave(session):
                    break
            error = execution.error
        if error is not None and not self._stopping and is_our_fault(error):
            raise RuntimeError(f"captioning failed: {cause_of(error)}") from error
        return came, error

    def _take(self, rows: pa.Table) -> None:
        """Account for result rows and hand them to the sink."""
        started = time.perf_counter()
        fresh = self._sink.add(rows)
        self._stage_seconds["commit"] += time.perf_counter() - started
        self.on_results(fresh)
        for name in ("fetch", "decode", "feature", "search"):
            self._stage_seconds[name] += pc.sum(fresh[f"{name}_seconds"]).as_py() or 0.0
        for name in ("decode", "caption"):
            peak = pc.max(fresh[f"{name}_peak_bytes"]).as_py() or 0
            self._peaks[name] = max(self._peaks.get(name, 0), peak)
        failed = fresh.filter(fresh["stage"].is_valid())
        for row in failed.select(["track_id", "stage", "error_type", "retryable"]).to_pylist():
            self._reasons[f"{row['stage']}/{row['error_type']}"] += 1
            if row["retryable"]:
                self._again.add(row["track_id"])
        self._progress()

    def _should_leave(self, session: "Session") -> bool:
        """Look after everything that happens beside the work; true where the execution must be left."""
        now = time.monotonic()
        self._sink.commit_if_due()
        if now - self._recorded > RECORD_SECONDS:
            self._record("running")
        counts, config = self._sink.counts, self._config
        if config.max_runtime_s is not None and now - self._started > config.max_runtime_s:
            self._stop(f"it ran for the {config.max_runtime_s:g} s allowed")
        if counts.attempted >= MIN_ERROR_SAMPLE and counts.failed > config.max_error_rate * counts.attempted:
            common = ", ".join(f"{name} {count}" for name, count in self._reasons.most_common(3))
            self._stop(
                f"errors: {counts.failed} of {counts.attempted} tracks failed, more than {config.max_error_rate:.0%} "
                f"({common})"
            )
        if self._stopping and self._deadline == math.inf:
            self._deadline = now + DRAIN_SECONDS
            self._progress("draining")
            self._sink.commit()  # before anything else: we may be killed in three seconds
            session.drain(self._lease.run_id)
        if now - self._heard > config.stall_seconds:
            logger.error("no result for %.0f s; giving this attempt up", config.stall_seconds)
            return True
        return now > self._deadline

    def _stop(self, reason: str) -> None:
        if not self._stopping:
            self._stopping = reason
            logger.warning("stopping: %s", reason)

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        """Drain on SIGTERM and Ctrl-C; leave at once on the second, and while there is nothing yet to drain."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def handle(number: int, frame: Any) -> None:
            if self._stopping:
                self._deadline = 0.0
            self._stop(f"received {signal.Signals(number).name}")
            if self._starting:  # importing and starting Ray takes seconds, on a busy machine a minute
                raise SystemExit

        before = {number: signal.signal(number, handle) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _wait(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and not self._stopping:
            time.sleep(0.1)

    def _dataset(self, rows: pa.Table, session: "Session", careful: bool) -> "ray.data.Dataset":
        """Join the stages: rows -> fetch and decode (CPU tasks) -> caption (actors)."""
        import ray.data

        config, retries = self._config, 0 if careful else MAX_TRIES
        per_task = 1 if careful else max(1, min(ROWS_PER_TASK, rows.num_rows // (4 * session.num_cpus)))
        tasks = math.ceil(rows.num_rows / per_task)
        # Retries can be limited in no other way; Ray 2.60 says the argument will get a name of its own.
        warnings.filterwarnings("ignore", "`ray_remote_args_fn` is deprecated", category=DeprecationWarning)
        # A block of few rows each: Ray gives a block to one task, however many rows it holds.
        blocks = [rows.slice(start, per_task).combine_chunks() for start in range(0, rows.num_rows, per_task)]
        decoded = ray.data.from_arrow(blocks).map_batches(
            stages.fetch_and_decode,  # type: ignore[arg-type]  # Ray's stub knows no keyword arguments
            batch_size=None,
            batch_format="pyarrow",
            fn_kwargs={
                "base": self._catalogue.base,
                "sample_rate": self._audio.sample_rate,
                "chunk_samples": self._audio.chunk_samples,
                "max_chunks": config.max_chunks,
                "only_needed": config.decode_only_needed,
                "allow_local": config.allow_local,
                "stopped": DrainFlag(self._lease.run_id),
            },
            num_cpus=1 if session.num_gpus else DECODE_CPUS,
            ray_remote_args_fn=lambda: {"max_retries": retries},
        )
        actors = session.num_gpus * config.workers_per_gpu or max(1, min(session.num_cpus, tasks))
        per_batch = None  # a core takes blocks as they come
        if session.num_gpus:  # Ray insists on a number for a GPU, and puts blocks together to reach it
            per_batch = 1 if careful else max(1, min(GPU_BATCH_TRACKS, rows.num_rows // (4 * actors)))
        return decoded.map_batches(
            stages.CaptionTracks,
            batch_size=per_batch,
            batch_format="pyarrow",
            zero_copy_batch=True,
            fn_constructor_args=(session.checkpoint(self._directory), config.options),
            fn_constructor_kwargs={
                "use_gpu": session.num_gpus > 0,
                "precision": config.precision,
                "save_features": config.save_features,
            },
            # A dying actor takes what waits for it along; a careful round blames a track only for its own turn.
            compute=ray.data.ActorPoolStrategy(size=actors, max_tasks_in_flight_per_actor=1 if careful else None),
            # On a GPU an actor waits most of the time: a machine of few cores and many GPUs must decode as well.
            num_cpus=0 if session.num_gpus else ACTOR_CPUS,
            num_gpus=1 / config.workers_per_gpu if session.num_gpus else None,
            ray_remote_args_fn=lambda: {"max_restarts": -1, "max_task_retries": retries},
        )

    def _left(self) -> int:
        counts = self._sink.counts
        return max(0, self._summary.to_do - counts.captioned - self._failed())

    def _failed(self) -> int:
        """Tracks, not attempts, that have no caption."""
        return self._sink.failed_tracks

    def _end(self, status: Status, reason: str = "") -> RunSummary:
        summary = self._record(status, reason)
        logger.info("%s: %d captioned, %d failed, %d left", status, summary.captioned, summary.failed, summary.left)
        return summary

    def _record(self, status: Status, reason: str = "") -> RunSummary:
        """Write `runs/<run_id>.json` as of now."""
        self._recorded = time.monotonic()
        counts = self._sink.counts
        first = self._first_result or self._recorded
        self._summary = replace(
            self._summary,
            status=status,
            reason=reason,
            captioned=counts.captioned,
            failed=self._failed(),
            left=self._left(),
            damaged=counts.damaged,
            failures_by_reason=dict(self._reasons.most_common()),
            audio_seconds=round(counts.audio_seconds, 3),
            wall_seconds=round(self._recorded - self._started, 3),
            startup_seconds=round(first - self._started, 3),
            stage_seconds={name: round(seconds, 3) for name, seconds in self._stage_seconds.items()},
            peak_memory_bytes={"driver": peak_bytes(), **self._peaks},
            rounds=self._rounds,
            ended_at=datetime.now(UTC).isoformat(timespec="seconds"),
        )
        self._tell_prometheus()
        record = {**asdict(self._summary), "real_time_factor": round(self._summary.real_time_factor, 2)}
        uri = storage.join(self._config.output, "runs", f"{self._summary.run_id}.json")
        try:
            storage.write_once(uri, json.dumps(record, indent=2).encode())
        except storage.StorageError as error:
            if status != "running" or not error.retryable:
                raise
            logger.warning("the run's record could not be renewed: %s", error)
        return self._summary

    def _tell_prometheus(self) -> None:
        """Report the totals as metrics, while there is a Ray to report to."""
        ray = sys.modules.get("ray")  # a run with nothing to do never imports it
        if ray is None or not ray.is_initialized():
            return
        self._metrics = self._metrics or RunMetrics(self._summary.run_id)
        self._metrics.update(
            captioned=self._summary.captioned,
            failed=self._summary.failed,
            left=self._summary.left,
            audio_seconds=self._summary.audio_seconds,
            wall_seconds=self._summary.wall_seconds,
            failures_by_reason=self._summary.failures_by_reason,
            stage_seconds=self._summary.stage_seconds,
        )

    def _progress(self, step: str = "") -> None:
        self.on_progress(
            Progress(
                total=self._summary.to_do,
                captioned=self._sink.counts.captioned,
                failed=self._failed(),
                step=step,
            )
        )
