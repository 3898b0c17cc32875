"""Checkpoints of a training: last and best captioner."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from muscaps.checkpoint import load_checkpoint
from muscaps.models.muscaps import MusCaps
from muscaps.training.captioner_objective import CaptionerObjective
from muscaps.training.checkpoints import save_captioners
from muscaps.training.loop import TrainingLoop


def test_early_stopping_waits_for_its_patience_and_keeps_the_best(
    start: Callable[..., TrainingLoop[CaptionerObjective]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    training = start(patience=2, max_epochs=50)
    losses = iter([3.0, 2.0, 2.5, 2.4, 1.0])
    monkeypatch.setattr(
        training.objective, "scores", lambda decode: {"validation_loss": next(losses), "validation_cider": 0.0}
    )
    training.train()
    assert training.counters.epoch == 4
    assert training.counters.best_epoch == 2
    save_captioners(training, tmp_path, name="kept")
    best, last = load_checkpoint(tmp_path / "best"), load_checkpoint(tmp_path / "last")
    assert best.card["training"]["epoch"] == 2
    assert best.card["metrics"]["validation_loss"] == 2.0
    assert last.card["training"]["epoch"] == 4
    assert not torch.equal(best.model.output.bias, last.model.output.bias)


def test_models_train_on_from_what_they_saved(
    start: Callable[..., TrainingLoop[CaptionerObjective]], tmp_path: Path
) -> None:
    training = start("late")
    training.step(0, 0)
    save_captioners(training, tmp_path, name="kept")
    loaded = load_checkpoint(tmp_path / "last").model
    assert isinstance(loaded, MusCaps)
    state = training.objective.model.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in loaded.state_dict().items())
