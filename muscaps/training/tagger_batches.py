"""Batches of tagger training: excerpts of clips, some mixed with a second clip, and the known tags of each.

Conventions: all random numbers are drawn from (seed, epoch, excerpt), so that a batch does not depend on the number of
workers.
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from muscaps.training.data_parallel import Workers
from muscaps.training.dataset.layout import Example
from muscaps.training.tagger_config import TaggingConfig
from muscaps.training.tagger_excerpts import ExcerptSource


def tag_counts(examples: Sequence[Example]) -> Counter[str]:
    """Count the clips that have each tag."""
    return Counter(tag for example in examples for tag in set(example.tags))


def tag_matrix(examples: Sequence[Example], tags: Sequence[str]) -> np.ndarray:
    """Return a matrix that is true where an example has a tag, bool, (examples, tags)."""
    columns = {tag: index for index, tag in enumerate(tags)}
    matrix = np.zeros((len(examples), len(tags)), dtype=bool)
    for row, example in zip(matrix, examples, strict=True):
        row[[columns[tag] for tag in example.tags if tag in columns]] = True
    return matrix


class TaggerBatches:
    """The batches of every epoch."""

    def __init__(
        self,
        examples: Sequence[Example],
        tags: Sequence[str],
        source: ExcerptSource,
        config: TaggingConfig,
        workers: Workers,
    ) -> None:
        """Create the batches and the matrix of tags.

        Args:
            examples: The training clips.
            tags: The tags to learn.
            source: Excerpts of a clip.
            config: Batch size, seed, excerpts per clip and additive tags.
            workers: The processes that share a global batch.
        """
        self._examples, self._source, self._config, self._workers = examples, source, config, workers
        self.targets = torch.from_numpy(tag_matrix(examples, tags)).float()
        additive = set(tags if config.additive_tags is None else config.additive_tags)
        self._additive = torch.tensor([tag in additive for tag in tags])

    @property
    def steps_per_epoch(self) -> int:
        """Number of complete global batches in an epoch."""
        return len(self._examples) * self._config.excerpts_per_clip // self._config.batch_size

    def batch(self, epoch: int, step: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return this worker's share of a global batch.

        Returns:
            Spectrograms; targets, (batch, tags); and 1 where a target is known, else 0, (batch, tags).
        """
        config, count = self._config, len(self._examples)
        order = np.random.default_rng([config.seed, epoch]).permutation(count * config.excerpts_per_clip)
        share = config.batch_size // self._workers.size
        start = step * config.batch_size + self._workers.rank * share
        excerpts = order[start : start + share]
        generators = [np.random.default_rng([config.seed, epoch, int(excerpt)]) for excerpt in excerpts]
        rows = excerpts % count
        other_rows = np.array([int(generator.integers(count)) for generator in generators])
        spectrogram, mixed = self._source.training_batch(
            [self._examples[int(row)] for row in rows],
            [self._examples[int(row)] for row in other_rows],
            generators,
        )
        targets, others = self.targets[rows], self.targets[other_rows]
        targets = torch.where(mixed[:, None], torch.maximum(targets, others), targets)
        known = (~mixed[:, None] | self._additive[None]).float()
        return spectrogram, targets, known
