"""Musicnn, the convolutional part of a music tagger (paper section III-B)."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from muscaps.models.feature_extractor import FeatureExtractor, to_weight_dtype
from muscaps.models.spectrograms import N_MELS, LogMel


class _VerticalConvolution(nn.Module):
    """A filter tall in frequency and short in time, then the maximum over frequency: timbre."""

    def __init__(self, channels: int, height: int, width: int = 7) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, channels, (height, width), padding=(0, width // 2))
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, spectrogram: Tensor) -> Tensor:
        """(batch, 1, mels, frames) -> (batch, channels, frames)."""
        # ReLU never changes which band is largest, so it may follow the maximum, over far fewer values.
        return F.relu(self.norm(self.conv(spectrogram)).amax(dim=2))


class _HorizontalConvolution(nn.Module):
    """A filter long in time over the mean of all bands: rhythm and dynamics."""

    def __init__(self, channels: int, length: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(1, channels, length, padding=length // 2)
        self.norm = nn.BatchNorm1d(channels)

    def forward(self, spectrogram: Tensor) -> Tensor:
        """(batch, 1, mels, frames) -> (batch, channels, frames)."""
        return F.relu(self.norm(self.conv(spectrogram.mean(dim=2))))


class _TemporalConvolution(nn.Module):
    """A layer of musicnn's back end: convolution over time, normalisation, ReLU."""

    def __init__(self, in_channels: int, channels: int, length: int = 7) -> None:
        super().__init__()
        self.conv = nn.Conv1d(in_channels, channels, length, padding=length // 2)
        self.norm = nn.BatchNorm1d(channels)

    def forward(self, frames: Tensor) -> Tensor:
        """(batch, in_channels, frames) -> (batch, channels, frames)."""
        return F.relu(self.norm(self.conv(frames)))


class Musicnn(FeatureExtractor):
    """Pons et al., "End-to-end Learning for Music Audio Tagging at Scale" (paper [3]), 3 s chunks."""

    chunk_seconds = 3.0
    VERTICAL_CHANNELS = 204
    HORIZONTAL_CHANNELS = 51
    VERTICAL_SHARES = (0.7, 0.4)  # of the mel bands
    HORIZONTAL_LENGTHS = (129, 65, 33)  # frames: 2.1, 1.0 and 0.5 s

    def __init__(self, num_channels: int = 64, frontend_scale: float = 1.0) -> None:
        super().__init__()
        vertical = max(1, round(self.VERTICAL_CHANNELS * frontend_scale))
        horizontal = max(1, round(self.HORIZONTAL_CHANNELS * frontend_scale))
        front_dim = vertical * len(self.VERTICAL_SHARES) + horizontal * len(self.HORIZONTAL_LENGTHS)
        self.spectrogram = LogMel()
        self.spectrogram_norm = nn.BatchNorm2d(1)
        self.vertical = nn.ModuleList(
            _VerticalConvolution(vertical, int(share * N_MELS)) for share in self.VERTICAL_SHARES
        )
        self.horizontal = nn.ModuleList(
            _HorizontalConvolution(horizontal, length) for length in self.HORIZONTAL_LENGTHS
        )
        self.temporal = nn.ModuleList(
            _TemporalConvolution(front_dim if i == 0 else num_channels, num_channels) for i in range(3)
        )
        self.feature_dim = front_dim + 3 * num_channels

    def frames(self, spectrogram: Tensor) -> Tensor:
        """(batch, 1, mels, frames) -> (batch, feature, frames): front end beside three residual layers."""
        normed = to_weight_dtype(self.spectrogram_norm(spectrogram), self.horizontal)
        front = torch.cat([branch(normed) for branch in (*self.vertical, *self.horizontal)], dim=1)
        first = self.temporal[0](to_weight_dtype(front, self.temporal))
        second = self.temporal[1](first) + first
        third = self.temporal[2](second) + second
        return torch.cat([front, first, second, third], dim=1)
