"""Musicnn's training pass, arranged for speed: its tall filters cost nine tenths of the arithmetic.

Two rearrangements, neither of which changes what the trained network computes:

- The maximum over frequency comes before batch normalisation, not after: the same function as long as the
  normalisation's scale is positive (`keep_scales_positive`), on a thirtieth of the values. While training, the
  statistics are therefore those of the maxima.
- A filter 67 bands tall is a one-dimensional convolution with 67 input channels at every shift along the bands:
  a matrix product that keeps a CPU's bfloat16 units busy. Measured on one core of an AMD EPYC with AVX-512
  bf16, 16 chunks, 80 filters of 67 and 80 of 38 bands: 204 GFLOP/s against 107 (bfloat16) and 68 (float32) for
  the plain convolution; a whole training step 70 chunks/s and core.

The input's own normalisation keeps fixed statistics, so that no gradient has to reach the spectrogram.
"""

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from muscaps.models.feature_extractor import FeatureExtractor
from muscaps.models.musicnn import Musicnn
from muscaps.models.spectrograms import N_MELS

_EXAMPLES_AT_A_TIME = 2  # their products fit in the cache; more only cost page faults
_SHIFTS_PER_BLOCK = 8
_MIN_SCALE = 1e-3


def _bands_as_channels(spectrogram: Tensor, height: int) -> Tensor:
    """(batch, frames, mels) -> every stretch of `height` bands, (batch * shifts, height, 1, frames) channels last."""
    windows = spectrogram.unfold(2, height, 1).permute(0, 2, 1, 3)  # (batch, shifts, frames, height)
    return windows.flatten(0, 1).contiguous().unsqueeze(1).permute(0, 3, 1, 2)


class _TallConvolutionMax(torch.autograd.Function):
    """Convolve with tall filters and take the maximum over all shifts along the bands.

    The index of the largest shift travels in the low bits of the float32 product, which bfloat16 leaves empty:
    one vectorised maximum finds both. The backward pass convolves the sparse gradient again, densely.
    """

    @staticmethod
    def forward(ctx: Any, spectrogram: Tensor, weight: Tensor) -> Tensor:
        """(batch, frames + width - 1, mels) bfloat16, (channels, 1, height, width) -> (batch, frames, channels)."""
        channels, _, height, width = weight.shape
        shifts, frames = spectrogram.shape[2] - height + 1, spectrogram.shape[1] - width + 1
        kernel = weight.to(spectrogram.dtype).permute(0, 2, 1, 3).contiguous(memory_format=torch.channels_last)
        labels = torch.arange(shifts, dtype=torch.int32)[None, :, None]
        maxima = []
        for part in torch.split(spectrogram, _EXAMPLES_AT_A_TIME):
            product = F.conv2d(_bands_as_channels(part, height), kernel).permute(0, 2, 3, 1)
            exact = product.reshape(len(part), shifts, frames * channels).float()
            exact.view(torch.int32).bitwise_or_(labels)
            maxima.append(exact.amax(1).view(len(part), frames, channels))
        largest = torch.cat(maxima)
        ctx.save_for_backward(spectrogram, kernel, largest.view(torch.int32).bitwise_and(0xFFFF).to(torch.uint8))
        return largest

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, Tensor]:
        spectrogram, kernel, chosen = ctx.saved_tensors
        channels, height, _, width = kernel.shape
        shifts, frames = spectrogram.shape[2] - height + 1, spectrogram.shape[1] - width + 1
        gradient = gradients[0].to(spectrogram.dtype)
        total = torch.zeros(kernel.shape)
        parts = (torch.split(tensor, _EXAMPLES_AT_A_TIME) for tensor in (spectrogram, chosen, gradient))
        for part, where, value in zip(*parts, strict=True):
            dense = torch.zeros(len(part), shifts, frames, channels, dtype=gradient.dtype)
            dense.scatter_(1, where[:, None].long(), value[:, None])
            total += torch.ops.aten.convolution_backward(
                dense.view(-1, 1, frames, channels).permute(0, 3, 1, 2),
                _bands_as_channels(part, height),
                kernel,
                None,
                [1, 1],
                [0, 0],
                [1, 1],
                False,
                [0, 0],
                1,
                [False, True, False],
            )[1].float()
        return None, total.permute(0, 2, 1, 3)


def has_bfloat16_units() -> bool:
    """Return whether this CPU has units that multiply bfloat16."""
    return bool(torch.cpu._is_avx512_bf16_supported())


