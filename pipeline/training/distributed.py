"""Ray Train around a training loop: workers, checkpoints, resuming, progress.

Every epoch's end is a checkpoint in `OUTPUT/ray`: the state to resume from and, for captioners, the best and the last
model. When a worker process ends, the group restarts from the last checkpoint; so does a new call after the driver
ended. On a cluster, OUTPUT and the dataset must be paths that every machine sees.
"""

import contextlib
import json
import logging
import os
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, wait
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from muscaps.training.loop import Metrics, TrainingLoop
from pipeline.cluster.address import check_address
from pipeline.cluster.session import cluster_size

if TYPE_CHECKING:
    from ray.train import Result
    from ray.train.torch import TorchTrainer

MAX_FAILURES = 3
"""Times a run restarts after losing workers."""
STATE, HISTORY = "state", "history.json"
"""In a checkpoint: the loop's state, and the metrics of every epoch."""

OnEpoch = Callable[[Metrics], None]
"""Called with every epoch's metrics."""
WorkerLoop = Callable[[dict[str, Any]], None]
"""Runs in each worker process; its argument holds `run`, `metrics` (a `_MetricsQueue` actor) and `threads`."""


@dataclass(frozen=True, kw_only=True)
class Hardware:
    """Workers and devices of a training."""

    num_workers: int = 1
    """Number of data-parallel processes."""
    use_gpu: bool = False
    """Whether each process uses a GPU (nccl); otherwise CPUs (gloo)."""
    threads: int | None = None
    """CPU threads of each process; None to divide the CPUs evenly."""
    address: str | None = None
    """Ray cluster; None to start Ray on this machine."""
    num_cpus: int | None = None
    """CPUs of Ray if it is started on this machine."""

    def __post_init__(self) -> None:
        check_address(self.address)
        if self.num_workers < 1:
            raise ValueError(f"num_workers must be at least 1, not {self.num_workers}")
        if self.threads is not None and self.threads < 1:
            raise ValueError(f"threads must be at least 1, not {self.threads}")


class _MetricsQueue:
    """Actor to which the first worker sends its metrics, and from which the driver reads them."""

    def __init__(self) -> None:
        self._rows: list[Metrics] = []

    def put(self, row: Metrics) -> None:
        self._rows.append(row)

    def since(self, count: int) -> list[Metrics]:
        return self._rows[count:]


def fit(worker_loop: WorkerLoop, run: Any, output: Path, hardware: Hardware, on_epoch: OnEpoch | None) -> "Result":
    """Run a training loop on the workers of Ray Train, from the last checkpoint if there is one.

    Args:
        worker_loop: Function that each worker process runs.
        run: Settings of the training, which are sent to the workers.
        output: Folder of the run.
        hardware: The workers.
        on_epoch: Called with every epoch's metrics.

    Raises:
        ValueError: There are more workers than CPUs.
    """
    import ray

    cpus, _ = cluster_size()
    if hardware.num_workers > cpus:
        raise ValueError(f"num_workers={hardware.num_workers} exceeds the {cpus} CPUs that Ray has")
    threads = hardware.threads or max(1, cpus // hardware.num_workers)
    queue: Any = ray.remote(num_cpus=0)(_MetricsQueue).remote()
    trainer = _trainer(worker_loop, {"run": run, "metrics": queue, "threads": threads}, output, hardware)
    fitting: Future[Result] = Future()

    def fit_trainer() -> None:
        try:
            fitting.set_result(trainer.fit())
        except BaseException as error:
            fitting.set_exception(error)

    # In a separate thread, because in the main thread Ray would handle Ctrl-C itself and end the process.
    threading.Thread(target=fit_trainer, daemon=True).start()
    reported = 0
    while True:
        ended = bool(wait([fitting], timeout=0.5).done)
        for row in _rows_since(queue, reported):
            reported += 1
            if on_epoch is not None:
                on_epoch(row)
        if ended:
            return fitting.result()


def _trainer(worker_loop: WorkerLoop, config: dict[str, Any], output: Path, hardware: Hardware) -> "TorchTrainer":
    from ray.train import CheckpointConfig, FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer

    return TorchTrainer(
        worker_loop,
        train_loop_config=config,
        scaling_config=ScalingConfig(
            num_workers=hardware.num_workers,
            use_gpu=hardware.use_gpu,
            resources_per_worker={"CPU": 1, **({"GPU": 1} if hardware.use_gpu else {})},
        ),
        run_config=RunConfig(
            name="ray",
            storage_path=str(output.resolve()),
            failure_config=FailureConfig(max_failures=MAX_FAILURES),
            checkpoint_config=CheckpointConfig(num_to_keep=1),
        ),
    )


def _rows_since(queue: Any, count: int) -> list[Metrics]:
    """Return the rows after the first `count`; none if the actor does not respond."""
    import ray

    try:
        rows: list[Metrics] = ray.get(queue.since.remote(count), timeout=10)
    except ray.exceptions.RayError:  # busy, or the cluster is gone, and then fit() raises the reason
        return []
    return rows


def set_up_worker(config: Mapping[str, Any]) -> str:
    """Prepare a worker process; return its device."""
    from ray.train.torch import get_device

    logging.getLogger("muscaps").setLevel(logging.INFO)
    torch.set_num_threads(config["threads"])
    torch.use_deterministic_algorithms(True, warn_only=True)
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    return str(get_device())


def train_in_worker(loop: TrainingLoop[Any], config: Mapping[str, Any], save_models: Callable[[Path], None]) -> None:
    """Train from the last checkpoint, if any, and report a checkpoint after every epoch.

    Args:
        loop: The training, before its first epoch.
        config: The worker loop's argument.
        save_models: Writes the models of the finished epoch into a directory; called in the first worker only.
    """
    import ray.train

    checkpoint = ray.train.get_checkpoint()
    if checkpoint is not None:
        with checkpoint.as_directory() as directory:
            loop.resume(Path(directory) / STATE)

    def report(metrics: Metrics, save_state: Callable[[Path], None]) -> None:
        plain = {key: value for key, value in metrics.items() if isinstance(value, int | float)}
        if not loop.objective.workers.first:
            ray.train.report(plain)
            return
        with tempfile.TemporaryDirectory(prefix="muscaps-epoch-") as name:
            directory = Path(name)
            save_state(directory / STATE)
            save_models(directory)
            (directory / HISTORY).write_text(json.dumps(loop.counters.history), encoding="utf-8")
            ray.train.report(plain, checkpoint=ray.train.Checkpoint.from_directory(directory))
        config["metrics"].put.remote(plain)

    loop.train(report)


@contextlib.contextmanager
def last_checkpoint(result: "Result") -> Iterator[Path]:
    """Give access to the last checkpoint's files.

    Raises:
        RuntimeError: There is none.
    """
    if result.checkpoint is None:
        raise RuntimeError("the training ended without a checkpoint")
    with result.checkpoint.as_directory() as directory:
        yield Path(directory)


def read_history(checkpoint: Path) -> list[dict[str, Any]]:
    """Return the metrics of every epoch from a checkpoint's files."""
    history: list[dict[str, Any]] = json.loads((checkpoint / HISTORY).read_text(encoding="utf-8"))
    return history
