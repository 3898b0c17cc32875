"""Musicnn as its authors published it, with weights trained on real music: the network of PyPI's `musicnn` 0.1.0.

Pons and Serra, "musicnn: Pre-trained convolutional neural networks for music audio tagging", 2019. It differs from
`Musicnn`, the re-implementation that the published MusCaps program uses: log10(10000 x + 1) of a Slaney mel
spectrogram, ReLU before normalisation, temporal filters on every band, 187 frames a chunk, and a head that reads
maxima and means over time. Order everywhere: convolution, ReLU, normalisation, maximum over frequency.

Channels, in order: 204 filters of 38 bands x 7 frames, 204 of 67 x 7, 51 each of 128, 64 and 32 frames on every
band (561 channels, the front end), then three convolutions of 7 frames to 64 channels (753 channels in all).
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from muscaps.config import LayersName
from muscaps.models.feature_extractor import FeatureExtractor
from muscaps.models.spectrograms import mel_spectrogram

NUM_FRAMES = 187  # 3 s x 16 000 Hz / 256 samples a frame, rounded down
NORM_EPSILON = 1e-3  # TensorFlow's default


class SlaneyLogMel(nn.Module):
    """Waveform to log10(10000 x + 1) of 96 Slaney mel bands of power, rounded to float16 as the published program."""

    def __init__(self) -> None:
        super().__init__()
        self.mel = mel_spectrogram(pad_mode="constant", norm="slaney", mel_scale="slaney")

    def forward(self, waveform: Tensor) -> Tensor:
        """Turn (batch, samples) into (batch, 1, mels, frames)."""
        power: Tensor = self.mel(waveform)
        return torch.log10(10_000 * power.half().float() + 1).unsqueeze(1)


class TimbralConvolution(nn.Module):
    """A filter tall in frequency and short in time, then the maximum over frequency."""

    def __init__(self, channels: int, height: int, width: int = 7) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, channels, (height, width), padding=(0, width // 2))
        self.norm = nn.BatchNorm2d(channels, eps=NORM_EPSILON)

    def forward(self, spectrogram: Tensor) -> Tensor:
        """(batch, 1, mels, frames) -> (batch, channels, frames)."""
        maps: Tensor = self.norm(F.relu(self.conv(spectrogram)))
        return maps.amax(dim=2)


class RhythmConvolution(nn.Module):
    """A filter long in time on every band, then the maximum over frequency."""

    def __init__(self, channels: int, length: int) -> None:
        super().__init__()
        self.padding = ((length - 1) // 2, length // 2)  # TensorFlow's "same": the odd frame comes after
        self.conv = nn.Conv2d(1, channels, (1, length))
        self.norm = nn.BatchNorm2d(channels, eps=NORM_EPSILON)

    def forward(self, spectrogram: Tensor) -> Tensor:
        """(batch, 1, mels, frames) -> (batch, channels, frames)."""
        maps: Tensor = self.norm(F.relu(self.conv(F.pad(spectrogram, self.padding))))
        return maps.amax(dim=2)


class MiddleConvolution(nn.Module):
    """A layer of the middle of the network: convolution over 7 frames, ReLU, normalisation."""

    def __init__(self, in_channels: int, channels: int, width: int = 7) -> None:
        super().__init__()
        self.conv = nn.Conv1d(in_channels, channels, width, padding=width // 2)
        self.norm = nn.BatchNorm1d(channels, eps=NORM_EPSILON)

    def forward(self, frames: Tensor) -> Tensor:
        """(batch, in_channels, frames) -> (batch, channels, frames)."""
        maps: Tensor = self.norm(F.relu(self.conv(frames)))
        return maps


class MusicnnOriginal(FeatureExtractor):
    """Published musicnn without its 50 outputs, which a checkpoint keeps as the tagging head."""

    chunk_seconds = 3.0
    TIMBRAL_CHANNELS = 204
    RHYTHM_CHANNELS = 51
    TIMBRAL_HEIGHTS = (38, 67)  # bands: 0.4 and 0.7 of 96
    RHYTHM_LENGTHS = (128, 64, 32)  # frames: 2.0, 1.0 and 0.5 s
    DENSE_UNITS = 200

    def __init__(self, num_channels: int = 64, layers: LayersName = "penultimate") -> None:
        """Build the network with fresh weights.

        Args:
            num_channels: Channels of the three middle layers; 64 in the published weights.
            layers: What a chunk's feature is.
        """
        super().__init__()
        self.layers = layers
        self.variant = "" if layers == "penultimate" else layers
        front_dim = self.TIMBRAL_CHANNELS * len(self.TIMBRAL_HEIGHTS) + self.RHYTHM_CHANNELS * len(self.RHYTHM_LENGTHS)
        self.spectrogram = SlaneyLogMel()
        self.spectrogram_norm = nn.BatchNorm2d(1, eps=NORM_EPSILON)
        self.timbral = nn.ModuleList(TimbralConvolution(self.TIMBRAL_CHANNELS, h) for h in self.TIMBRAL_HEIGHTS)
        self.rhythm = nn.ModuleList(RhythmConvolution(self.RHYTHM_CHANNELS, length) for length in self.RHYTHM_LENGTHS)
        self.middle = nn.ModuleList(
            MiddleConvolution(front_dim if i == 0 else num_channels, num_channels) for i in range(3)
        )
        self.num_maps = front_dim + 3 * num_channels
        self.feature_dim = {"maxima": self.num_maps, "maxima_means": 2 * self.num_maps}.get(layers, self.DENSE_UNITS)
        # The dense layer stays where features are taken before it, for the tagging head that reads it.
        self.pool_norm = nn.BatchNorm1d(2 * self.num_maps, eps=NORM_EPSILON)
        self.dense = nn.Linear(2 * self.num_maps, self.DENSE_UNITS)
        self.dense_norm = nn.BatchNorm1d(self.DENSE_UNITS, eps=NORM_EPSILON)

    def normed(self, spectrogram: Tensor) -> Tensor:
        """Normalise the first 187 frames of a spectrogram, (batch, 1, mels, frames)."""
        normed: Tensor = self.spectrogram_norm(spectrogram[..., :NUM_FRAMES])
        return normed

    def with_middle(self, front: Tensor) -> Tensor:
        """Append the three middle layers to the front end, (batch, 561, frames) -> (batch, 753, frames)."""
        first = self.middle[0](front)
        second = self.middle[1](first) + first
        third = self.middle[2](second) + second
        return torch.cat([front, first, second, third], dim=1)

    def frames(self, spectrogram: Tensor) -> Tensor:
        """(batch, 1, mels, frames) -> (batch, 753, frames): front end, then three middle layers."""
        normed = self.normed(spectrogram)
        return self.with_middle(torch.cat([branch(normed) for branch in (*self.timbral, *self.rhythm)], dim=1))

    def from_spectrogram(self, spectrogram: Tensor) -> Tensor:
        """Turn a spectrogram into features, (batch, feature); frames beyond 187 are left out."""
        return self.from_maps(self.frames(spectrogram))

    def from_maps(self, maps: Tensor) -> Tensor:
        """Pool channels over time and apply the dense layer, (batch, 753, frames) -> (batch, feature)."""
        if self.layers == "maxima":
            return maps.amax(dim=-1).float()
        pooled = poolings(maps)
        if self.layers == "maxima_means":
            return pooled.float()
        return self.penultimate(pooled).float()

    def penultimate(self, pooled: Tensor) -> Tensor:
        """Apply the dense layer to maxima and means, (batch, 1506) -> (batch, 200)."""
        units: Tensor = self.dense_norm(F.relu(self.dense(self.pool_norm(pooled))))
        return units


def poolings(maps: Tensor) -> Tensor:
    """(batch, channels, frames) -> (batch, 2 * channels): maximum of channel 0, its mean, maximum of channel 1, ..."""
    return torch.stack([maps.amax(dim=-1), maps.mean(dim=-1)], dim=-1).flatten(1)
