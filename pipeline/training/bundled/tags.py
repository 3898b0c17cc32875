"""Tag heads of the bundled captioner, and the logits of every training track from heads fitted without it."""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from muscaps.training.feature_file import FeatureEntry
from muscaps.training.tag_heads import LinearHeads, fit_heads, platt_scaling
from muscaps.training.tag_labels import GROUP_OF, LAYERS, TAGS, Labels

NUM_FOLDS = 5
REAL_IMPORTANCE = 12.0
"""Rendered clips that one real track counts for: of 4, 12 and 30 the best on real tracks left out."""
MIN_REAL_TRACKS, MIN_CLIPS = 6, 40
"""A tag needs as many real tracks, or as many rendered clips, to get a head."""


@dataclass(frozen=True, kw_only=True)
class GroupSettings:
    """How the heads of a group of tags are fitted; chosen on real tracks left out of the fit."""

    published_only: bool
    """Read the published network alone: for what rendered music teaches nothing about."""
    ridge: float


SETTINGS: Mapping[str, GroupSettings] = {
    "families": GroupSettings(published_only=False, ridge=50.0),
    "instruments": GroupSettings(published_only=False, ridge=333.0),
    "moods": GroupSettings(published_only=True, ridge=1000.0),
    "feels": GroupSettings(published_only=True, ridge=1000.0),
    "energies": GroupSettings(published_only=True, ridge=1000.0),
    "tempo": GroupSettings(published_only=False, ridge=333.0),
    "genres": GroupSettings(published_only=True, ridge=333.0),
    "vocals": GroupSettings(published_only=False, ridge=333.0),
}


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainingTracks:
    """All versions of all tracks with their labels."""

    entries: Sequence[FeatureEntry]
    labels: Mapping[str, Labels]
    """By track: labels and mask, (tags,) each."""
    groups: Mapping[str, str]
    """By track: what must stay in one fold, e.g. the piece."""
    real: frozenset[str]

    def importance(self) -> npt.NDArray[np.float32]:
        """(entries,): a real track counts more, shared among its versions."""
        counts: dict[str, int] = {}
        for entry in self.entries:
            counts[entry.track_id] = counts.get(entry.track_id, 0) + 1
        shares = [REAL_IMPORTANCE / counts[e.track_id] if e.track_id in self.real else 1.0 for e in self.entries]
        return np.array(shares, dtype=np.float32)

    def folds(self) -> npt.NDArray[np.int64]:
        """(entries,): fold of each, by a checksum of its group."""
        return np.array([zlib.crc32(self.groups[e.track_id].encode()) % NUM_FOLDS for e in self.entries])


@dataclass(frozen=True, kw_only=True, eq=False)
class FittedTags:
    """Calibrated heads, and logits of the training entries from heads that were fitted without their fold."""

    names: tuple[tuple[str, str], ...]
    heads: LinearHeads
    fold_heads: tuple[LinearHeads, ...]
    """Calibrated heads of each fold, fitted on the others."""
    logits: npt.NDArray[np.float64]
    """Out-of-fold logits of the entries' means, (entries, tags)."""
    fold_of: Mapping[str, int]
    """Fold of each track."""
    places: tuple[int, ...]
    """Place of each tag in `TAGS`."""

    def fold_logits(self, entry: FeatureEntry) -> npt.NDArray[np.float64]:
        """Return logits of each chunk from heads fitted without the track, (chunks, tags)."""
        return self.fold_heads[self.fold_of[entry.track_id]].logits(entry.features)


def fit_tags(tracks: TrainingTracks, published_dim: int, is_reference: npt.NDArray[np.bool_]) -> FittedTags:
    """Fit, calibrate and choose heads.

    Args:
        tracks: Training tracks only.
        published_dim: Features of the published network, which come first.
        is_reference: Entries whose statistics standardise the features, and whose out-of-fold logits the calibration is
            fitted on, (entries,).
    """
    data = _Arrays.of(tracks)
    reference = data.means[is_reference]
    whole = _fit_all(data, reference, published_dim)
    by_fold = [_fit_all(data.chosen(data.folds != fold), reference, published_dim) for fold in range(NUM_FOLDS)]
    logits = np.zeros((len(data.means), len(TAGS)))
    for fold, heads in enumerate(by_fold):
        logits[data.folds == fold] = heads.logits(data.means[data.folds == fold])
    groups = [_places_of(group) for group in LAYERS]
    slopes, offsets = platt_scaling(logits[is_reference], data.labels[is_reference], data.known[is_reference], groups)
    kept = _tags_with_enough_tracks(tracks)

    def calibrated(heads: LinearHeads) -> LinearHeads:
        weight, bias = heads.weight * slopes[:, None], heads.bias * slopes + offsets
        return LinearHeads(weight=weight[kept], bias=bias[kept])

    return FittedTags(
        names=tuple(TAGS[place] for place in kept),
        heads=calibrated(whole),
        fold_heads=tuple(calibrated(heads) for heads in by_fold),
        logits=(logits * slopes + offsets)[:, kept],
        fold_of={entry.track_id: int(fold) for entry, fold in zip(tracks.entries, data.folds, strict=True)},
        places=tuple(kept),
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class _Arrays:
    """What the fit reads, one row an entry."""

    means: npt.NDArray[np.float32]
    labels: npt.NDArray[np.float32]
    known: npt.NDArray[np.float32]
    importance: npt.NDArray[np.float32]
    folds: npt.NDArray[np.int64]

    @classmethod
    def of(cls, tracks: TrainingTracks) -> "_Arrays":
        return cls(
            means=np.stack([entry.mean for entry in tracks.entries]),
            labels=np.stack([tracks.labels[entry.track_id][0] for entry in tracks.entries]),
            known=np.stack([tracks.labels[entry.track_id][1] for entry in tracks.entries]),
            importance=tracks.importance(),
            folds=tracks.folds(),
        )

    def chosen(self, rows: npt.NDArray[np.bool_]) -> "_Arrays":
        return _Arrays(**{name: value[rows] for name, value in vars(self).items()})


def _fit_all(data: _Arrays, reference: npt.NDArray[np.float32], published_dim: int) -> LinearHeads:
    """Fit the heads of all of `TAGS`, group by group."""
    weight = np.zeros((len(TAGS), data.means.shape[1]))
    bias = np.zeros(len(TAGS))
    for group, settings in SETTINGS.items():
        places = _places_of(group)
        width = published_dim if settings.published_only else data.means.shape[1]
        found = fit_heads(
            data.means[:, :width],
            data.labels[:, places],
            data.known[:, places],
            data.importance,
            settings.ridge,
            reference[:, :width],
        )
        weight[places, :width] = found.weight
        bias[places] = found.bias
    return LinearHeads(weight=weight, bias=bias)


def _places_of(group: str) -> list[int]:
    return [place for place, name in enumerate(GROUP_OF) if name == group]


def _tags_with_enough_tracks(tracks: TrainingTracks) -> list[int]:
    """Places of the tags that get a head."""
    counts = {True: np.zeros(len(TAGS)), False: np.zeros(len(TAGS))}
    for track_id in sorted({entry.track_id for entry in tracks.entries}):
        counts[track_id in tracks.real] += tracks.labels[track_id][0]
    return [p for p in range(len(TAGS)) if counts[True][p] >= MIN_REAL_TRACKS or counts[False][p] >= MIN_CLIPS]
