"""Batches of captioner training: order of examples, caption of each example, and the share of this worker.

Conventions: all random numbers are drawn from (seed, epoch, example), so that a batch does not depend on the number of
workers.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from muscaps.training.batches import CaptionBatch, collate, encoded_captions
from muscaps.training.captioner_audio import AudioSource
from muscaps.training.data_parallel import Workers
from muscaps.training.dataset.layout import Example
from muscaps.vocabulary import UNK, Vocabulary


@dataclass(frozen=True, kw_only=True)
class WorkerBatch:
    """One worker's share of a global batch."""

    batch: CaptionBatch
    """The examples of this worker."""
    num_words: tuple[int, ...]
    """Number of words of each caption."""
    dropout_seeds: tuple[int, ...]
    """Seed of the dropout mask of each example."""
    num_global_words: int
    """Number of target words of the global batch."""


class CaptionBatches:
    """The batches of every epoch."""

    def __init__(
        self,
        examples: Sequence[Example],
        vocabulary: Vocabulary,
        source: AudioSource,
        *,
        batch_size: int,
        seed: int,
        workers: Workers,
        learn_unknown: bool = True,
    ) -> None:
        """Create the batches and encode the captions.

        Args:
            examples: The training split.
            vocabulary: Vocabulary of the model.
            source: Audio input of an example.
            batch_size: Number of examples in a global batch.
            seed: Seed of order, captions, excerpts and dropout.
            workers: The processes that share a global batch.
            learn_unknown: Whether `<unk>` is a target.
        """
        self.examples, self.batch_size = examples, batch_size
        self.captions = encoded_captions(examples, vocabulary)
        self._source, self._seed, self._workers = source, seed, workers
        self._learn_unknown = learn_unknown

    @property
    def steps_per_epoch(self) -> int:
        """Number of global batches in an epoch; an incomplete last batch is left out."""
        return len(self.examples) // self.batch_size

    def indices(self, epoch: int, step: int) -> list[int]:
        """Return the indices of a global batch's examples in the training split."""
        order = np.random.default_rng([self._seed, epoch]).permutation(len(self.examples))
        return [int(index) for index in order[step * self.batch_size : (step + 1) * self.batch_size]]

    def caption(self, index: int, epoch: int) -> list[int]:
        """Return the caption of an example in an epoch; with several captions, one is drawn."""
        captions = self.captions[index]
        generator = np.random.default_rng([self._seed, epoch, self.examples[index].index, 1])
        return captions[int(generator.integers(len(captions)))]

    def batch(self, epoch: int, step: int) -> WorkerBatch:
        """Return this worker's share of a global batch, on the CPU."""
        indices = self.indices(epoch, step)
        captions = [self.caption(index, epoch) for index in indices]
        share = np.array_split(np.arange(len(indices)), self._workers.size)[self._workers.rank]
        examples = [self.examples[indices[place]] for place in share]
        own_captions = [captions[place] for place in share]
        audio = [self._source.training(e, np.random.default_rng([self._seed, epoch, e.index, 2])) for e in examples]
        generators = [np.random.default_rng([self._seed, epoch, e.index, 3]) for e in examples]
        return WorkerBatch(
            batch=collate(audio, own_captions, learn_unknown=self._learn_unknown),
            num_words=tuple(len(caption) - 1 for caption in own_captions),
            dropout_seeds=tuple(int(generator.integers(2**62)) for generator in generators),
            num_global_words=max(1, sum(self._num_targets(caption) for caption in captions)),
        )

    def _num_targets(self, caption: Sequence[int]) -> int:
        """Return the number of words of a caption that count in the loss."""
        return sum(self._learn_unknown or word != UNK for word in caption[1:])
