"""Writing a prepared dataset."""

import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from muscaps.training.dataset.layout import (
    AUDIO,
    CACHES,
    CARD,
    EXAMPLE_SCHEMA,
    EXAMPLES,
    FEATURES,
    FORMAT_VERSION,
    WORDS,
)
from muscaps.training.dataset.pairs import DatasetError, Pair
from muscaps.training.dataset.splits import SPLITS
from muscaps.training.dataset.word_coverage import word_coverage
from muscaps.vocabulary import Vocabulary, tokenize


class DatasetWriter:
    """Writes a prepared dataset: the data of one track after another, then the tables."""

    def __init__(self, directory: Path, *, feature_dim: int | None = None) -> None:
        """Start in an empty or new directory, or over an earlier dataset.

        Raises:
            DatasetError: The directory holds other things.
        """
        directory.mkdir(parents=True, exist_ok=True)
        ours = {CARD, EXAMPLES, WORDS, AUDIO, FEATURES, CACHES}
        others = sorted({path.name for path in directory.iterdir()} - ours)
        if others:
            raise DatasetError(f"{directory} holds other things ({others[0]}); name an empty or new folder")
        shutil.rmtree(directory / CACHES, ignore_errors=True)
        (directory / CARD).unlink(missing_ok=True)
        self._directory = directory
        self._feature_dim = feature_dim
        self._places: dict[str, dict[str, int]] = {}
        self._samples = self._chunks = 0
        self._audio: BinaryIO | None = None
        self._features: BinaryIO | None = None

    def store(self, track_id: str, *, audio: np.ndarray | None = None, features: np.ndarray | None = None) -> None:
        """Write a track's data, in any order; `finish` decides which tracks are kept.

        Args:
            track_id: The track.
            audio: Mono int16 samples at 16 kHz, (samples,).
            features: Chunk features, (chunks, feature).
        """
        place = {"audio_start": -1, "num_samples": 0, "feature_start": -1, "num_chunks": 0}
        if audio is not None:
            if self._audio is None:
                self._audio = (self._directory / AUDIO).open("wb")
            self._audio.write(np.ascontiguousarray(audio, dtype="<i2").tobytes())
            place |= {"audio_start": self._samples, "num_samples": len(audio)}
            self._samples += len(audio)
        if features is not None:
            if self._features is None:
                self._features = (self._directory / FEATURES).open("wb")
                self._feature_dim = features.shape[1]
            if features.shape[1] != self._feature_dim:
                raise DatasetError(f"{track_id!r}: features of width {features.shape[1]}, not {self._feature_dim}")
            self._features.write(np.ascontiguousarray(features, dtype="<f2").tobytes())
            place |= {"feature_start": self._chunks, "num_chunks": len(features)}
            self._chunks += len(features)
        self._places[track_id] = place

    def finish(
        self, pairs: Sequence[Pair], *, min_count: int = 2, card: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """Write the tables and the vocabulary of the training captions; return the dataset's card.

        Args:
            pairs: The tracks kept, in order; each must have its split, and data only if some was stored.
            min_count: Occurrences a word needs to enter the vocabulary.
            card: Further fields of the card.

        Raises:
            DatasetError: No training caption is left, or a pair has no split.
        """
        for stream in (self._audio, self._features):
            if stream is not None:
                stream.close()
        none = {"audio_start": -1, "num_samples": 0, "feature_start": -1, "num_chunks": 0}
        rows: list[dict[str, Any]] = []
        for pair in pairs:
            if pair.split not in SPLITS:
                raise DatasetError(f"track {pair.track_id!r} has no split")
            row = {name: getattr(pair, name) for name in ("track_id", "uri", "split", "duration_s")}
            row |= {"captions": list(pair.captions), "tags": list(pair.tags)}
            rows.append(row | self._places.get(pair.track_id, none))
        captions = [tokenize(text) for row in rows if row["split"] == "train" for text in row["captions"]]
        if not captions:
            raise DatasetError(f"{self._directory}: no training pair is left; see what cleaning dropped")
        vocabulary = Vocabulary.from_captions(captions, min_count)
        vocabulary.save(self._directory / WORDS)
        pq.write_table(pa.Table.from_pylist(rows, schema=EXAMPLE_SCHEMA), self._directory / EXAMPLES)
        content = [[row["track_id"], row["captions"], row["tags"], row["split"], row["num_samples"]] for row in rows]
        whole = {
            "format_version": FORMAT_VERSION,
            "digest": hashlib.sha256(json.dumps(content, ensure_ascii=False).encode()).hexdigest(),
            "examples": len(rows),
            "splits": dict(Counter(row["split"] for row in rows)),
            "vocabulary_size": len(vocabulary),
            "min_count": min_count,
            "unknown_words": {name: _unknown_words(rows, name, vocabulary) for name in SPLITS},
            "audio_seconds": round(sum(row["num_samples"] for row in rows) / 16_000, 3),
            "num_chunks": sum(row["num_chunks"] for row in rows),
            "feature_dim": self._feature_dim if self._chunks else None,
            **(card or {}),
        }
        # Written last: a directory without its card is an unfinished dataset.
        (self._directory / CARD).write_text(json.dumps(whole, indent=2) + "\n", encoding="utf-8")
        return whole


def _unknown_words(rows: Sequence[Mapping[str, Any]], split: str, vocabulary: Vocabulary) -> dict[str, Any]:
    """Return how many words of a split's captions become `<unk>`, for the card."""
    coverage = word_coverage((text for row in rows if row["split"] == split for text in row["captions"]), vocabulary)
    return {**asdict(coverage), "unknown_share": round(coverage.unknown_share, 4)}
