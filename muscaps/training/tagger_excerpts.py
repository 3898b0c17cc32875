"""Augmented excerpts for tagger training, from log-mels or waveforms."""

from collections.abc import Sequence
from typing import Protocol, cast

import numpy as np
import torch
from torch import Tensor

from muscaps.models.feature_extractor import FeatureExtractor
from muscaps.models.spectrograms import N_MELS, num_frames
from muscaps.training.augmentation import SILENCE_DB, AugmentationConfig, Augmenter, frames_needed
from muscaps.training.dataset.layout import Example
from muscaps.training.dataset.pairs import DatasetError
from muscaps.training.dataset.reader import PreparedDataset
from muscaps.training.log_mel_cache import log_mels


class ExcerptSource(Protocol):
    """Provides the spectrograms of a tagger."""

    def training_batch(
        self, examples: Sequence[Example], others: Sequence[Example], generators: list[np.random.Generator]
    ) -> tuple[Tensor, Tensor]:
        """Return augmented spectrograms of random excerpts, and True for those with one of `others` added, (batch,)."""
        ...

    def evaluation_batch(self, example: Example, max_chunks: int) -> Tensor:
        """Return spectrograms of evenly spaced chunks of a clip, without augmentation."""
        ...


class MelExcerpts:
    """Excerpts for musicnn, from cached log-mels."""

    def __init__(self, dataset: PreparedDataset, chunk_samples: int, config: AugmentationConfig) -> None:
        self._mels, self._places = log_mels(dataset)
        self._num_frames = num_frames(chunk_samples)
        self._needed = frames_needed(self._num_frames, config)
        self._augmenter = Augmenter(config, self._num_frames)

    def _cut(self, example: Example, generator: np.random.Generator) -> np.ndarray:
        start, frames = self._places[example.index]
        if frames >= self._needed:
            offset = int(generator.integers(frames - self._needed + 1))
            return self._mels[start + offset : start + offset + self._needed]
        excerpt = np.full((self._needed, N_MELS), SILENCE_DB, dtype=np.float16)
        excerpt[:frames] = self._mels[start : start + frames]
        return excerpt

    def _resampled(self, examples: Sequence[Example], generators: list[np.random.Generator]) -> Tensor:
        cut = np.stack([self._cut(example, g) for example, g in zip(examples, generators, strict=True)])
        return self._augmenter.resample(torch.from_numpy(cut).float(), generators)

    def training_batch(
        self, examples: Sequence[Example], others: Sequence[Example], generators: list[np.random.Generator]
    ) -> tuple[Tensor, Tensor]:
        """Return augmented log-mels, (batch, 1, mels, frames), and True for those with a second clip, (batch,)."""
        first = self._resampled(examples, generators)
        mixed, chosen = self._augmenter.mix(first, self._resampled(others, generators), generators)
        result = self._augmenter.augment(mixed, generators)
        return result.transpose(1, 2).unsqueeze(1), chosen

    def evaluation_batch(self, example: Example, max_chunks: int) -> Tensor:
        """Return log-mels of evenly spaced chunks, (chunks, 1, mels, frames)."""
        start, frames = self._places[example.index]
        last = max(0, frames - self._num_frames)
        offsets = np.unique(np.linspace(0, last, max(1, min(max_chunks, frames // self._num_frames))).astype(int))
        chunks = np.full((len(offsets), self._num_frames, N_MELS), SILENCE_DB, dtype=np.float32)
        for chunk, offset in zip(chunks, offsets, strict=True):
            part = self._mels[start + offset : start + min(frames, offset + self._num_frames)]
            chunk[: len(part)] = part
        return torch.from_numpy(chunks).transpose(1, 2).unsqueeze(1)


class WaveformExcerpts:
    """Excerpts for any extractor, from audio: second clips, noise and gain are applied to the waveform."""

    def __init__(self, dataset: PreparedDataset, extractor: FeatureExtractor, config: AugmentationConfig) -> None:
        if not dataset.has_audio:
            raise DatasetError(f"{dataset.directory}: has no audio; prepare it again with `--audio`")
        self._dataset = dataset
        self._extractor = extractor
        self._config = config

    def _cut(self, example: Example, generator: np.random.Generator) -> np.ndarray:
        audio, length = self._dataset.audio(example), self._extractor.chunk_samples
        offset = int(generator.integers(max(1, len(audio) - length + 1)))
        excerpt = np.zeros(length, dtype=np.float32)
        part = audio[offset : offset + length]
        excerpt[: len(part)] = part.astype(np.float32) / 32_768
        return excerpt

    def training_batch(
        self, examples: Sequence[Example], others: Sequence[Example], generators: list[np.random.Generator]
    ) -> tuple[Tensor, Tensor]:
        """Return spectrograms of augmented excerpts, and True for those with a second clip, (batch,)."""
        waveforms, chosen = [], []
        for example, other, g in zip(examples, others, generators, strict=True):
            waveform = self._cut(example, g)
            chosen.append(bool(g.random() < self._config.mix_probability))
            if chosen[-1]:
                waveform = waveform + self._cut(other, g) * 10 ** (g.uniform(*self._config.mix_gain_db) / 20)
            if g.random() < self._config.noise_probability:
                level = np.sqrt(np.mean(waveform**2)) * 10 ** (g.uniform(-55, -20) / 20)
                waveform = waveform + level * g.standard_normal(len(waveform))
            waveforms.append(waveform * 10 ** (g.uniform(*self._config.gain_db) / 20))
        batch = torch.from_numpy(np.stack(waveforms).astype(np.float32))
        return self._extractor.spectrogram(batch), torch.tensor(chosen)

    def evaluation_batch(self, example: Example, max_chunks: int) -> Tensor:
        """Return spectrograms of evenly spaced chunks."""
        audio, length = self._dataset.audio(example), self._extractor.chunk_samples
        count = max(1, min(max_chunks, len(audio) // length))
        offsets = np.linspace(0, max(0, len(audio) - length), count).astype(int)
        chunks = np.zeros((count, length), dtype=np.float32)
        for chunk, offset in zip(chunks, offsets, strict=True):
            part = audio[offset : offset + length]
            chunk[: len(part)] = part.astype(np.float32) / 32_768
        return cast(Tensor, self._extractor.spectrogram(torch.from_numpy(chunks)))
