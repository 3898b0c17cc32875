"""Training, validation and test split: names and random assignment (paper section IV-A)."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from muscaps.training.dataset.pairs import DatasetError, Pair

SPLITS = ("train", "validation", "test")


_SPLIT_NAMES = {"train": "train", "training": "train", "val": "validation", "valid": "validation"}
_SPLIT_NAMES |= {"dev": "validation", "validation": "validation", "test": "test", "eval": "test"}


def split_name(name: str) -> str:
    """Return the usual name of a split: `val`, `valid` and `dev` are `validation`, `training` is `train`.

    Raises:
        DatasetError: The name is not known.
    """
    try:
        return _SPLIT_NAMES[name.strip().lower()]
    except KeyError:
        raise DatasetError(f"split {name!r} is none of {', '.join(SPLITS)}") from None


def assign_splits(pairs: Sequence[Pair], seed: int = 0, shares: tuple[float, float] = (0.6, 0.2)) -> list[Pair]:
    """Give every pair without a split one at random, 60/20/20 (paper section IV-A).

    Args:
        pairs: The cleaned pairs; one that names its split keeps it.
        seed: The same seed and pairs give the same split.
        shares: Of the training and the validation split; the rest is the test split.
    """
    open_pairs = [index for index, pair in enumerate(pairs) if pair.split is None]
    order = np.random.default_rng([seed, 0x5917]).permutation(len(open_pairs))
    bounds = np.round(np.cumsum(shares) * len(open_pairs)).astype(int)
    result = list(pairs)
    for rank, place in enumerate(order):
        index = open_pairs[int(place)]
        result[index] = replace(pairs[index], split=SPLITS[int(np.searchsorted(bounds, rank, side="right"))])
    return result
