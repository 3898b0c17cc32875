"""Dropout whose masks are drawn per example, so that they do not depend on the batch."""

from collections.abc import Sequence

import torch
import torch.distributed
from torch import Tensor, nn


class ExampleDropout(nn.Module):
    """Dropout with one mask per example, set before every training step."""

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.probability = probability
        self.mask: Tensor | None = None

    def forward(self, values: Tensor) -> Tensor:
        """Apply the masks, (batch, steps, hidden) -> the same shape."""
        if not self.training or self.probability == 0:
            return values
        if self.mask is None:
            raise RuntimeError("ExampleDropout needs its mask before a training step")
        return values * self.mask.to(values.dtype) / (1 - self.probability)


def dropout_mask(shape: tuple[int, int], steps: Sequence[int], seeds: Sequence[int], probability: float) -> Tensor:
    """Draw the mask of every example from its own seed.

    Args:
        shape: Number of steps of the batch and width, (steps, hidden).
        steps: Number of steps of each example without padding; only these are drawn.
        seeds: One per example.
        probability: Probability of a zero.

    Returns:
        Zeros and ones, (batch, steps, hidden).
    """
    mask = torch.ones(len(seeds), *shape)
    for row, count, seed in zip(mask, steps, seeds, strict=True):
        generator = torch.Generator().manual_seed(seed)
        row[:count] = (torch.rand(count, shape[1], generator=generator) >= probability).float()
    return mask
