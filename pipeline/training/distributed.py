"""Ray Train around a training loop: workers, checkpoints, resuming, progress.

Every epoch's end is a checkpoint in `OUTPUT/ray`: the state to resume from and, for captioners, the best and the
last model. A worker that dies is replaced and the group resumes from the last checkpoint; so does a new call
after the driver died. On a cluster, OUTPUT and the dataset must be paths that every machine sees.
"""

import json
import logging
import os
import tempfile
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, wait
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from pipeline.cluster.session import cluster_size

if TYPE_CHECKING:
    from ray.train import Result

MAX_FAILURES = 3
"""Times a run goes on after losing workers."""


Metrics = Mapping[str, Any]


OnEpoch = Callable[[Metrics], None]


@dataclass(frozen=True, kw_only=True)
class Hardware:
    """What a training runs on."""

    num_workers: int = 1
    """Data-parallel processes."""
    use_gpu: bool = False
    """One GPU each (nccl); else CPUs (gloo)."""
    threads: int | None = None
    """CPU threads of each; None shares out what there is."""
    address: str | None = None
    """Ray cluster; None starts Ray here."""
    num_cpus: int | None = None
    """CPUs of a Ray started here."""

    def __post_init__(self) -> None:
        if self.num_workers < 1:
            raise ValueError(f"num_workers must be at least 1, not {self.num_workers}")
        if self.threads is not None and self.threads < 1:
            raise ValueError(f"threads must be at least 1, not {self.threads}")


class _Board:
    """Where the first worker hangs out its metrics and the driver reads them."""

    def __init__(self) -> None:
        self._rows: list[dict[str, Any]] = []

    def put(self, row: dict[str, Any]) -> None:
        self._rows.append(row)

    def since(self, count: int) -> list[dict[str, Any]]:
        return self._rows[count:]


def fit(
    loop: Callable[[dict[str, Any]], None],
    run: Any,
    output: Path,
    hardware: Hardware,
    on_epoch: OnEpoch | None,
) -> "Result":
    """Run a loop on Ray Train's workers, from the last checkpoint if there is one."""
    import ray
    from ray.train import CheckpointConfig, FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer

    cpus, _ = cluster_size()
    if hardware.num_workers > cpus:
        raise ValueError(f"num_workers={hardware.num_workers} exceeds the {cpus} CPUs that Ray has")
    threads = hardware.threads or max(1, cpus // hardware.num_workers)
    board: Any = ray.remote(num_cpus=0)(_Board).remote()
    trainer = TorchTrainer(
        loop,
        train_loop_config={"run": run, "board": board, "threads": threads},
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
    fitting: Future[Result] = Future()

    def fit() -> None:
        try:
            fitting.set_result(trainer.fit())
        except BaseException as error:
            fitting.set_exception(error)

    # In a thread of its own: in the main one Ray would take Ctrl-C for itself and end the process.
    threading.Thread(target=fit, daemon=True).start()
    seen = 0
    while True:
        ended = bool(wait([fitting], timeout=0.5).done)
        for row in _rows_since(board, seen):
            seen += 1
            if on_epoch is not None:
                on_epoch(row)
        if ended:
            return fitting.result()


def _rows_since(board: Any, seen: int) -> list[Metrics]:
    """What the board shows beyond the first `seen` rows; nothing if it does not answer."""
    import ray

    try:
        rows: list[Metrics] = ray.get(board.since.remote(seen), timeout=10)
    except ray.exceptions.RayError:  # busy, or the cluster is gone, and then fit() says why
        return []
    return rows


def set_up_worker(config: dict[str, Any]) -> str:
    """Prepare a worker process; return its device."""
    from ray.train.torch import get_device

    logging.getLogger("muscaps").setLevel(logging.INFO)
    torch.set_num_threads(config["threads"])
    torch.use_deterministic_algorithms(True, warn_only=True)
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    return str(get_device())


def resume_from_checkpoint(training: Any) -> None:
    import ray.train

    checkpoint = ray.train.get_checkpoint()
    if checkpoint is not None:
        with checkpoint.as_directory() as directory:
            training.resume(Path(directory) / "state")


def epoch_reporter(
    training: Any, board: Any, save_models: Callable[[Path], None]
) -> Callable[[Metrics, Callable[[Path], None]], None]:
    """Make the function that a training calls after every epoch."""
    import ray.train

    def report(metrics: Metrics, save_state: Callable[[Path], None]) -> None:
        plain = {key: value for key, value in metrics.items() if isinstance(value, int | float)}
        if not training.workers.first:
            ray.train.report(plain)
            return
        with tempfile.TemporaryDirectory(prefix="muscaps-epoch-") as name:
            directory = Path(name)
            save_state(directory / "state")
            save_models(directory)
            (directory / "history.json").write_text(json.dumps(training.history), encoding="utf-8")
            ray.train.report(plain, checkpoint=ray.train.Checkpoint.from_directory(directory))
        board.put.remote(plain)

    return report


def checkpoint_directory(result: "Result") -> Any:
    """A context with the last checkpoint's content."""
    if result.checkpoint is None:
        raise RuntimeError("the training ended without a checkpoint")
    return _AsPath(result.checkpoint)


class _AsPath:
    def __init__(self, checkpoint: Any) -> None:
        self._context = checkpoint.as_directory()

    def __enter__(self) -> Path:
        return Path(self._context.__enter__())

    def __exit__(self, *error: object) -> None:
        self._context.__exit__(*error)
