"""The state of a training, for resuming it: one file format for captioner and tagger.

A state is the file `state.safetensors` in its own directory. It has the tensors `weights.*`, `best.*` (if the best
weights are kept) and `optimizer.<parameter>.<name>`. Its metadata has `format_version` and the counters as JSON. It has
no random number generators, because all random numbers are drawn from (seed, epoch, example).
"""

import json
import math
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

STATE_FILE = "state.safetensors"
FORMAT_VERSION = "1"


@dataclass(kw_only=True)
class Counters:
    """The counters of a training."""

    epoch: int = 0
    """Number of finished epochs."""
    steps: int = 0
    """Number of finished optimisation steps."""
    elapsed_s: float = 0.0
    """Duration of all epochs in seconds, with validation."""
    best_score: float = -math.inf
    """Best validation score; higher is better."""
    best_epoch: int = 0
    """Epoch of the best score, from 1; 0 before the first epoch."""
    stale_epochs: int = 0
    """Number of epochs since the best score."""
    history: list[dict[str, Any]] = field(default_factory=list)
    """Metrics of every epoch."""


@dataclass(frozen=True, kw_only=True)
class TrainingState:
    """All data that a training needs to resume."""

    weights: Mapping[str, Tensor]
    """Weights and statistics that training changes, by name."""
    best_weights: Mapping[str, Tensor] | None
    """The weights of the best epoch; None if they are not kept."""
    optimizer: Mapping[int, Mapping[str, Tensor]]
    """The optimiser's tensors, by parameter."""
    counters: Counters
    """The counters of the training."""


def has_state(directory: Path) -> bool:
    """Return whether a directory has a state."""
    return (directory / STATE_FILE).exists()


def save_state(directory: Path, state: TrainingState) -> None:
    """Write a state; after an interrupted write the previous state remains."""
    tensors = {f"weights.{name}": value for name, value in state.weights.items()}
    tensors |= {f"best.{name}": value for name, value in (state.best_weights or {}).items()}
    for index, values in state.optimizer.items():
        tensors |= {f"optimizer.{index}.{name}": value for name, value in values.items()}
    tensors = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
    metadata = {"format_version": FORMAT_VERSION, "counters": json.dumps(asdict(state.counters))}
    directory.mkdir(parents=True, exist_ok=True)
    partial = directory / f"{STATE_FILE}.partial"
    save_file(tensors, partial, metadata=metadata)
    os.replace(partial, directory / STATE_FILE)


def load_state(directory: Path) -> TrainingState:
    """Read a state, on the CPU.

    Raises:
        ValueError: The state has another format.
    """
    with safe_open(directory / STATE_FILE, "pt") as stream:
        metadata = stream.metadata() or {}
        if metadata.get("format_version") != FORMAT_VERSION:
            raise ValueError(
                f"{directory / STATE_FILE}: format_version {metadata.get('format_version')!r} is not "
                f"{FORMAT_VERSION!r}; remove the folder to start again"
            )
        tensors = {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118
    optimizer: dict[int, dict[str, Tensor]] = {}
    for name, value in _with_prefix(tensors, "optimizer.").items():
        index, key = name.split(".")
        optimizer.setdefault(int(index), {})[key] = value
    return TrainingState(
        weights=_with_prefix(tensors, "weights."),
        best_weights=_with_prefix(tensors, "best.") or None,
        optimizer=optimizer,
        counters=Counters(**json.loads(metadata["counters"])),
    )


def _with_prefix(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
