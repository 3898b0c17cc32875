"""Musicnn's tall filters on a CPU, through Fourier coefficients along the bands: a quarter of the arithmetic.

A filter 67 bands tall fits the 96 bands at 30 shifts, and only the largest of the 30 answers is kept. Those
answers are a circular correlation of length 96, so three steps give them all:

1. Fourier coefficients of every frame along the bands (a matrix product);
2. per coefficient, a short filter over time: 7 frames x (real, imaginary) in, all filters out (a matrix product);
3. back to shifts. Counted from the middle shift, answers d apart on both sides are C(d) + S(d) and C(d) - S(d),
   with C from the cosines and S from the sines; the larger is C(d) + |S(d)|, so half of the shifts do.

For 204 filters of 67 bands and 204 of 38 that is 0.53 instead of 2.28 GFLOP a chunk. Blocks of frames keep what
passes between the steps in the cache. float32 agrees with the plain convolution to about 1e-6 of the largest answer.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from muscaps.models.spectrograms import N_MELS

BLOCK_BYTES = 768 * 1024
"""Products at a time, so that they stay in a core's second-level cache (1 MiB on what this was measured on)."""


class TallCorrelationMax(nn.Module):
    """Stands in for `_VerticalConvolution`s whose normalisation is folded: correlate, maximum over shifts, ReLU."""

    def __init__(
        self,
        convolutions: Sequence[nn.Conv2d],
        num_bands: int = N_MELS,
        block_frames: int | None = None,
        *,
        rectify: bool = True,
    ) -> None:
        """Rearrange convolutions' weights, (channels, 1, height, width) each and padded over time only.

        Args:
            convolutions: One input channel, stride 1, all of one width, `width // 2` frames of padding.
            num_bands: Bands of the spectrograms to come, even.
            block_frames: Frames worked on at a time; as the cache allows if not given.
            rectify: Apply ReLU to the maxima.
        """
        super().__init__()
        self.rectify = rectify
        [self.width] = {convolution.weight.shape[3] for convolution in convolutions}
        self.num_coefficients = num_bands // 2 + 1
        angle = _angles(num_bands)[:, None] * torch.arange(num_bands, dtype=torch.float64)
        _keep(self, "analysis", torch.cat([torch.cos(angle), -torch.sin(angle)]))
        self.filters = nn.ModuleList(_Filters(one, num_bands, block_frames) for one in convolutions)

    def forward(self, spectrogram: Tensor) -> Tensor:
        """(batch, 1, mels, frames) -> (batch, channels of all convolutions, frames)."""
        # One chunk after the other: nothing a chunk's answer is made of depends on its neighbours in the batch.
        return torch.stack([self._one(chunk[0]) for chunk in spectrogram])

    def _one(self, spectrogram: Tensor) -> Tensor:
        """(mels, frames) -> (channels, frames)."""
        frames, margin = spectrogram.shape[1], self.width // 2
        padded = F.pad(spectrogram, (margin, margin))
        coefficients = (self.get_buffer("analysis") @ padded).view(2, self.num_coefficients, -1)
        windows = torch.stack([coefficients[:, :, at : at + frames] for at in range(self.width)], dim=3)
        # (real or imaginary, coefficients, frames, width) -> (coefficients, frames, real then imaginary width)
        windows = windows.permute(1, 2, 0, 3).reshape(self.num_coefficients, frames, 2 * self.width)
        maxima = torch.cat([filters(windows) for filters in self.filters], dim=1)
        return (F.relu(maxima) if self.rectify else maxima).t()


class _Filters(nn.Module):
    """The filters of one height, as what meets Fourier coefficients."""

    def __init__(self, convolution: nn.Conv2d, num_bands: int, block_frames: int | None) -> None:
        super().__init__()
        weight = convolution.weight.detach()[:, 0].double().cpu()  # (channels, height, width)
        self.channels, height, _ = weight.shape
        angle = _angles(num_bands)
        wanted = BLOCK_BYTES // (2 * len(angle) * self.channels * 4)
        self.block_frames = block_frames or max(4, min(48, wanted))
        shifts = num_bands - height + 1
        middle = (shifts - 1) / 2
        away = torch.arange(shifts, dtype=torch.float64) - middle
        away = away[away >= 0]  # the other half mirrors it
        share = torch.full_like(angle, 2.0 / num_bands)
        share[0] = share[-1] = 1.0 / num_bands  # every other coefficient stands for its conjugate as well
        spectrum = torch.fft.rfft(weight, n=num_bands, dim=1).conj().permute(1, 2, 0)  # (coefficients, width, channels)
        spectrum = spectrum * torch.polar(share, angle * middle)[:, None, None]
        real, imaginary = spectrum.real, spectrum.imag
        _keep(self, "cosine_filters", torch.cat([real, -imaginary], dim=1))  # (coefficients, 2 * width, channels)
        _keep(self, "sine_filters", torch.cat([imaginary, real], dim=1))
        _keep(self, "cosines", torch.cos(away[:, None] * angle))  # (half of the shifts, coefficients)
        _keep(self, "sines", torch.sin(away[:, None] * angle))
        bias = convolution.bias
        _keep(self, "bias", torch.zeros(self.channels) if bias is None else bias.detach().cpu())

    def forward(self, windows: Tensor) -> Tensor:
        """(coefficients, frames, 2 * width) -> largest answers, (frames, channels)."""
        blocks = torch.split(windows, self.block_frames, dim=1)
        return torch.cat([self._block(block) for block in blocks]) + self.get_buffer("bias")

    def _block(self, windows: Tensor) -> Tensor:
        """(coefficients, frames, 2 * width) -> largest answers, (frames, channels)."""
        even = torch.bmm(windows, self.get_buffer("cosine_filters")).flatten(1)
        odd = torch.bmm(windows, self.get_buffer("sine_filters")).flatten(1)
        answers = (self.get_buffer("sines") @ odd).abs_().addmm_(self.get_buffer("cosines"), even)
        return answers.amax(dim=0).view(-1, self.channels)


def _angles(num_bands: int) -> Tensor:
    """What a band turns each Fourier coefficient by, (coefficients,)."""
    return 2 * math.pi / num_bands * torch.arange(num_bands // 2 + 1, dtype=torch.float64)


def _keep(module: nn.Module, name: str, values: Tensor) -> None:
    module.register_buffer(name, values.float().contiguous(), persistent=False)
