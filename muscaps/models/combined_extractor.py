"""Several extractors on the same chunk: the chunk's feature is the concatenation of their features."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from muscaps.models.feature_extractor import FeatureExtractor


class StackedSpectrograms(nn.Module):
    """The spectrograms of several extractors, one channel each."""

    def __init__(self, spectrograms: Sequence[nn.Module]) -> None:
        super().__init__()
        self.parts = nn.ModuleList(spectrograms)

    def forward(self, waveform: Tensor) -> Tensor:
        """(batch, samples) -> (batch, extractors, mels, frames)."""
        return torch.cat([part(waveform) for part in self.parts], dim=1)


class CombinedExtractor(FeatureExtractor):
    """Extractors that read the same chunk and whose spectrograms have the same shape."""

    def __init__(self, parts: Sequence[FeatureExtractor]) -> None:
        """Combine extractors.

        Raises:
            ValueError: The extractors need chunks of different lengths.
        """
        super().__init__()
        lengths = {part.chunk_seconds for part in parts}
        if len(lengths) != 1:
            raise ValueError(f"combined extractors must have the same chunk length, not {sorted(lengths)} s")
        [self.chunk_seconds] = lengths
        self.parts = nn.ModuleList(parts)
        self.spectrogram = StackedSpectrograms([part.spectrogram for part in parts])
        self.feature_dim = sum(part.feature_dim for part in parts)
        variants = [part.variant for part in parts]
        self.variant = ", ".join(variants) if any(variants) else ""

    def from_spectrogram(self, spectrogram: Tensor) -> Tensor:
        """(batch, extractors, mels, frames) -> (batch, feature)."""
        channels = torch.split(spectrogram, 1, dim=1)
        features = [
            part.from_spectrogram(channel)
            for part, channel in zip(self.parts, channels, strict=True)
            if isinstance(part, FeatureExtractor)
        ]
        return torch.cat(features, dim=1)
