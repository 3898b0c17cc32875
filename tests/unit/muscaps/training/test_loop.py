"""The training loop, with an objective that fits one number: early stopping, best weights, time limit, state."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from muscaps.config import TrainingConfig
from muscaps.training import loop as loop_module
from muscaps.training.data_parallel import Workers
from muscaps.training.loop import Progress, TrainingLoop, Validation


class FitNumber:
    """Moves a parameter from 0 towards 1; the validation scores are given."""

    keeps_best_weights = True
    stops_within_epoch = False
    batch_size = 1

    def __init__(self, scores: list[float], steps_per_epoch: int = 2, **settings: object) -> None:
        self.config = TrainingConfig(**{"learning_rate": 0.1, "max_epochs": len(scores), **settings})
        self.workers = Workers()
        self.steps_per_epoch = steps_per_epoch
        self.number = nn.Parameter(torch.zeros(1))
        self.parameters = [self.number]
        self.optimizer = torch.optim.Adam(self.parameters)
        self.progress: list[Progress] = []
        self._scores = scores

    def learning_rate(self, progress: Progress) -> float:
        self.progress.append(progress)
        return self.config.learning_rate

    def loss(self, epoch: int, step: int) -> Tensor:
        return (self.number - 1).square().sum()

    def after_step(self, steps: int) -> None:
        self.steps_before = steps

    def validate(self, epoch: int) -> Validation:
        return Validation(score=self._scores[epoch], metrics={"validation_score": self._scores[epoch]})

    def weights(self) -> dict[str, Tensor]:
        return {"number": self.number}

    def load_weights(self, weights: Mapping[str, Tensor]) -> None:
        self.number.data.copy_(weights["number"])


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a second pass between any two readings of the clock."""
    seconds = iter(range(1_000))
    monkeypatch.setattr(loop_module.time, "monotonic", lambda: float(next(seconds)))


def test_every_epoch_takes_all_its_steps_and_reports_its_metrics() -> None:
    objective = FitNumber([0.1, 0.2], steps_per_epoch=3)
    rows: list[Mapping[str, object]] = []
    loop = TrainingLoop(objective)
    loop.train(lambda metrics, save: rows.append(metrics))
    assert [row["epoch"] for row in rows] == [1, 2]
    assert [row["validation_score"] for row in rows] == [0.1, 0.2]
    assert (loop.counters.steps, objective.steps_before) == (6, 5)
    assert rows[0]["train_loss"] > rows[1]["train_loss"] > 0
    assert loop.counters.history == rows


def test_training_stops_when_the_score_has_not_improved_for_its_patience() -> None:
    loop = TrainingLoop(FitNumber([1.0, 3.0, 2.0, 2.9, 9.0], patience=2))
    loop.train()
    assert (loop.counters.epoch, loop.counters.best_epoch, loop.counters.best_score) == (4, 2, 3.0)


def test_an_equal_score_and_one_that_is_no_number_are_no_improvement() -> None:
    loop = TrainingLoop(FitNumber([1.0, 1.0, float("nan")]))
    loop.train()
    assert (loop.counters.best_epoch, loop.counters.stale_epochs) == (1, 2)


def test_the_weights_of_the_best_epoch_are_kept() -> None:
    loop, after_epoch = TrainingLoop(FitNumber([1.0, 3.0, 2.0])), []
    loop.train(lambda metrics, save: after_epoch.append(loop.objective.number.item()))
    assert loop.best_weights is not None
    assert loop.best_weights["number"].item() == after_epoch[1] != after_epoch[2]


def test_an_objective_may_do_without_best_weights() -> None:
    objective = FitNumber([1.0])
    objective.keeps_best_weights = False
    loop = TrainingLoop(objective)
    loop.train()
    assert loop.best_weights is None


def test_progress_counts_steps() -> None:
    loop = TrainingLoop(FitNumber([1.0, 1.0]))
    loop.train()
    assert [(p.step, p.total_steps, p.fraction) for p in loop.objective.progress] == [
        (0, 4, 0.0),
        (1, 4, 0.25),
        (2, 4, 0.5),
        (3, 4, 0.75),
    ]


def test_a_time_limit_ends_training_after_an_epoch(clock: None) -> None:
    loop = TrainingLoop(FitNumber([1.0] * 9, max_minutes=1 / 60))
    loop.train()
    assert (loop.counters.epoch, loop.counters.steps) == (1, 2)
    assert loop.progress().fraction == 1


def test_a_time_limit_ends_an_epoch_where_the_objective_allows_it(clock: None) -> None:
    objective = FitNumber([1.0] * 9, steps_per_epoch=50, max_minutes=3 / 60)
    objective.stops_within_epoch = True
    loop = TrainingLoop(objective)
    loop.train()
    assert (loop.counters.epoch, loop.counters.steps) == (1, 3)


def test_the_time_left_is_that_of_the_remaining_steps(clock: None) -> None:
    loop = TrainingLoop(FitNumber([1.0] * 4))
    loop.train()
    seconds = loop.counters.history[0]["seconds"]
    assert [row["eta_s"] for row in loop.counters.history] == pytest.approx([3 * seconds, 2 * seconds, seconds, 0])


def test_a_resumed_training_equals_an_uninterrupted_one(tmp_path: Path) -> None:
    scores = [1.0, 3.0, 2.0, 2.5]

    def save_second(metrics: Mapping[str, object], save: Callable[[Path], None]) -> None:
        if metrics["epoch"] == 2:
            save(tmp_path)

    uninterrupted, resumed = TrainingLoop(FitNumber(scores)), TrainingLoop(FitNumber(scores))
    uninterrupted.train(save_second)
    resumed.resume(tmp_path)
    resumed.train()
    assert torch.equal(resumed.objective.number, uninterrupted.objective.number)
    assert resumed.counters.best_epoch == 2
    assert resumed.best_weights is not None
    assert uninterrupted.best_weights is not None
    assert torch.equal(resumed.best_weights["number"], uninterrupted.best_weights["number"])


def test_training_with_a_state_directory_continues_an_earlier_call(tmp_path: Path) -> None:
    first = TrainingLoop(FitNumber([1.0, 2.0]))
    first.train_with_state(tmp_path / "state")
    calls: list[int] = []
    longer = TrainingLoop(FitNumber([1.0, 2.0, 3.0]))
    longer.train_with_state(tmp_path / "state", lambda: calls.append(longer.counters.epoch))
    assert calls == [3]


def test_a_state_of_another_model_is_refused(tmp_path: Path) -> None:
    loop = TrainingLoop(FitNumber([1.0]))
    loop.train_with_state(tmp_path)
    other = FitNumber([1.0])
    other.weights = lambda: {"other": other.number}  # type: ignore[method-assign]
    with pytest.raises(ValueError, match="does not fit the model: number, other"):
        TrainingLoop(other).resume(tmp_path)
