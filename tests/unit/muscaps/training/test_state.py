"""The state file: written and read, whole or not at all."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from muscaps.training import state as state_module
from muscaps.training.state import STATE_FILE, Counters, TrainingState, has_state, load_state, save_state


def a_state(epoch: int = 3, best: bool = True) -> TrainingState:
    return TrainingState(
        weights={"layer.weight": torch.arange(4.0)},
        best_weights={"layer.weight": torch.ones(4)} if best else None,
        optimizer={0: {"exp_avg": torch.full((4,), 0.5), "step": torch.tensor(7.0)}},
        counters=Counters(epoch=epoch, steps=7, best_score=0.25, history=[{"epoch": 1, "loss": 2.0}]),
    )


def test_a_state_reads_back_what_was_written(tmp_path: Path) -> None:
    save_state(tmp_path / "state", a_state())
    found = load_state(tmp_path / "state")
    assert found.counters == a_state().counters
    assert torch.equal(found.weights["layer.weight"], torch.arange(4.0))
    assert found.best_weights is not None
    assert torch.equal(found.best_weights["layer.weight"], torch.ones(4))
    assert set(found.optimizer[0]) == {"exp_avg", "step"}


def test_best_weights_may_be_absent(tmp_path: Path) -> None:
    save_state(tmp_path, a_state(best=False))
    assert load_state(tmp_path).best_weights is None


def test_counters_of_a_fresh_training_survive_json(tmp_path: Path) -> None:
    state = TrainingState(weights={"a": torch.zeros(1)}, best_weights=None, optimizer={}, counters=Counters())
    save_state(tmp_path, state)
    assert load_state(tmp_path).counters == Counters()


def test_an_interrupted_write_leaves_the_previous_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_state(tmp_path, a_state(epoch=1))

    def fail(*_: object, **__: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(state_module, "save_file", fail)
    with pytest.raises(OSError, match="no space left"):
        save_state(tmp_path, a_state(epoch=2))
    assert load_state(tmp_path).counters.epoch == 1


def test_another_format_is_refused(tmp_path: Path) -> None:
    assert not has_state(tmp_path)
    save_file({"model.a": torch.zeros(1)}, tmp_path / STATE_FILE, metadata={"counters": "{}"})
    assert has_state(tmp_path)
    with pytest.raises(ValueError, match="format_version None is not '1'; remove the folder to start again"):
        load_state(tmp_path)
