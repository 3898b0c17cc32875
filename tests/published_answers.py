"""Outputs of the published program, and the seeded weights that it was run with; see data/README.md."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tests.data.parity import seeded

FOLDER = Path(__file__).parent / "data" / "parity"
PARITY: dict[str, Any] = json.loads((FOLDER / "parity.json").read_text())


def published_weights(shapes: Mapping[str, Any], eos_bias: float = 0.0) -> dict[str, torch.Tensor]:
    """A whole published state dict; the buffers that modules compute for themselves are all ones."""
    weights = {}
    for key, (shape, _) in shapes.items():
        value = seeded.weight(key, shape, seed=PARITY["seed"], eos_bias=eos_bias)
        weights[key] = torch.ones(shape) if value is None else torch.from_numpy(np.asarray(value))
    return weights
