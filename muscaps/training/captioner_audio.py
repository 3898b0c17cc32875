"""Audio input of captioner training: cached chunk features or excerpts of audio."""

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from muscaps.audio import to_chunks
from muscaps.inference.tall_convolution import training_features
from muscaps.models.feature_extractor import FeatureExtractor
from muscaps.training.batches import random_excerpt
from muscaps.training.dataset.layout import Example
from muscaps.training.dataset.pairs import DatasetError
from muscaps.training.dataset.reader import PreparedDataset


class AudioSource(Protocol):
    """Provides the audio input of examples."""

    def training(self, example: Example, generator: np.random.Generator) -> np.ndarray:
        """Return the input of a training step, (chunks, feature) or (chunks, samples)."""
        ...

    def evaluation(self, example: Example) -> np.ndarray:
        """Return the input of validation, with the same axes."""
        ...


class CachedFeatures:
    """Cached chunk features of whole tracks; training draws the track or one of its augmented copies."""

    def __init__(
        self, read: Callable[[Example], np.ndarray], disturbed: Sequence[Callable[[Example], np.ndarray]] = ()
    ) -> None:
        self._read = read
        self._versions = (read, *disturbed)

    def training(self, example: Example, generator: np.random.Generator) -> np.ndarray:
        """Return features of the track or of a copy, (chunks, feature)."""
        return self._versions[int(generator.integers(len(self._versions)))](example)

    def evaluation(self, example: Example) -> np.ndarray:
        """Return features of the track, (chunks, feature)."""
        return self._read(example)


class AudioExcerpts:
    """Chunks of audio: a random excerpt in training, evenly spaced chunks in validation."""

    def __init__(self, dataset: PreparedDataset, chunk_samples: int, num_samples: int, max_chunks: int) -> None:
        if not dataset.has_audio:
            raise DatasetError(f"{dataset.directory}: training the extractor needs audio; prepare it with `--audio`")
        self._dataset, self._chunk_samples, self._max_chunks = dataset, chunk_samples, max_chunks
        self._num_samples = max(chunk_samples, num_samples // chunk_samples * chunk_samples)

    def training(self, example: Example, generator: np.random.Generator) -> np.ndarray:
        """Return a random excerpt, (chunks, samples)."""
        excerpt = random_excerpt(self._dataset.audio(example), self._num_samples, generator)
        return self._chunks(excerpt)

    def evaluation(self, example: Example) -> np.ndarray:
        """Return evenly spaced chunks, (chunks, samples)."""
        chunks = self._chunks(self._dataset.audio(example))
        if len(chunks) <= self._max_chunks:
            return chunks
        spaced = np.linspace(0, len(chunks) - 1, self._max_chunks).round().astype(np.int64)
        return np.take(chunks, spaced, axis=0)

    def _chunks(self, audio: np.ndarray) -> np.ndarray:
        chunks: np.ndarray = to_chunks(np.asarray(audio), self._chunk_samples).astype(np.float32) / 32_768
        return chunks


def chunk_features(extractor: FeatureExtractor, chunks: Tensor, mask: Tensor) -> Tensor:
    """Run an extractor in training on the real chunks of a batch.

    Args:
        extractor: The network.
        chunks: Audio, (batch, chunks, samples).
        mask: True where a chunk is real audio, (batch, chunks).

    Returns:
        Features, (batch, chunks, feature); zeros on padding.
    """
    learned_filters = any(parameter.requires_grad for parameter in extractor.spectrogram.parameters())
    with torch.set_grad_enabled(torch.is_grad_enabled() and learned_filters):
        spectrogram = extractor.spectrogram(chunks[mask])
    # Not in bfloat16: two workers would round differently from one, and the loss would not be reproducible.
    features = training_features(extractor, spectrogram, fast=False)
    whole = features.new_zeros(*mask.shape, features.shape[1])
    return whole.masked_scatter(mask.unsqueeze(-1), features)
