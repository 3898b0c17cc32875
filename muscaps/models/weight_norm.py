"""A linear layer with weight normalisation: the captioner's output layer."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class WeightNormLinear(nn.Module):
    """A linear layer whose rows are a length times a direction (Salimans and Kingma, 2016)."""

    def __init__(self, in_dim: int, out_dim: int) -> None:
        super().__init__()
        direction = torch.empty(out_dim, in_dim).uniform_(-0.1, 0.1)
        self.direction = nn.Parameter(direction)
        self.length = nn.Parameter(direction.norm(dim=1, keepdim=True))
        self.bias = nn.Parameter(torch.zeros(out_dim))

    def weight(self) -> Tensor:
        """Return the weight matrix, (out, in)."""
        norm: Tensor = self.direction.norm(dim=1, keepdim=True)
        return self.direction * (self.length / norm)

    def forward(self, inputs: Tensor) -> Tensor:
        """(..., in) -> (..., out)."""
        return F.linear(inputs, self.weight(), self.bias)
