"""The original musicnn arranged for a CPU: maxima before ReLU and normalisation, tall filters by Fourier coefficients.

The published order is convolution, ReLU, normalisation, maximum over frequency. Normalisation multiplies a channel by
a scale; where the scale is positive the maximum may come first, where it is negative the minimum may. A filter whose
scale is negative is therefore negated, so that one maximum over the bands serves both:

    max over bands of (scale * relu(x) + shift) = scale * relu(sign * max over bands of (sign * x)) + shift

ReLU and normalisation then process one value a frame and channel, not one a band as well. The tall filters use
`TallCorrelationMax`; filters of both heights share the Fourier coefficients of the spectrogram. Filters long in time
are matrix products over windows of the padded spectrogram, a few bands at a time so that the windows stay in the cache.
Together 1.06 instead of 2.79 GFLOP a chunk. float32 agrees with the plain network to about 1e-6 of the largest feature.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from muscaps.inference.tall_correlation import BLOCK_BYTES, TallCorrelationMax
from muscaps.models.feature_extractor import FeatureExtractor
from muscaps.models.musicnn_original import MusicnnOriginal, RhythmConvolution, TimbralConvolution


class FoldedMusicnnOriginal(FeatureExtractor):
    """Stands in for a `MusicnnOriginal` in evaluation mode: same input, same features."""

    def __init__(self, original: MusicnnOriginal) -> None:
        """Rearrange a network's weights; the network is not changed."""
        super().__init__()
        self.original = original
        self.spectrogram = original.spectrogram
        self.feature_dim, self.chunk_seconds = original.feature_dim, original.chunk_seconds
        self.timbral = _SignedTimbral([one for one in original.timbral if isinstance(one, TimbralConvolution)])
        self.rhythm = _SignedRhythm([one for one in original.rhythm if isinstance(one, RhythmConvolution)])

    def from_spectrogram(self, spectrogram: Tensor) -> Tensor:
        """(batch, 1, mels, frames) -> features, (batch, feature)."""
        normed = self.original.normed(spectrogram)
        front = torch.cat([self.timbral(normed), self.rhythm(normed)], dim=1)
        return self.original.from_maps(self.original.with_middle(front))


class _Signed(nn.Module):
    """ReLU and normalisation of maxima whose filters were negated where the scale is negative."""

    def __init__(self, norms: list[nn.BatchNorm2d]) -> None:
        super().__init__()
        scales, shifts = zip(*(_affine(norm) for norm in norms), strict=True)
        self.register_buffer("scale", torch.cat(scales)[:, None], persistent=False)
        self.register_buffer("shift", torch.cat(shifts)[:, None], persistent=False)
        self.register_buffer("sign", _signs(torch.cat(scales))[:, None], persistent=False)

    def forward(self, maxima: Tensor) -> Tensor:
        """Maxima of signed answers, (batch, channels, frames) -> the channels as published."""
        rectified = F.relu(maxima * self.get_buffer("sign"))
        return torch.addcmul(self.get_buffer("shift"), rectified, self.get_buffer("scale"))


class _SignedTimbral(nn.Module):
    """All tall filters: (batch, 1, mels, frames) -> (batch, channels, frames)."""

    def __init__(self, branches: list[TimbralConvolution]) -> None:
        super().__init__()
        signed = []
        for branch in branches:
            conv, sign = branch.conv, _signs(_affine(branch.norm)[0])
            copy = nn.Conv2d(1, conv.out_channels, conv.kernel_size, padding=conv.padding)  # type: ignore[arg-type]
            _set(copy, conv, sign)
            signed.append(copy)
        self.maxima = TallCorrelationMax(signed, rectify=False)
        self.finish = _Signed([branch.norm for branch in branches])

    def forward(self, normed: Tensor) -> Tensor:
        """(batch, 1, mels, frames) -> (batch, channels, frames)."""
        finished: Tensor = self.finish(self.maxima(normed))
        return finished


class _SignedRhythm(nn.Module):
    """All filters long in time: (batch, 1, mels, frames) -> (batch, channels, frames)."""

    def __init__(self, branches: list[RhythmConvolution]) -> None:
        super().__init__()
        self.before = max(branch.padding[0] for branch in branches)
        self.after = max(branch.padding[1] for branch in branches)
        self.length = max(branch.conv.kernel_size[1] for branch in branches)
        self.places: list[tuple[int, int]] = []  # first and last frame of each kind of filter in the longest window
        for index, branch in enumerate(branches):
            sign = _signs(_affine(branch.norm)[0])
            weight = branch.conv.weight.detach()[:, 0, 0] * sign[:, None]  # (channels, length)
            start = self.before - branch.padding[0]
            self.places.append((start, start + weight.shape[1]))
            self.register_buffer(f"weight_{index}", weight.T.contiguous(), persistent=False)
            bias = branch.conv.bias
            assert bias is not None
            self.register_buffer(f"bias_{index}", (bias.detach() * sign)[:, None], persistent=False)
        self.finish = _Signed([branch.norm for branch in branches])

    def forward(self, normed: Tensor) -> Tensor:
        """(batch, 1, mels, frames) -> (batch, channels, frames)."""
        # One chunk after the other, as the tall filters: no chunk's answer depends on its neighbours in the batch.
        finished: Tensor = self.finish(torch.stack([self._one(chunk[0]) for chunk in normed]))
        return finished

    def _one(self, spectrogram: Tensor) -> Tensor:
        """(mels, frames) -> largest answers over the bands, (channels, frames)."""
        frames = spectrogram.shape[1]
        windows = F.pad(spectrogram, (self.before, self.after)).unfold(1, self.length, 1)  # (mels, frames, length)
        bands = max(1, BLOCK_BYTES // (frames * self.length * 4))
        largest: list[Tensor | None] = [None] * len(self.places)
        for part in torch.split(windows, bands):
            block = part.reshape(-1, self.length)  # copies the windows of a few bands
            for index, (start, end) in enumerate(self.places):
                answers = block[:, start:end] @ self.get_buffer(f"weight_{index}")
                found = answers.view(len(part), frames, -1).amax(dim=0)
                before = largest[index]
                largest[index] = found if before is None else torch.maximum(before, found)
        channels = [
            found.T + self.get_buffer(f"bias_{index}") for index, found in enumerate(largest) if found is not None
        ]
        return torch.cat(channels)


def _affine(norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Scale and shift of a normalisation in evaluation mode, (channels,) each."""
    assert norm.running_mean is not None and norm.running_var is not None
    scale = (norm.weight / (norm.running_var + norm.eps).sqrt()).detach()
    return scale, norm.bias.detach() - norm.running_mean * scale


def _signs(scale: Tensor) -> Tensor:
    """1 where a scale is positive or zero, -1 where it is negative."""
    return torch.where(scale < 0, -torch.ones_like(scale), torch.ones_like(scale))


@torch.no_grad()
def _set(copy: nn.Conv2d, conv: nn.Conv2d, sign: Tensor) -> None:
    """Fill a convolution with another's filters times a sign each."""
    assert copy.bias is not None and conv.bias is not None
    copy.weight.copy_(conv.weight * sign[:, None, None, None])
    copy.bias.copy_(conv.bias * sign)
