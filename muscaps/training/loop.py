"""The training loop of captioner and tagger: steps, epochs, early stopping, resuming.

An `Objective` defines what is trained: its batches, loss, optimiser, validation and weights. The loop is the same in
one process and in several processes of `torch.distributed`. A training that is resumed from `save_state` is identical
to an uninterrupted one, because objectives draw all random numbers from (seed, epoch, example).
"""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeAlias, TypeVar

import numpy as np
from torch import Tensor, nn
from torch.optim import Optimizer

from muscaps.config import TrainingConfig
from muscaps.training.data_parallel import Workers
from muscaps.training.state import Counters, TrainingState, has_state, load_state, save_state

logger = logging.getLogger(__name__)

Metrics: TypeAlias = Mapping[str, Any]
Reporter: TypeAlias = Callable[[Metrics, Callable[[Path], None]], None]
"""Called after every epoch with its metrics and a function that writes the state of the training to a directory."""


@dataclass(frozen=True, kw_only=True)
class Progress:
    """The progress of a training, on which learning-rate schedules depend."""

    step: int
    """Number of finished steps."""
    total_steps: int
    """Number of steps of `max_epochs` epochs."""
    fraction: float
    """Finished fraction, 0 to 1: by steps or by `max_minutes`, whichever is larger."""


@dataclass(frozen=True, kw_only=True)
class Validation:
    """The result of an epoch's validation."""

    score: float
    """Score for early stopping; higher is better."""
    metrics: Mapping[str, float]
    """Reported values, by name."""


class Objective(Protocol):
    """The interface of what a loop trains."""

    @property
    def config(self) -> TrainingConfig:
        """Settings of the training."""

    @property
    def workers(self) -> Workers:
        """The processes that train together."""

    @property
    def optimizer(self) -> Optimizer:
        """The optimiser of `parameters`."""

    @property
    def parameters(self) -> Sequence[nn.Parameter]:
        """The parameters that training changes."""

    @property
    def batch_size(self) -> int:
        """Number of examples in a global batch."""

    @property
    def steps_per_epoch(self) -> int:
        """Number of global batches in an epoch."""

    @property
    def keeps_best_weights(self) -> bool:
        """Whether the weights of the best epoch are kept in addition to the current ones."""

    @property
    def stops_within_epoch(self) -> bool:
        """Whether `max_minutes` may end an epoch before its last step."""

    def learning_rate(self, progress: Progress) -> float:
        """Return the learning rate of the next step."""

    def loss(self, epoch: int, step: int) -> Tensor:
        """Return this worker's share of a global batch's loss; the shares of all workers add up to the loss."""

    def after_step(self, steps: int) -> None:
        """Run after an optimisation step; `steps` is the number of steps before it."""

    def validate(self, epoch: int) -> Validation:
        """Score the validation split over all workers; `epoch` starts at 0."""

    def weights(self) -> dict[str, Tensor]:
        """Return all weights and statistics that training changes, by name."""

    def load_weights(self, weights: Mapping[str, Tensor]) -> None:
        """Load weights."""


ObjectiveT = TypeVar("ObjectiveT", bound=Objective)


