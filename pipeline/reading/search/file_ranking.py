"""The best tracks of features files for one query."""

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline import storage
from pipeline.reading.search.index import FeatureFile, mean_features, read_features, track_biases
from pipeline.reading.search.query import SearchConfig
from pipeline.reading.search.scoring import query_length, score_tracks, track_bias


@dataclass(frozen=True, kw_only=True)
class ScoringPass:
    """How features files are scored."""

    query: str
    """A sentence."""
    top: int
    """Tracks to return."""
    bias_correction: bool
    """Subtract each track's bias."""
    use_means: bool
    """Score the mean feature of a track, not its chunks."""


class ScoredTrack(NamedTuple):
    """A track with its score."""

    score: float
    track_id: str
    features_uri: str
    """The features file it is in."""


def best_tracks(scored: Iterable[Iterable[ScoredTrack]], top: int) -> list[ScoredTrack]:
    """Return the `top` highest scores, best first, equal scores by track_id; holds only that many at a time."""
    tracks = (track for group in scored for track in group)
    return heapq.nsmallest(top, tracks, key=lambda track: (-track.score, track.track_id))


def rank_file(scoring: ScoringPass, file: FeatureFile, captioner: Any) -> list[ScoredTrack]:
    """Return the best tracks of one features file."""
    score = _score_means if scoring.use_means else _score_chunks
    track_ids, scores = score(scoring, file, captioner)
    return best_tracks([_scored(scores, track_ids, file)], scoring.top)


def _score_means(scoring: ScoringPass, file: FeatureFile, captioner: Any) -> tuple[list[str], np.ndarray]:
    """Return the track ids and the scores of the mean features, (tracks,)."""
    track_ids, means = mean_features(file)
    scores = score_tracks(captioner, list(means[:, None, :]), scoring.query)
    if scoring.bias_correction:
        scores -= track_biases(file, captioner, means) * query_length(scoring.query)
    return track_ids.to_pylist(), scores


def _score_chunks(
    scoring: ScoringPass, file: FeatureFile, captioner: Any, chosen: np.ndarray | None = None
) -> tuple[list[str], np.ndarray]:
    """Return the track ids and the scores of all chunks, (tracks,), of the rows `chosen` marks."""
    track_ids: list[str] = []
    scores = [np.zeros(0)]
    for batch_ids, features in read_features(file, file.keep if chosen is None else chosen):
        batch_scores = score_tracks(captioner, features, scoring.query)
        if scoring.bias_correction:
            batch_scores -= track_bias(captioner, features) * query_length(scoring.query)
        track_ids += batch_ids
        scores.append(batch_scores)
    return track_ids, np.concatenate(scores)


def _scored(scores: np.ndarray, track_ids: Sequence[str], file: FeatureFile) -> list[ScoredTrack]:
    return [ScoredTrack(float(score), name, file.uri) for score, name in zip(scores, track_ids, strict=True)]


def rescore_candidates(
    candidates: list[ScoredTrack], files: Sequence[FeatureFile], captioner: Any, config: SearchConfig
) -> list[ScoredTrack]:
    """Score candidates on all their chunks, reading only the files they are in; return the best."""
    scoring = ScoringPass(query=config.query, top=config.top, bias_correction=config.bias_correction, use_means=False)
    rescored: list[ScoredTrack] = []
    for file in files:
        wanted = pa.array([track.track_id for track in candidates if track.features_uri == file.uri], pa.string())
        if not len(wanted):
            continue
        filesystem, path = storage.filesystem(file.uri)
        ids = pq.read_table(path, filesystem=filesystem, columns=["track_id"])["track_id"]
        chosen = pc.is_in(ids, value_set=wanted).to_numpy() & file.keep
        track_ids, scores = _score_chunks(scoring, file, captioner, chosen)
        rescored += _scored(scores, track_ids, file)
    return best_tracks([rescored], config.top)
