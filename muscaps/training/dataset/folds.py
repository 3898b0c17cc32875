"""Folds of a small dataset: every pair is in the test split of exactly one of them."""

from dataclasses import dataclass, replace

import numpy as np

from muscaps.training.dataset.layout import Example
from muscaps.training.dataset.pairs import DatasetError
from muscaps.training.dataset.reader import PreparedDataset
from muscaps.vocabulary import Vocabulary, tokenize


@dataclass(frozen=True, kw_only=True)
class Fold:
    """One division of a dataset into training, validation and test split."""

    index: int
    """Number of the fold whose pairs are tested, from 0."""
    count: int
    """Number of folds."""
    seed: int = 0
    """Seed of the assignment of pairs to folds."""

    def __post_init__(self) -> None:
        if self.count < 3:
            raise ValueError(f"{self.count} folds: at least 3 are needed, for training, validation and test")
        if not 0 <= self.index < self.count:
            raise ValueError(f"fold {self.index} is none of 0 to {self.count - 1}")


def in_fold(dataset: PreparedDataset, fold: Fold) -> PreparedDataset:
    """Return a dataset with the splits of a fold: the next fold validates, the others are for training.

    Raises:
        DatasetError: There are fewer pairs than folds.
    """
    if len(dataset.examples) < fold.count:
        raise DatasetError(f"{dataset.directory}: {len(dataset.examples)} pairs are too few for {fold.count} folds")
    order = np.random.default_rng([fold.seed, 0xF01D]).permutation(len(dataset.examples))
    fold_of = {int(place): rank % fold.count for rank, place in enumerate(order)}
    examples = [
        replace(example, split=_split_name(fold_of[index], fold)) for index, example in enumerate(dataset.examples)
    ]
    return dataset.with_examples(examples, _vocabulary(examples, int(dataset.card.get("min_count", 2))))


def _split_name(number: int, fold: Fold) -> str:
    if number == fold.index:
        return "test"
    return "validation" if number == (fold.index + 1) % fold.count else "train"


def _vocabulary(examples: list[Example], min_count: int) -> Vocabulary:
    captions = [tokenize(text) for example in examples if example.split == "train" for text in example.captions]
    return Vocabulary.from_captions(captions, min_count)
