"""A prepared dataset whose features are tag logits: what the bundled captioner is trained on (see `tag_bottleneck`).

Each entry is a version of a track with its own captions. Real tracks are few, so each of their versions is stored
several times. Augmented copies have normal noise on the logits, the same for all chunks of a copy.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from muscaps.training.dataset.layout import Example
from muscaps.training.dataset.pairs import Pair
from muscaps.training.dataset.reader import PreparedDataset
from muscaps.training.dataset.writer import DatasetWriter

MIN_COUNT = 3
"""Occurrences that a word needs to enter the vocabulary."""


@dataclass(frozen=True, kw_only=True, eq=False)
class LogitEntry:
    """One version of a track to train on."""

    name: str
    """Track and version."""
    captions: tuple[str, ...]
    logits: npt.NDArray[np.float32]
    """Standardised tag logits, (chunks, tags)."""
    split: str
    """`train` or `validation`."""
    copies: int
    """How often it is stored."""


def write_bottleneck_dataset(directory: Path, entries: Sequence[LogitEntry]) -> PreparedDataset:
    """Write and open a dataset of tag logits."""
    writer = DatasetWriter(directory)
    pairs = []
    for entry in entries:
        for copy in range(entry.copies):
            track_id = f"{entry.name}#{copy}"
            writer.store(track_id, features=entry.logits)
            pairs.append(Pair(track_id=track_id, uri=entry.name, captions=entry.captions, split=entry.split))
    writer.finish(pairs, min_count=MIN_COUNT)
    return PreparedDataset(directory)


def noisy_readers(
    dataset: PreparedDataset, deviation: float, count: int, seed: int
) -> list[Callable[[Example], np.ndarray]]:
    """Return functions that read an example's logits with noise of their own on each tag.

    Args:
        dataset: Of tag logits.
        deviation: Standard deviation of the noise, in those of the logits.
        count: How many copies.
        seed: The noise is drawn from it, the copy and the example.
    """

    def reader(version: int) -> Callable[[Example], np.ndarray]:
        def read(example: Example) -> np.ndarray:
            logits = dataset.features(example).astype(np.float32)
            generator = np.random.default_rng([seed, version, example.index])
            noise: np.ndarray = logits + deviation * generator.standard_normal(logits.shape[1], dtype=np.float32)
            return noise

        return read

    return [reader(version) for version in range(1, count + 1)]
