"""What a captioning run needs of Ray: a session to work in, an execution of a Dataset, a flag that drains it."""

import contextlib
import math
import queue
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.cluster import embedded_ray

if TYPE_CHECKING:
    import ray.data

ENDED = object()


class Execution:
    """One Ray Data execution, consumed by a thread of its own so that the driver can look after other things."""

    def __init__(self, dataset: "ray.data.Dataset", *, keep_going: bool, block_bytes: int) -> None:
        """Prepare an execution.

        Args:
            dataset: What to execute.
            keep_going: Whether a block whose task failed for good is left out, rather than ending the execution.
            block_bytes: PCM handed over at a time.
        """
        self._dataset = dataset
        self._results: queue.Queue[Any] = queue.Queue(maxsize=64)
        self._left = threading.Event()
        self.error: Exception | None = None
        context = dataset.context
        context.enable_progress_bars = False
        context.max_errored_blocks = -1 if keep_going else 0
        context.target_max_block_size = block_bytes
        context.actor_init_retry_on_errors = False
        self._thread = threading.Thread(target=self._consume, name="muscaps-execution", daemon=True)

    def __enter__(self) -> "Execution":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._left.set()
        executor = getattr(self._dataset, "_current_executor", None)
        if self._thread.is_alive() and executor is not None:
            with contextlib.suppress(Exception):  # whatever state it is in, it is being thrown away
                executor.shutdown(force=True)
        self._thread.join(timeout=5)

    def next(self, timeout: float) -> Any:
        """A table of results, `ENDED`, or None where nothing came in time."""
        try:
            return self._results.get(timeout=timeout)
        except queue.Empty:
            return None

    def _consume(self) -> None:
        try:
            for batch in self._dataset.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
                if not self._put(batch):
                    return
        except Exception as error:  # whatever ends an execution is judged by the driver
            self.error = error
        self._put(ENDED)

    def _put(self, item: Any) -> bool:
        while not self._left.is_set():
            with contextlib.suppress(queue.Full):
                self._results.put(item, timeout=0.5)
                return True
        return False


class Session:
    """The Ray a run works on, started and left again as a context."""

    def __init__(self, address: str | None, *, cpus: int | None, gpus: int | None) -> None:
        """Prepare a session.

        Args:
            address: Of a cluster; None for an embedded Ray, or the one the caller has started.
            cpus: Cores for an embedded Ray; None for all.
            gpus: GPUs to caption on; None for as many as there are.
        """
        self._address, self._cpus, self._gpus = address, cpus, gpus
        self.owned = not embedded_ray.is_running()

    def __enter__(self) -> "Session":
        if self.owned:
            embedded_ray.start_ray(self._address, num_cpus=self._cpus)
        try:
            self._look_around()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self.owned:
            embedded_ray.stop_ray()

    def _look_around(self) -> None:
        self.num_cpus, found = embedded_ray.cluster_size()
        if self._gpus is not None and self._gpus > found and self._address is None:
            raise ValueError(f"gpus={self._gpus} were asked for, but Ray finds {found} here")
        self.num_gpus = found if self._gpus is None else self._gpus

    def restart(self) -> None:
        """Begin afresh after trouble, where Ray is ours to restart."""
        if self.owned:
            embedded_ray.stop_ray()
            embedded_ray.start_ray(self._address, num_cpus=self._cpus)
            self._look_around()

    def checkpoint(self, directory: Path) -> str | dict[str, bytes]:
        """The checkpoint as workers need it: its directory here, its content for other machines."""
        if self._address is None:
            return str(directory.resolve())
        return {path.name: path.read_bytes() for path in sorted(directory.iterdir()) if path.is_file()}

    def drain(self, run_id: str) -> None:
        """Tell the decode tasks to begin no further track."""
        from ray.experimental.internal_kv import _internal_kv_put

        with contextlib.suppress(Exception):  # a cluster that no longer answers needs no telling
            _internal_kv_put(_drain_key(run_id), b"1")


@dataclass(frozen=True)
class DrainFlag:
    """Asks the cluster, at most once a second a process, whether a run is to begin no further track."""

    run_id: str

    def __call__(self) -> bool:
        now = time.monotonic()
        asked, answer = _drain_answers.get(self.run_id, (-math.inf, False))
        if not answer and now - asked > 1.0:
            from ray.experimental.internal_kv import _internal_kv_get

            try:
                answer = _internal_kv_get(_drain_key(self.run_id)) is not None
            except Exception:  # an unreachable cluster ends the task by itself
                answer = False
            _drain_answers[self.run_id] = (now, answer)
        return answer


_drain_answers: dict[str, tuple[float, bool]] = {}


def _drain_key(run_id: str) -> bytes:
    return f"muscaps:{run_id}:drain".encode()


def is_our_fault(error: Exception) -> bool:
    """Whether an execution ended because our code raised, rather than because a machine or process went away."""
    import ray.exceptions
    from ray.data.exceptions import UserCodeException  # type: ignore[attr-defined]

    if isinstance(error, UserCodeException):
        return True
    return isinstance(error, ray.exceptions.RayTaskError) and not isinstance(error.cause, ray.exceptions.RayError)


def cause_of(error: BaseException) -> str:
    """The last line of the innermost error, which is the one that says something."""
    while error.__cause__ is not None:
        error = error.__cause__
    return str(error).strip().rpartition("\n")[2] or type(error).__name__
