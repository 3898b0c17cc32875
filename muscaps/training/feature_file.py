"""Chunk features of many tracks in one file, so that training again does not run the extractor again.

A track may have several entries: crops, or versions with other audio. Conventions: an entry is named by its track and
a version, e.g. `plain`, `disturbed`, `first_half`; features are float16, (chunks, feature).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, kw_only=True, eq=False)
class FeatureEntry:
    """Features of one version of a track."""

    track_id: str
    version: str
    features: npt.NDArray[np.float16]
    """(chunks, feature)."""

    @property
    def mean(self) -> npt.NDArray[np.float32]:
        """Mean over the chunks, (feature,)."""
        mean: npt.NDArray[np.float32] = self.features.astype(np.float32).mean(axis=0)
        return mean

    def halves(self) -> Iterator["FeatureEntry"]:
        """Yield both halves where each has three chunks."""
        count = len(self.features)
        size = count // 2
        if size >= 3:
            for version, part in (("first_half", self.features[:size]), ("second_half", self.features[count - size :])):
                yield FeatureEntry(track_id=self.track_id, version=version, features=part)


def save_features(path: Path, entries: Iterable[FeatureEntry]) -> None:
    """Write entries to a file; an existing one is replaced whole, a missing folder is created.

    Entries can take minutes to compute, so the folder comes first.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    entries = list(entries)
    beside = path.with_name(f".{path.name}.partial.npz")
    np.savez(
        beside,
        track_ids=np.array([entry.track_id for entry in entries]),
        versions=np.array([entry.version for entry in entries]),
        counts=np.array([len(entry.features) for entry in entries]),
        features=np.concatenate([entry.features for entry in entries]).astype(np.float16),
    )
    beside.replace(path)


def load_features(path: Path) -> list[FeatureEntry]:
    """Read the entries of a file in order."""
    with np.load(path) as stored:
        parts = np.split(stored["features"], np.cumsum(stored["counts"])[:-1])
        return [
            FeatureEntry(track_id=str(track_id), version=str(version), features=part)
            for track_id, version, part in zip(stored["track_ids"], stored["versions"], parts, strict=True)
        ]
