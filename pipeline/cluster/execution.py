"""One execution of a Ray Dataset, and what its errors mean."""

import contextlib
import queue
import threading
from typing import TYPE_CHECKING, Any

from pipeline.cluster import ray_internals

if TYPE_CHECKING:
    import ray.data

ENDED = object()
"""What `Execution.next` returns after the last result."""


class Execution:
    """One Ray Data execution, consumed by a thread of its own so that the driver can do other work meanwhile."""

    def __init__(self, dataset: "ray.data.Dataset", *, skip_failed_blocks: bool, block_bytes: int) -> None:
        """Prepare an execution.

        Args:
            dataset: What to execute.
            skip_failed_blocks: Leave out a block whose task failed for good, instead of ending the execution.
            block_bytes: Size of the blocks between the stages.
        """
        self._dataset = dataset
        self._results: queue.Queue[Any] = queue.Queue(maxsize=64)
        self._abandoned = threading.Event()
        self.error: Exception | None = None
        """What ended the execution early."""
        context = dataset.context
        context.enable_progress_bars = False
        context.max_errored_blocks = -1 if skip_failed_blocks else 0
        context.target_max_block_size = block_bytes
        context.actor_init_retry_on_errors = False
        self._thread = threading.Thread(target=self._consume, name="muscaps-execution", daemon=True)

    def __enter__(self) -> "Execution":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._abandoned.set()
        if self._thread.is_alive():
            ray_internals.abort_execution(self._dataset)
        self._thread.join(timeout=5)

    def next(self, timeout: float) -> Any:
        """Return a table of results, `ENDED`, or None when nothing arrived within `timeout` seconds."""
        try:
            return self._results.get(timeout=timeout)
        except queue.Empty:
            return None

    def _consume(self) -> None:
        try:
            for batch in self._dataset.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
                if not self._put(batch):
                    return
        except Exception as error:  # the driver decides what to do about it
            self.error = error
        self._put(ENDED)

    def _put(self, item: Any) -> bool:
        while not self._abandoned.is_set():
            with contextlib.suppress(queue.Full):
                self._results.put(item, timeout=0.5)
                return True
        return False


def is_user_code_error(error: Exception) -> bool:
    """Whether an execution ended because our code raised, rather than because a machine or process was lost."""
    import ray.exceptions
    from ray.data.exceptions import UserCodeException  # type: ignore[attr-defined]

    if isinstance(error, UserCodeException):
        return True
    return isinstance(error, ray.exceptions.RayTaskError) and not isinstance(error.cause, ray.exceptions.RayError)


def root_cause(error: BaseException) -> str:
    """Return the last line of the innermost error; Ray's own messages run to pages."""
    while error.__cause__ is not None:
        error = error.__cause__
    return str(error).strip().rpartition("\n")[2] or type(error).__name__
