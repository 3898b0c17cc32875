"""The interface of an audio feature extractor: one chunk of audio to one feature vector a_i (paper section III-B)."""

from torch import Tensor, nn

from muscaps.models.spectrograms import SAMPLE_RATE


class FeatureExtractor(nn.Module):
    """Base class of all extractors: audio to spectrogram, to frames, to one vector per chunk.

    A subclass sets the attributes and implements `frames`.
    """

    spectrogram: nn.Module
    feature_dim: int
    """Width of a chunk's feature vector."""
    chunk_seconds: float
    """Chunk length that the network was designed for, in seconds."""
    variant: str = ""
    """What distinguishes these features from others of the same weights; empty for the default."""

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
        """Extract one feature vector per chunk.

        Args:
            chunks: Mono audio at 16 kHz in [-1, 1], (batch, samples).

        Returns:
            Features a_i, (batch, feature).
        """
        return self.from_spectrogram(self.spectrogram(chunks))


def to_weight_dtype(maps: Tensor, layers: nn.Module) -> Tensor:
    """Convert maps to the number format of the layers that process them: float32 or bfloat16."""
    return maps.to(next(layers.parameters()).dtype)
