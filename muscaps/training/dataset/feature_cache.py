"""Cache of the chunk features of a dataset's tracks by one extractor, memory-mapped."""

import hashlib
import json
from collections.abc import Iterable

import numpy as np

from muscaps.checkpoint import learned_weights
from muscaps.models.feature_extractor import FeatureExtractor
from muscaps.training.dataset.layout import CACHES, Example
from muscaps.training.dataset.reader import PreparedDataset


def extractor_digest(extractor: FeatureExtractor) -> str:
    """Return a digest of an extractor's learned weights and variant, which identifies cached features."""
    digest = hashlib.sha256(type(extractor).__name__.encode() + extractor.variant.encode())
    for name, value in sorted(learned_weights(extractor).items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().numpy().tobytes())
    return digest.hexdigest()[:16]


class FeatureCache:
    """Features of a dataset's tracks by one extractor: the dataset's own ones if they fit, otherwise cached ones."""

    def __init__(self, dataset: PreparedDataset, digest: str, version: int = 0) -> None:
        """Locate the cache, without reading it.

        Args:
            dataset: The tracks.
            digest: Digest of the extractor, see `extractor_digest`.
            version: 0 for the original tracks; 1, 2, ... for augmented copies of the training tracks.
        """
        self._own = version == 0 and dataset.card.get("extractor") == digest and dataset.feature_dim is not None
        self._dataset = dataset
        name = f"{digest}-disturbed-{version}" if version else digest
        self._rows_path = dataset.directory / CACHES / f"{name}.f16"
        self._index_path = dataset.directory / CACHES / f"{name}.json"
        self.examples = dataset.split("train") if version else dataset.examples
        self._rows: np.ndarray | None = None
        self._places: dict[int, tuple[int, int]] = {}

    @property
    def complete(self) -> bool:
        """Whether the cache has the features of all `examples`."""
        if self._own:
            return True
        try:
            self._open()
        except (OSError, ValueError):
            return False
        return all(example.index in self._places for example in self.examples)

    def _open(self) -> np.ndarray:
        if self._rows is None:
            index = json.loads(self._index_path.read_text(encoding="utf-8"))
            if index["dataset"] != self._dataset.card["digest"]:
                raise ValueError(f"{self._index_path}: features of another dataset")
            self._rows = np.memmap(self._rows_path, dtype="<f2", mode="r").reshape(-1, index["feature_dim"])
            self._places = {int(key): (start, count) for key, (start, count) in index["places"].items()}
        return self._rows

    def read(self, example: Example) -> np.ndarray:
        """Return a track's features, float16, (chunks, feature)."""
        if self._own:
            return self._dataset.features(example)
        rows = self._open()
        start, count = self._places[example.index]
        return rows[start : start + count]

    def write(self, tracks: Iterable[tuple[int, np.ndarray]]) -> None:
        """Write the features of tracks, (chunks, feature), by example index, in any order; an interrupted write has no
        effect."""
        self._rows_path.parent.mkdir(exist_ok=True)
        partial = self._rows_path.with_suffix(".partial")
        places: dict[int, tuple[int, int]] = {}
        start, width = 0, 0
        with partial.open("wb") as stream:
            for index, features in tracks:
                stream.write(np.ascontiguousarray(features, dtype="<f2").tobytes())
                places[index] = (start, len(features))
                start, width = start + len(features), features.shape[1]
        partial.replace(self._rows_path)
        document = {"dataset": self._dataset.card["digest"], "feature_dim": width, "places": places}
        self._index_path.write_text(json.dumps(document), encoding="utf-8")
        self._rows = None