def _tall_maxima(normed: Tensor, convolution: nn.Conv2d, fast: bool) -> Tensor:
    """(batch, frames, mels) -> (batch, channels, frames)."""
    if fast:
        width = convolution.weight.shape[3]
        padded = F.pad(normed, (0, 0, width // 2, width // 2)).bfloat16()
        maxima: Tensor = _TallConvolutionMax.apply(padded, convolution.weight)  # type: ignore[no-untyped-call]
        return maxima.transpose(1, 2)
    if normed.device.type == "cpu":
        return _maxima_in_blocks(normed.transpose(1, 2), convolution)
    return cast(Tensor, convolution(normed.transpose(1, 2).unsqueeze(1))).amax(dim=2)


def _maxima_in_blocks(normed: Tensor, convolution: nn.Conv2d) -> Tensor:
    """Convolve in float32 as `_SHIFTS_PER_BLOCK` one-dimensional filters for every block of shifts.

    Measured on one core of an AMD EPYC without bfloat16 units, 32 chunks, 20 filters, both passes: 67 bands
    723 ms as a plain convolution, 203 ms here; 38 bands 724 and 293 ms.

    Args:
        normed: (batch, mels, frames).
        convolution: Tall filters.

    Returns:
        (batch, channels, frames).
    """
    weight, bias = convolution.weight, convolution.bias
    channels, _, height, width = weight.shape
    batch, mels, frames = normed.shape
    shifts, block = mels - height + 1, _SHIFTS_PER_BLOCK
    blocks = -(-shifts // block)
    padded = F.pad(normed, (0, 0, 0, blocks * block - shifts))
    bands = padded.unfold(1, height + block - 1, block).transpose(2, 3).flatten(0, 1)
    filters = [F.pad(weight[:, 0], (0, 0, shift, block - 1 - shift)) for shift in range(block)]
    product = F.conv1d(bands, torch.cat(filters), padding=width // 2)  # (batch * blocks, block * channels, frames)
    maxima = product.view(batch, blocks * block, channels, frames)[:, :shifts].amax(dim=1)
    return maxima if bias is None else maxima + bias[:, None]


def training_features(extractor: FeatureExtractor, spectrogram: Tensor, *, fast: bool | None = None) -> Tensor:
    """Compute chunk features for a training step (or, in evaluation mode, as `from_spectrogram` does).

    Args:
        extractor: Musicnn is run rearranged, any other network as it is.
        spectrogram: Decibels, (batch, 1, mels, frames) for musicnn.
        fast: Multiply in bfloat16 on the CPU; None where the CPU has the units for it.

    Returns:
        Features, (batch, feature), float32.
    """
    if not isinstance(extractor, Musicnn):
        return extractor.from_spectrogram(spectrogram)
    device = spectrogram.device.type
    if fast is None:
        fast = device == "cpu" and has_bfloat16_units()
    norm = extractor.spectrogram_norm
    assert norm.running_mean is not None and norm.running_var is not None
    scale = (norm.weight / (norm.running_var + norm.eps).sqrt()).detach()
    centred = (spectrogram.squeeze(1).transpose(1, 2) - norm.running_mean) * scale + norm.bias.detach()
    normed = centred.contiguous()  # (batch, frames, mels)
    branches = []
    with torch.autocast(device, torch.bfloat16, enabled=fast):
        for vertical in extractor.vertical:
            maxima = _tall_maxima(normed, cast(nn.Conv2d, vertical.conv), fast)
            branches.append(F.relu(cast(nn.Module, vertical.norm)(maxima.unsqueeze(2)).squeeze(2)))
        level = normed.mean(dim=2).unsqueeze(1)
        for horizontal in extractor.horizontal:
            branches.append(F.relu(cast(nn.Module, horizontal.norm)(cast(nn.Module, horizontal.conv)(level))))
        front = torch.cat([branch.to(branches[-1].dtype) for branch in branches], dim=1)
        first = extractor.temporal[0](front)
        second = extractor.temporal[1](first) + first
        third = extractor.temporal[2](second) + second
        peaks = [layer.amax(dim=2).float() for layer in (front, first, second, third)]
    return torch.cat(peaks, dim=1)


def fix_input_statistics(extractor: FeatureExtractor, mean: float, variance: float) -> None:
    """Freeze musicnn's input normalisation at given statistics of decibels, scale 1 and shift 0."""
    if isinstance(extractor, Musicnn):
        norm = extractor.spectrogram_norm
        assert norm.running_mean is not None and norm.running_var is not None
        norm.running_mean.fill_(mean)
        norm.running_var.fill_(variance)
        norm.requires_grad_(False)
        for vertical in extractor.vertical:
            cast(nn.Conv2d, vertical.conv).bias.requires_grad_(False).zero_()  # type: ignore[union-attr]


@torch.no_grad()
def keep_scales_positive(extractor: FeatureExtractor) -> None:
    """Keep the tall filters' normalisation increasing, so that the maximum may come before it."""
    if isinstance(extractor, Musicnn):
        for vertical in extractor.vertical:
            cast(nn.BatchNorm2d, vertical.norm).weight.clamp_(min=_MIN_SCALE)


assert N_MELS < 2**8, "the index of a shift along the bands must fit in a byte"
