"""Tracks that the bundled captioner is trained on, and their chunk features.

Real tracks come from a catalogue with facts, rendered clips from `muscaps corpus render`. Rendered clips are used as
they are and augmented in turns, so that each is extracted once. Real tracks are extracted from their start and from
1.5 s on, and both halves count as versions.
"""

import csv
import logging
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
import torch

import muscaps
from muscaps.audio import to_chunks
from muscaps.inference import prepare_extractor
from muscaps.models.feature_extractor import FeatureExtractor
from muscaps.training.feature_file import FeatureEntry, load_features, save_features
from muscaps.training.waveform_augmentation import disturbed_waveform

logger = logging.getLogger(__name__)

PLAIN, DISTURBED, SHIFTED = "plain", "disturbed", "shifted"
SHIFT_SECONDS = 1.5
VALIDATION_SHARE = 0.2
SPLIT_SEED = 14
_CLIPS_IN_TURN = 20
_SAMPLE_RATE = 16_000


@dataclass(frozen=True, kw_only=True)
class RealTracks:
    """Rows of the catalogue by track, and which of them are left out."""

    rows: Mapping[str, Mapping[str, str]]
    folder: Path
    """Relative URIs are relative to it."""
    training: frozenset[str]
    validation: frozenset[str]
    """A fifth, whole split groups, never trained on."""

    @property
    def used(self) -> list[str]:
        """Tracks of both, in order."""
        return sorted(self.training | self.validation)


def read_real_tracks(catalogue: Path, excluded_licence: str) -> RealTracks:
    """Read the catalogue and split it by `split_group`.

    The split is drawn for the most frequent artist and for all others apart, so that both are validated on.

    Args:
        catalogue: CSV with `track_id`, `uri`, `artist`, `licence`, `split_group` and the columns of facts.
        excluded_licence: Tracks whose licence contains it are not used.
    """
    with catalogue.open(newline="", encoding="utf-8") as lines:
        rows = {row["track_id"]: row for row in csv.DictReader(lines)}
    excluded = {track_id for track_id, row in rows.items() if excluded_licence and excluded_licence in row["licence"]}
    artists = [row["artist"] for row in rows.values()]
    first = max(set(artists), key=artists.count)
    generator, chosen = random.Random(SPLIT_SEED), set()
    for by_first in (True, False):
        groups = sorted(
            {
                row["split_group"]
                for track_id, row in rows.items()
                if (first in row["artist"]) == by_first and track_id not in excluded
            }
        )
        generator.shuffle(groups)
        chosen |= set(groups[: round(len(groups) * VALIDATION_SHARE)])
    validation = frozenset(track_id for track_id, row in rows.items() if row["split_group"] in chosen)
    return RealTracks(
        rows=rows,
        folder=catalogue.parent,
        training=frozenset(rows) - validation - excluded,
        validation=validation - excluded,
    )


def read_rendered_clips(pairs: Path) -> dict[str, dict[str, Any]]:
    """Read the rows of rendered clips by track; `uri` becomes absolute."""
    rows = pq.read_table(pairs).to_pylist()
    return {row["track_id"]: {**row, "uri": str(pairs.parent / row["uri"])} for row in rows}


def real_features(tracks: RealTracks, extractor: FeatureExtractor, cache: Path) -> list[FeatureEntry]:
    """Return both versions of every real track and the halves of the first, from the cache where it exists."""
    if not cache.exists():
        save_features(cache, _extract_real(tracks, prepare_extractor(extractor)))
    stored = load_features(cache)
    halves = [half for entry in stored if entry.version == PLAIN for half in entry.halves()]
    return stored + halves


def rendered_features(
    clips: Mapping[str, Mapping[str, Any]], extractor: FeatureExtractor, cache: Path
) -> list[FeatureEntry]:
    """Return one version of every rendered clip, from the cache where it exists."""
    if not cache.exists():
        save_features(cache, _extract_rendered(clips, prepare_extractor(extractor)))
    return [entry for entry in load_features(cache) if entry.track_id in clips]


def _extract_real(tracks: RealTracks, extractor: FeatureExtractor) -> Iterator[FeatureEntry]:
    for count, track_id in enumerate(tracks.used):
        waveform = _loaded(str(tracks.folder / tracks.rows[track_id]["uri"]))
        shifted = waveform[round(SHIFT_SECONDS * _SAMPLE_RATE) :]
        yield _entry(track_id, PLAIN, waveform, extractor)
        if len(shifted) >= extractor.chunk_samples:
            yield _entry(track_id, SHIFTED, shifted, extractor)
        _log(count, len(tracks.used), "real tracks")


def _extract_rendered(clips: Mapping[str, Mapping[str, Any]], extractor: FeatureExtractor) -> Iterator[FeatureEntry]:
    for count, (track_id, row) in enumerate(clips.items()):
        waveform = _loaded(row["uri"])
        version = (PLAIN, DISTURBED)[count // _CLIPS_IN_TURN % 2]
        if version == DISTURBED:
            waveform = disturbed_waveform(waveform, [1, count])
        yield _entry(track_id, version, waveform, extractor)
        _log(count, len(clips), "rendered clips")


def _loaded(uri: str) -> npt.NDArray[np.float32]:
    waveform = muscaps.load_audio(uri)
    return np.asarray(waveform / 32_768 if waveform.dtype == np.int16 else waveform, dtype=np.float32)


@torch.inference_mode()
def _entry(track_id: str, version: str, waveform: npt.NDArray[np.float32], extractor: FeatureExtractor) -> FeatureEntry:
    chunks = torch.from_numpy(np.ascontiguousarray(to_chunks(waveform, extractor.chunk_samples)))
    features = torch.cat([extractor(part) for part in torch.split(chunks, 4)])
    return FeatureEntry(track_id=track_id, version=version, features=features.numpy().astype(np.float16))


def _log(count: int, total: int, what: str) -> None:
    if (count + 1) % 100 == 0 or count + 1 == total:
        logger.info("features of %d of %d %s", count + 1, total, what)
