"""Reading a prepared dataset; audio and features are memory-mapped."""

import copy
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from muscaps.training.dataset.layout import (
    AUDIO,
    CARD,
    EXAMPLE_SCHEMA,
    EXAMPLES,
    FEATURES,
    FORMAT_VERSION,
    WORDS,
    Example,
)
from muscaps.training.dataset.pairs import DatasetError
from muscaps.vocabulary import Vocabulary


class PreparedDataset:
    """A prepared dataset, read from its directory; audio and features are memory-mapped."""

    def __init__(self, directory: Path | str) -> None:
        """Open a dataset.

        Raises:
            DatasetError: The directory has no complete, readable dataset.
        """
        self.directory = Path(directory)
        try:
            self.card: dict[str, Any] = json.loads((self.directory / CARD).read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise DatasetError(
                f"{directory}: no prepared dataset (no {CARD}); make one with `muscaps dataset prepare PAIRS OUT`"
            ) from None
        except (OSError, ValueError) as error:
            raise DatasetError(f"{self.directory / CARD}: not readable: {error}") from error
        if self.card.get("format_version") != FORMAT_VERSION:
            raise DatasetError(f"{self.directory / CARD}: format_version {self.card.get('format_version')!r} is not 1")
        rows = pq.read_table(self.directory / EXAMPLES, schema=EXAMPLE_SCHEMA, partitioning=None).to_pylist()
        self.examples = [
            Example(index=index, **{**row, "captions": tuple(row["captions"]), "tags": tuple(row["tags"])})
            for index, row in enumerate(rows)
        ]
        self.vocabulary = Vocabulary.load(self.directory / WORDS)
        self._audio: np.memmap | None = None
        self._features: np.ndarray | None = None

    @property
    def has_audio(self) -> bool:
        """Whether the dataset has audio."""
        return (self.directory / AUDIO).exists()

    @property
    def feature_dim(self) -> int | None:
        """Width of the chunk features; None without features."""
        return self.card.get("feature_dim")

    def with_examples(self, examples: Sequence[Example], vocabulary: Vocabulary | None = None) -> "PreparedDataset":
        """Return the dataset with other examples, which use its audio and features, and perhaps other words."""
        other = copy.copy(self)
        other.examples = list(examples)
        other.vocabulary = vocabulary or self.vocabulary
        return other

    def split(self, name: str) -> list[Example]:
        """Return the examples of a split, in the dataset's order."""
        return [example for example in self.examples if example.split == name]

    def audio(self, example: Example) -> np.ndarray:
        """Return a track's samples, int16 at 16 kHz, (samples,), mapped from disk.

        Raises:
            DatasetError: The dataset does not have its audio.
        """
        if example.audio_start < 0:
            raise DatasetError(f"{self.directory}: no audio of {example.track_id!r}; prepare the dataset with audio")
        if self._audio is None:
            self._audio = np.memmap(self.directory / AUDIO, dtype="<i2", mode="r")
        return self._audio[example.audio_start : example.audio_start + example.num_samples]

    def features(self, example: Example) -> np.ndarray:
        """Return a track's chunk features, float16, (chunks, feature), mapped from disk.

        Raises:
            DatasetError: The dataset does not have its features.
        """
        if example.feature_start < 0 or self.feature_dim is None:
            raise DatasetError(
                f"{self.directory}: no features of {example.track_id!r}; prepare the dataset with --extractor"
            )
        if self._features is None:
            flat = np.memmap(self.directory / FEATURES, dtype="<f2", mode="r")
            self._features = flat.reshape(-1, self.feature_dim)
        return self._features[example.feature_start : example.feature_start + example.num_chunks]
