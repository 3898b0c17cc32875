"""Search by log P(query | audio): scores of every query on every track, and ranks (paper section IV-C3, Table III)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from muscaps.captioner import Captioner
from muscaps.vocabulary import UNK, tokenize

Features = npt.NDArray[np.float32] | npt.NDArray[np.float16]
"""Chunk features of one track, (chunks, feature)."""


@dataclass(frozen=True, kw_only=True)
class RetrievalScores:
    """How well queries find their tracks (paper section IV-C3, Table III)."""

    recall_at_1: float
    """Share of queries whose track came first, 0 to 1; ties count by their chance."""
    recall_at_5: float
    """Share of queries whose track was among the first 5, 0 to 1."""
    recall_at_10: float
    """Share of queries whose track was among the first 10, 0 to 1."""
    median_rank: float
    """Median over queries of the track's expected rank; 1 is best."""
    num_queries: int
    """Number of queries."""
    num_tracks: int
    """Number of tracks."""
    queries_with_unk: int | None
    """Queries with a word that the vocabulary lacks; None where that was not given."""


def retrieval_scores(
    log_probs: npt.ArrayLike, targets: npt.ArrayLike, *, queries_with_unk: int | None = None
) -> RetrievalScores:
    """Rank tracks by log P(query | audio) and score the rank of each query's own track (Eq. 8, section IV-C3).

    Tracks that share a score are ranked in random order in expectation, so a model that gives every track the
    same score gets chance level, whatever the order of the tracks.

    Args:
        log_probs: Score of each track for each query, (queries, tracks); -inf is allowed.
        targets: Column of each query's own track, (queries,).
        queries_with_unk: How many queries held an unknown word, to be reported with the scores.

    Raises:
        ValueError: Shapes that do not fit, a target that is no column, or a score that is not a number.
    """
    scores = np.asarray(log_probs, dtype=np.float64)
    columns = np.asarray(targets)
    if scores.ndim != 2 or columns.shape != scores.shape[:1] or scores.size == 0:
        raise ValueError(
            f"log_probs {scores.shape} and targets {columns.shape} must be (queries, tracks) and (queries,)"
        )
    if np.isnan(scores).any():
        raise ValueError(f"{int(np.isnan(scores).sum())} of {scores.size} scores are not a number")
    if not np.issubdtype(columns.dtype, np.integer) or columns.min() < 0 or columns.max() >= scores.shape[1]:
        raise ValueError(f"targets must be whole numbers from 0 to {scores.shape[1] - 1}")
    own = scores[np.arange(len(columns)), columns][:, None]
    better = (scores > own).sum(axis=1)
    tied = (scores == own).sum(axis=1)  # the track itself included

    def recall_at(k: int) -> float:
        return float(np.clip((k - better) / tied, 0, 1).mean())

    return RetrievalScores(
        recall_at_1=recall_at(1),
        recall_at_5=recall_at(5),
        recall_at_10=recall_at(10),
        median_rank=float(np.median(better + (tied + 1) / 2)),
        num_queries=scores.shape[0],
        num_tracks=scores.shape[1],
        queries_with_unk=queries_with_unk,
    )


def retrieve(
    captioner: Captioner,
    tracks: Sequence[Features],
    references: Sequence[Sequence[str]],
    *,
    num_queries: int = 100,
    seed: int = 0,
) -> RetrievalScores:
    """Search for tracks by their own captions (section IV-C3).

    Args:
        captioner: The model.
        tracks: Features, (chunks, feature) each.
        references: Captions of each track; the first one may become a query.
        num_queries: Queries drawn, at most one a track.
        seed: Seeds the draw.
    """
    count = min(num_queries, len(tracks))
    targets = np.sort(np.random.default_rng(seed).choice(len(tracks), size=count, replace=False))
    queries = [captioner.vocabulary.encode(tokenize(references[target][0])) for target in targets]
    return retrieval_scores(
        query_log_probs(captioner, tracks, queries),
        targets,
        queries_with_unk=sum(UNK in query for query in queries),
    )


@torch.inference_mode()
def query_log_probs(
    captioner: Captioner, tracks: Sequence[Features], queries: Sequence[Sequence[int]], *, batch: int = 256
) -> npt.NDArray[np.float64]:
    """Score every query on every track by log P(words, `<eos>` | audio) (Eq. 8); each track is encoded once.

    Args:
        captioner: The model.
        tracks: Features, (chunks, feature) each.
        queries: Ids from `<sos>` to `<eos>`.
        batch: Tracks scored at once.

    Returns:
        Natural logarithms, (queries, tracks).
    """
    scores = np.zeros((len(queries), len(tracks)))
    for start in range(0, len(tracks), batch):
        padded, mask = _pad(tracks[start : start + batch], captioner.device)
        encoded = captioner.model.encode(padded, mask)
        rows = mask.shape[0]
        for number, query in enumerate(queries):
            state, total = captioner.model.start(encoded), torch.zeros(rows, dtype=torch.float64)
            for word, following in zip(query, query[1:], strict=False):
                words = torch.full((rows,), word, device=captioner.device)
                log_probs, state = captioner.model.step(encoded, state, words)
                total += log_probs[:, following].double().cpu()
            scores[number, start : start + rows] = total.numpy()
    return scores


def _pad(tracks: Sequence[Features], device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Stack tracks: (batch, chunks, feature) and a mask, (batch, chunks)."""
    longest = max(len(track) for track in tracks)
    padded = np.zeros((len(tracks), longest, tracks[0].shape[1]), dtype=np.float32)
    mask = np.zeros((len(tracks), longest), dtype=bool)
    for row, track in enumerate(tracks):
        padded[row, : len(track)] = track
        mask[row, : len(track)] = True
    return torch.from_numpy(padded).to(device), torch.from_numpy(mask).to(device)
