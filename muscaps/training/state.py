"""The state of a training, from which it resumes: one file format for captioner and tagger.

A state is `state.safetensors` in a directory of its own: the tensors `weights.*`, `best.*` (where the best weights are
kept) and `optimizer.<parameter>.<name>`, and in the file's metadata `format_version` and the counters as JSON. It holds
no random number generator: everything random is drawn from (seed, epoch, example).
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
    """How far a training has come."""

    epoch: int = 0
    """Epochs finished."""
    steps: int = 0
    """Optimisation steps taken."""
    elapsed_s: float = 0.0
    """Seconds of all epochs, validation included."""
    best_score: float = -math.inf
    """Best validation score so far; higher is better."""
    best_epoch: int = 0
    """Epoch of the best score, from 1; 0 before the first."""
    stale_epochs: int = 0
    """Epochs since the best score."""
    history: list[dict[str, Any]] = field(default_factory=list)
    """Metrics of every epoch."""


@dataclass(frozen=True, kw_only=True)
class TrainingState:
    """Everything a training needs to resume."""

    weights: Mapping[str, Tensor]
    """Weights and statistics that training changes, by name."""
    best_weights: Mapping[str, Tensor] | None
    """The weights of the best epoch; None where they are not kept."""
    optimizer: Mapping[int, Mapping[str, Tensor]]
    """The optimiser's tensors, by parameter."""
    counters: Counters
    """How far the training has come."""


def has_state(directory: Path) -> bool:
    """Return whether a directory holds a state."""
    return (directory / STATE_FILE).exists()


def save_state(directory: Path, state: TrainingState) -> None:
    """Write a state; an interrupted write leaves the previous one in place."""
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
                f"{FORMAT_VERSION!r}; remove the folder to start anew"
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
