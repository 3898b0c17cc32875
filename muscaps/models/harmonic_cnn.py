"""Harmonic CNN, the convolutional part of a music tagger (paper section III-B)."""

from torch import Tensor, nn
from torch.nn import functional as F

from muscaps.models.feature_extractor import FeatureExtractor, to_weight_dtype
from muscaps.models.spectrograms import HarmonicSpectrogram


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
        maps = to_weight_dtype(self.spectrogram_norm(spectrogram), self.blocks)
        for block in self.blocks:
            maps = block(maps)
        return maps.squeeze(2)
