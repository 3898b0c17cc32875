"""The convolutional parts of two music taggers, Musicnn and Harmonic CNN (paper section III-B).

An extractor turns one chunk of audio into one feature vector a_i. The classification layers that a tagger
puts on top live in `muscaps.training.tagging`.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from muscaps.config import ExtractorConfig
from muscaps.models.spectrogram import N_MELS, SAMPLE_RATE, HarmonicSpectrogram, LogMel


class FeatureExtractor(nn.Module):
    """What both extractors share: audio to spectrogram to frames to one vector a chunk."""

    spectrogram: nn.Module
    feature_dim: int
    """Width of a chunk's feature vector."""
    chunk_seconds: float
    """Length of audio the network was designed for, in seconds."""

    @property
    def chunk_samples(self) -> int:
        """Samples in one chunk at 16 kHz."""
        return round(self.chunk_seconds * SAMPLE_RATE)

    def frames(self, spectrogram: Tensor) -> Tensor:
        """Turn a spectrogram, (batch, bands..., frames), into features over time, (batch, feature, frames)."""
        raise NotImplementedError

    def from_spectrogram(self, spectrogram: Tensor) -> Tensor:
        """Turn a spectrogram into features, (batch, feature): the maximum over time."""
        return self.frames(spectrogram).amax(dim=-1).float()

    def forward(self, chunks: Tensor) -> Tensor:
        """Extract one feature vector a chunk.

        Args:
            chunks: Mono audio at 16 kHz in [-1, 1], (batch, samples).

        Returns:
            Features a_i, (batch, feature).
        """
        return self.from_spectrogram(self.spectrogram(chunks))


def _as_weights(maps: Tensor, layers: nn.Module) -> Tensor:
    """Bring maps to the type of the weights they meet, bfloat16 where inference was asked to use it."""
    return maps.to(next(layers.parameters()).dtype)


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
        normed = _as_weights(self.spectrogram_norm(spectrogram), self.horizontal)
        front = torch.cat([branch(normed) for branch in (*self.vertical, *self.horizontal)], dim=1)
        first = self.temporal[0](_as_weights(front, self.temporal))
        second = self.temporal[1](first) + first
        third = self.temporal[2](second) + second
        return torch.cat([front, first, second, third], dim=1)


class _ConvolutionBlock(nn.Module):
    """3x3 convolution, normalisation, ReLU, max-pooling."""

    def __init__(self, in_channels: int, channels: int, pooling: tuple[int, int]) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, channels, 3, padding=1)
        self.norm = nn.BatchNorm2d(channels)
        self.pooling = pooling

    def forward(self, maps: Tensor) -> Tensor:
        """(batch, in_channels, bands, frames) -> (batch, channels, bands / pool, frames / pool)."""
        return F.max_pool2d(F.relu(self.norm(self.conv(maps))), self.pooling)


class _ResidualBlock(nn.Module):
    """Two 3x3 convolutions with a shortcut, ReLU, max-pooling."""

    def __init__(self, channels: int, pooling: tuple[int, int]) -> None:
        super().__init__()
        self.conv_1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.norm_1 = nn.BatchNorm2d(channels)
        self.conv_2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.norm_2 = nn.BatchNorm2d(channels)
        self.pooling = pooling

    def forward(self, maps: Tensor) -> Tensor:
        """(batch, channels, bands, frames) -> (batch, channels, bands / pool, frames / pool)."""
        residual = self.norm_2(self.conv_2(F.relu(self.norm_1(self.conv_1(maps)))))
        return F.max_pool2d(F.relu(maps + residual), self.pooling)


class HarmonicCNN(FeatureExtractor):
    """Won et al., "Data-Driven Harmonic Filters for Audio Representation Learning" (paper [30]), 5 s chunks.

    Seven pooled blocks halve 128 bands to one; the last two pool time by three, so that 5 s become one frame.
    """

    chunk_seconds = 5.0

    def __init__(self, num_channels: int = 128) -> None:
        super().__init__()
        wide = 2 * num_channels
        self.spectrogram = HarmonicSpectrogram()
        self.spectrogram_norm = nn.BatchNorm2d(HarmonicSpectrogram.NUM_HARMONICS)
        self.blocks = nn.ModuleList(
            [
                _ConvolutionBlock(HarmonicSpectrogram.NUM_HARMONICS, num_channels, (2, 2)),
                _ResidualBlock(num_channels, (2, 2)),
                _ResidualBlock(num_channels, (2, 2)),
                _ResidualBlock(num_channels, (2, 2)),
                _ConvolutionBlock(num_channels, wide, (2, 2)),
                _ResidualBlock(wide, (2, 3)),
                _ResidualBlock(wide, (2, 3)),
            ]
        )
        self.feature_dim = wide

    def frames(self, spectrogram: Tensor) -> Tensor:
        """(batch, harmonics, bands, frames) -> (batch, feature, pooled frames)."""
        maps = _as_weights(self.spectrogram_norm(spectrogram), self.blocks)
        for block in self.blocks:
            maps = block(maps)
        return maps.squeeze(2)


def build_extractor(config: ExtractorConfig) -> FeatureExtractor:
    """Build the network a configuration names, with fresh weights."""
    if config.name == "combined":
        from muscaps.models.combined_extractor import CombinedExtractor  # reads this module: imported late

        return CombinedExtractor([build_extractor(part) for part in config.parts])
    if config.name == "musicnn_original":
        from muscaps.models.musicnn_original import MusicnnOriginal  # reads this module: imported late

        return MusicnnOriginal(config.num_channels, config.layers)
    if config.name == "musicnn":
        return Musicnn(config.num_channels, config.frontend_scale)
    if config.name == "log_mel":
        from muscaps.models.dcase_baseline import LogMelFrames  # reads this module: imported late

        return LogMelFrames()
    return HarmonicCNN(config.num_channels)
