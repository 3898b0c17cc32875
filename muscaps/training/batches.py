"""Batches of examples, padded to the longest, and random excerpts."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from muscaps.training.dataset.layout import Example
from muscaps.vocabulary import EOS, PAD, UNK, Vocabulary, tokenize


@dataclass(frozen=True, kw_only=True)
class CaptionBatch:
    """Input and targets of a model, padded to the longest example."""

    audio: Tensor
    """Chunk features, (batch, chunks, feature), or chunks of audio, (batch, chunks, samples); zeros on padding."""
    mask: Tensor
    """True where a chunk is real audio, (batch, chunks)."""
    word_ids: Tensor
    """Captions from `<sos>` to the last word, `<pad>` at the end, (batch, steps)."""
    targets: Tensor
    """The next word of each step, from the first word to `<eos>`, `<pad>` at the end, (batch, steps)."""

    def to(self, device: str) -> "CaptionBatch":
        """Move to a device."""
        return CaptionBatch(
            audio=self.audio.to(device),
            mask=self.mask.to(device),
            word_ids=self.word_ids.to(device),
            targets=self.targets.to(device),
        )


def collate(
    audio: Sequence[np.ndarray], captions: Sequence[Sequence[int]], *, learn_unknown: bool = True
) -> CaptionBatch:
    """Pad examples to a batch.

    Args:
        audio: One array per example, (chunks, feature) or (chunks, samples).
        captions: Ids from `<sos>` to `<eos>`, from `Vocabulary.encode`.
        learn_unknown: Whether `<unk>` is a target; otherwise `<pad>` takes its place there.

    Raises:
        ValueError: The numbers of tracks and captions differ, or a track has no chunk.
    """
    if len(audio) != len(captions) or not audio:
        raise ValueError(f"a batch needs as many captions as tracks, not {len(captions)} for {len(audio)}")
    if min(len(track) for track in audio) < 1:
        raise ValueError("every track of a batch needs at least one chunk")
    longest = max(len(track) for track in audio)
    padded = np.zeros((len(audio), longest, audio[0].shape[1]), dtype=np.float32)
    mask = np.zeros((len(audio), longest), dtype=bool)
    for index, track in enumerate(audio):
        padded[index, : len(track)] = track
        mask[index, : len(track)] = True
    steps = max(len(caption) for caption in captions) - 1
    ids = np.full((len(captions), steps + 1), PAD, dtype=np.int64)
    for row, caption in zip(ids, captions, strict=True):
        row[: len(caption)] = caption
    targets = ids[:, 1:] if learn_unknown else np.where(ids[:, 1:] == UNK, PAD, ids[:, 1:])
    inputs = np.where(ids[:, :-1] == EOS, PAD, ids[:, :-1])
    return CaptionBatch(
        audio=torch.from_numpy(padded),
        mask=torch.from_numpy(mask),
        word_ids=torch.from_numpy(inputs),
        targets=torch.from_numpy(targets.copy()),
    )


def random_excerpt(audio: np.ndarray, num_samples: int, generator: np.random.Generator) -> np.ndarray:
    """Return a random excerpt, or a shorter track as a whole; the result is a view."""
    offset = int(generator.integers(max(1, len(audio) - num_samples + 1)))
    return audio[offset : offset + num_samples]


def encoded_captions(examples: Iterable[Example], vocabulary: Vocabulary) -> list[list[list[int]]]:
    """Return every example's captions as ids from `<sos>` to `<eos>`."""
    return [[vocabulary.encode(tokenize(text)) for text in example.captions] for example in examples]
