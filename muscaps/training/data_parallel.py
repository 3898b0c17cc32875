"""Data-parallel training whose result does not depend on the number of workers.

One process is a group of one. Several processes communicate through `torch.distributed`, which the program that starts
them sets up (gloo on CPUs, nccl on GPUs). A worker computes its share of every global batch. Gradients, sums and batch
statistics are those of all workers together.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import cast

import torch
import torch.distributed
import torch.distributed.nn.functional
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(frozen=True, kw_only=True)
class Workers:
    """The processes that train one model together."""

    rank: int = 0
    """Number of this process, from 0; process 0 writes checkpoints and reports."""
    size: int = 1
    """Number of processes."""

    @classmethod
    def present(cls) -> "Workers":
        """Return the group of this process; a group of one if `torch.distributed` is not set up."""
        if not torch.distributed.is_available() or not torch.distributed.is_initialized():
            return cls()
        return cls(rank=torch.distributed.get_rank(), size=torch.distributed.get_world_size())

    @property
    def first(self) -> bool:
        """Whether this process writes checkpoints."""
        return self.rank == 0

    def sum(self, values: Tensor) -> Tensor:
        """Return the sum of a tensor over all workers."""
        if self.size > 1:
            values = values.clone()
            torch.distributed.all_reduce(values)
        return values

    def total(self, value: float) -> float:
        """Return the sum of a value over all workers."""
        return value if self.size == 1 else self._reduce(value, torch.distributed.ReduceOp.SUM)

    def maximum(self, value: float) -> float:
        """Return the maximum of a value over all workers."""
        return value if self.size == 1 else self._reduce(value, torch.distributed.ReduceOp.MAX)

    @staticmethod
    def _reduce(value: float, operation: "torch.distributed.ReduceOp.RedOpType") -> float:
        shared = torch.tensor([value], dtype=torch.float64)
        if torch.distributed.get_backend() == "nccl":
            shared = shared.cuda()
        torch.distributed.all_reduce(shared, operation)
        return float(shared)

    def sum_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Sum gradients over all workers in place, with one message.

        Each worker's loss must be its share of the global batch's loss, so that the sum is the whole gradient.
        """
        if self.size == 1:
            return
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        torch.distributed.all_reduce(flat)
        start = 0
        for gradient in gradients:
            gradient.copy_(flat[start : start + gradient.numel()].view_as(gradient))
            start += gradient.numel()

    def average_buffers(self, module: nn.Module) -> None:
        """Replace batch-normalisation statistics by their mean over all workers."""
        if self.size > 1:
            for buffer in module.buffers():
                if buffer.is_floating_point():
                    torch.distributed.all_reduce(buffer)
                    buffer /= self.size


class SharedBatchNorm(nn.Module):
    """Batch normalisation over (batch, channels, ...) with statistics of the global batch, over all workers.

    It has the parameters and buffers of the `BatchNorm` that it replaces, under the same names. torch's `SyncBatchNorm`
    runs only on GPUs.
    """

    def __init__(self, norm: nn.BatchNorm1d | nn.BatchNorm2d, *, shared: bool = True) -> None:
        """Replace a layer; without `shared`, each worker uses the statistics of its own share."""
        super().__init__()
        self.weight, self.bias = norm.weight, norm.bias
        self.running_mean: Tensor
        self.running_var: Tensor
        self.num_batches_tracked: Tensor
        for name in ("running_mean", "running_var", "num_batches_tracked"):
            self.register_buffer(name, getattr(norm, name))
        self.eps = norm.eps
        self.momentum = 0.1 if norm.momentum is None else norm.momentum
        self.shared = shared
        self.train(norm.training)

    def forward(self, inputs: Tensor) -> Tensor:
        """Normalise a batch, (batch, channels, ...) -> the same shape."""
        if not (self.training and self.shared and Workers.present().size > 1):
            return F.batch_norm(
                inputs,
                self.running_mean,
                self.running_var,
                self.weight,
                self.bias,
                self.training,
                self.momentum,
                self.eps,
            )
        axes = [axis for axis in range(inputs.dim()) if axis != 1]
        shape = [1, -1] + [1] * (inputs.dim() - 2)
        values = inputs.float()
        own = torch.cat([values.sum(dim=axes), values.new_tensor([inputs.numel() / inputs.shape[1]])])
        total = _differentiable_sum(own)
        count = total[-1].detach()
        mean = total[:-1] / count
        centred = values - mean.view(shape)
        # A second reduction for the variance: the difference of two large sums would lose precision.
        variance = _differentiable_sum(centred.square().sum(dim=axes)) / count
        with torch.no_grad():
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * count / (count - 1), self.momentum)
        scale = (self.weight * (variance + self.eps).rsqrt()).view(shape)
        return (centred * scale + self.bias.view(shape)).to(inputs.dtype)


def _differentiable_sum(values: Tensor) -> Tensor:
    return cast(Tensor, torch.distributed.nn.functional.all_reduce(values))  # type: ignore[no-untyped-call]


def share_batch_norms(module: nn.Module, *, shared: bool = True) -> None:
    """Replace every batch normalisation of a module by a `SharedBatchNorm`; state dicts do not change."""
    for name, child in module.named_children():
        if isinstance(child, nn.BatchNorm1d | nn.BatchNorm2d):
            setattr(module, name, SharedBatchNorm(child, shared=shared))
        else:
            share_batch_norms(child, shared=shared)