class TrainingLoop(Generic[ObjectiveT]):
    """Trains one objective."""

    def __init__(self, objective: ObjectiveT) -> None:
        """Create a loop before its first epoch."""
        self.objective = objective
        self.counters = Counters()
        self.best_weights: Mapping[str, Tensor] | None = None

    def progress(self) -> Progress:
        """Return the progress of the training."""
        config, counters = self.objective.config, self.counters
        total_steps = config.max_epochs * self.objective.steps_per_epoch
        fraction = counters.steps / total_steps
        if config.max_minutes is not None:
            fraction = max(fraction, counters.elapsed_s / (60 * config.max_minutes))
        return Progress(step=counters.steps, total_steps=total_steps, fraction=min(1.0, fraction))

    def finished(self) -> bool:
        """Return whether the limit of epochs, patience or time is reached."""
        config, counters = self.objective.config, self.counters
        return (
            counters.epoch >= config.max_epochs or counters.stale_epochs >= config.patience or self._time_is_used_up()
        )

    def _time_is_used_up(self) -> bool:
        max_minutes = self.objective.config.max_minutes
        return max_minutes is not None and self.counters.elapsed_s >= 60 * max_minutes

    def train(self, report: Reporter | None = None) -> None:
        """Train until `finished`; `report` is called after every epoch."""
        while not self.finished():
            metrics = self._train_epoch()
            if report is not None:
                report(metrics, self.save_state)

    def train_with_state(self, directory: Path, on_epoch: Callable[[], object] | None = None) -> None:
        """Train in this process: resume from a directory's state if it has one, and write it after every epoch.

        Args:
            directory: Directory of the state.
            on_epoch: Called after each write of the state.
        """
        if has_state(directory):
            self.resume(directory)

        def report(_: Metrics, save: Callable[[Path], None]) -> None:
            save(directory)
            if on_epoch is not None:
                on_epoch()

        self.train(report)

    def step(self, epoch: int, step: int) -> float:
        """Take one optimisation step; return this worker's share of the global batch's loss."""
        objective = self.objective
        loss = objective.loss(epoch, step)
        rate = objective.learning_rate(self.progress())
        for group in objective.optimizer.param_groups:
            group["lr"] = rate
        objective.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        objective.workers.sum_gradients(objective.parameters)
        nn.utils.clip_grad_norm_(objective.parameters, objective.config.gradient_clip)
        objective.optimizer.step()
        objective.after_step(self.counters.steps)
        self.counters.steps += 1
        return float(loss.detach())

    def _train_epoch(self) -> Metrics:
        """Take an epoch's steps, validate, and record the metrics."""
        objective, counters, workers = self.objective, self.counters, self.objective.workers
        began, elapsed_before = time.monotonic(), counters.elapsed_s
        losses = []
        for step in range(objective.steps_per_epoch):
            losses.append(self.step(counters.epoch, step))
            if objective.stops_within_epoch and objective.config.max_minutes is not None:
                counters.elapsed_s = elapsed_before + workers.maximum(time.monotonic() - began)
                if self._time_is_used_up():
                    break
        train_seconds = time.monotonic() - began
        validation = objective.validate(counters.epoch)
        seconds = workers.maximum(time.monotonic() - began)
        counters.elapsed_s = elapsed_before + seconds
        counters.epoch += 1
        self._record_score(validation.score)
        metrics = {
            "epoch": counters.epoch,
            "train_loss": workers.total(float(np.mean(losses))),
            **validation.metrics,
            "learning_rate": objective.optimizer.param_groups[0]["lr"],
            "examples_per_s": len(losses) * objective.batch_size / train_seconds,
            "seconds": seconds,
            "elapsed_s": counters.elapsed_s,
            "best_epoch": counters.best_epoch,
            "eta_s": counters.elapsed_s * (1 / max(self.progress().fraction, 1e-6) - 1),
        }
        counters.history.append(metrics)
        shown = ", ".join(f"{name} {metrics[name]:.4f}" for name in ("train_loss", *validation.metrics))
        logger.info("epoch %d: %s, %.1f s", counters.epoch, shown, seconds)
        return metrics

    def _record_score(self, score: float) -> None:
        """Compare the finished epoch's score with the best one."""
        counters = self.counters
        if not score > counters.best_score:  # also true for NaN
            counters.stale_epochs += 1
            return
        counters.best_score, counters.best_epoch, counters.stale_epochs = score, counters.epoch, 0
        if self.objective.keeps_best_weights:
            weights = self.objective.weights()
            self.best_weights = {name: value.detach().cpu().clone() for name, value in weights.items()}

    def save_state(self, directory: Path) -> None:
        """Write the state of the training to a directory."""
        state = TrainingState(
            weights=self.objective.weights(),
            best_weights=self.best_weights,
            optimizer=self.objective.optimizer.state_dict()["state"],
            counters=self.counters,
        )
        save_state(directory, state)

    def resume(self, directory: Path) -> None:
        """Load the state that `save_state` wrote.

        Raises:
            ValueError: The state has another format, or does not fit the objective.
        """
        state = load_state(directory)
        expected = set(self.objective.weights())
        if set(state.weights) != expected:
            different = sorted(set(state.weights) ^ expected)[:3]
            raise ValueError(f"{directory}: the state does not fit the model: {', '.join(different)}")
        self.objective.load_weights(state.weights)
        self.best_weights = state.best_weights
        optimizer = self.objective.optimizer
        optimizer.load_state_dict({**optimizer.state_dict(), "state": state.optimizer})
        self.counters = state.counters
