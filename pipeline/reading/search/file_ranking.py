"""The best tracks of features files for one query."""

import heapq
import itertools
import math
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
from pipeline.reading.search.tag_evidence import SENTENCE_WEIGHT, tag_fit
from pipeline.reading.search.terms import SearchTerms


@dataclass(frozen=True, kw_only=True)
class ScoringPass:
    """How features files are scored."""

    terms: SearchTerms
    """What is asked for."""
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
    fit: float = math.nan
    """Geometric mean of the probabilities of the query's tags."""


def best_tracks(scored: Iterable[Iterable[ScoredTrack]], top: int) -> list[ScoredTrack]:
    """Return the `top` highest scores, best first, equal scores by track_id; holds only that many at a time.

    Tracks with a score of minus infinity are left out.
    """
    tracks = (track for group in scored for track in group if track.score > -math.inf)
    return heapq.nsmallest(top, tracks, key=lambda track: (-track.score, track.track_id))


def rank_file(scoring: ScoringPass, file: FeatureFile, captioner: Any) -> list[ScoredTrack]:
    """Return the best tracks of one features file."""
    if scoring.use_means:
        track_ids, means = mean_features(file)
        bias = track_biases(file, captioner, means) if scoring.bias_correction else None
        scores, fit = _scores(scoring, captioner, list(means[:, None, :]), means, bias)
        scores += file.extra[file.keep] if file.extra is not None else 0.0
        return best_tracks([_scored(scores, fit, track_ids.to_pylist(), file)], scoring.top)
    return best_tracks([_rank_chunks(scoring, file, captioner, file.keep)], scoring.top)


def _rank_chunks(scoring: ScoringPass, file: FeatureFile, captioner: Any, chosen: np.ndarray) -> list[ScoredTrack]:
    """Score the rows that `chosen` marks on all their chunks."""
    extra = np.zeros(len(chosen)) if file.extra is None else file.extra
    scored: list[ScoredTrack] = []
    rows = iter(np.flatnonzero(chosen))
    for batch_ids, features in read_features(file, chosen):
        means = np.stack([track.mean(axis=0, dtype=np.float32) for track in features])
        bias = track_bias(captioner, features) if scoring.bias_correction else None
        scores, fit = _scores(scoring, captioner, features, means, bias)
        scores += extra[list(itertools.islice(rows, len(batch_ids)))]
        scored += _scored(scores, fit, batch_ids, file)
    return scored


def _scores(
    scoring: ScoringPass,
    captioner: Any,
    features: Sequence[np.ndarray],
    means: np.ndarray,
    bias: np.ndarray | None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return scores and fits, (tracks,) each.

    Args:
        scoring: The query.
        captioner: A `muscaps.Captioner`.
        features: Tracks, (chunks, feature) each.
        means: Their means, (tracks, feature).
        bias: Bias per word of each track, (tracks,); None without bias correction.
    """
    terms = scoring.terms
    found = tag_fit(captioner, means, terms)
    scores = found.evidence.copy()
    if terms.sentence:
        words = score_tracks(captioner, features, terms.sentence)
        if bias is not None:
            words -= bias * query_length(terms.sentence)
        scores += words * (1.0 if captioner.tagger is None else SENTENCE_WEIGHT)
    return scores, found.fit


def _scored(scores: np.ndarray, fit: np.ndarray, track_ids: Sequence[str], file: FeatureFile) -> list[ScoredTrack]:
    return [
        ScoredTrack(float(score), name, file.uri, float(one))
        for score, one, name in zip(scores, fit, track_ids, strict=True)
    ]


def rescore_candidates(
    candidates: list[ScoredTrack],
    files: Sequence[FeatureFile],
    captioner: Any,
    config: SearchConfig,
    terms: SearchTerms,
) -> list[ScoredTrack]:
    """Score candidates on all their chunks, reading only the files they are in; return the best."""
    scoring = ScoringPass(terms=terms, top=config.top, bias_correction=config.bias_correction, use_means=False)
    rescored: list[ScoredTrack] = []
    for file in files:
        wanted = pa.array([track.track_id for track in candidates if track.features_uri == file.uri], pa.string())
        if not len(wanted):
            continue
        filesystem, path = storage.filesystem(file.uri)
        ids = pq.read_table(path, filesystem=filesystem, columns=["track_id"])["track_id"]
        chosen = pc.is_in(ids, value_set=wanted).to_numpy() & file.keep
        rescored += _rank_chunks(scoring, file, captioner, chosen)
    return best_tracks([rescored], config.top)
