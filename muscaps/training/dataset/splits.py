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

    Pairs of a group come into the same split: that of the first of them that names one, else a random one.

    Args:
        pairs: The cleaned pairs; one that names its split keeps it.
        seed: The same seed and pairs give the same split.
        shares: Of the training and the validation split; the rest is the test split.
    """
    named: dict[str | None, str] = {
        pair.split_group: pair.split for pair in reversed(pairs) if pair.split_group and pair.split
    }
    result = [replace(pair, split=pair.split or named.get(pair.split_group)) for pair in pairs]
    groups: dict[object, list[int]] = {}
    for index, pair in enumerate(result):
        if pair.split is None:
            groups.setdefault(pair.split_group or index, []).append(index)
    order = np.random.default_rng([seed, 0x5917]).permutation(len(groups))
    bounds = np.round(np.cumsum(shares) * sum(map(len, groups.values()))).astype(int)
    members, rank = list(groups.values()), 0
    for place in order:
        for index in members[int(place)]:
            result[index] = replace(result[index], split=SPLITS[int(np.searchsorted(bounds, rank, side="right"))])
        rank += len(members[int(place)])
    return result
