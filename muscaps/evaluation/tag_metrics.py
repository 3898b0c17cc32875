"""Ranking metrics of a tagger: ROC-AUC and average precision per tag."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np


def _ranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 1, equal values sharing their mean rank."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return cast(np.ndarray, ((last - counts + 1 + last) / 2)[inverse])


def roc_auc(truth: np.ndarray, scores: np.ndarray) -> float:
    """Compute the area under the receiver operating characteristic.

    It is the probability that a clip with the tag ranks above one without it.

    Args:
        truth: Which clips have the tag, (clips,).
        scores: Higher for clips that more likely have the tag, (clips,).

    Returns:
        0 to 1, ties counting half; NaN if all clips or none have the tag.
    """
    truth = truth.astype(bool)
    positives = int(truth.sum())
    negatives = len(truth) - positives
    if positives == 0 or negatives == 0:
        return math.nan
    wins = _ranks(scores)[truth].sum() - positives * (positives + 1) / 2
    return float(wins / (positives * negatives))


def pr_auc(truth: np.ndarray, scores: np.ndarray) -> float:
    """Compute average precision: the mean of the precision at every true clip, equal scores taken together.

    Args:
        truth: Which clips have the tag, (clips,).
        scores: Higher for clips that more likely have the tag, (clips,).

    Returns:
        0 to 1; NaN if no clip has the tag.
    """
    truth = truth.astype(bool)
    if not truth.any():
        return math.nan
    order = np.argsort(-scores, kind="stable")
    hits, ordered = np.cumsum(truth[order]), scores[order]
    last = np.append(np.flatnonzero(np.diff(ordered)), len(ordered) - 1)  # the last clip of every score
    precision = hits[last] / (last + 1)
    gained = np.diff(hits[last], prepend=0) / hits[-1]
    return float((precision * gained).sum())


@dataclass(frozen=True, kw_only=True)
class TaggingScores:
    """Ranking metrics of tags on clips that were not trained on."""

    roc_auc: dict[str, float]
    """By tag; tags that no clip or every clip has are left out."""
    pr_auc: dict[str, float]
    """Average precision by tag."""
    clips: int
    """Clips scored."""

    @property
    def mean_roc_auc(self) -> float:
        """Unweighted mean over tags."""
        return float(np.mean(list(self.roc_auc.values()))) if self.roc_auc else math.nan

    @property
    def mean_pr_auc(self) -> float:
        """Unweighted mean over tags."""
        return float(np.mean(list(self.pr_auc.values()))) if self.pr_auc else math.nan


def score_tags(truth: np.ndarray, scores: np.ndarray, tags: Sequence[str]) -> TaggingScores:
    """Compare tag scores with the truth, both (clips, tags)."""
    defined = [index for index in range(len(tags)) if 0 < truth[:, index].sum() < len(truth)]
    return TaggingScores(
        roc_auc={tags[index]: roc_auc(truth[:, index], scores[:, index]) for index in defined},
        pr_auc={tags[index]: pr_auc(truth[:, index], scores[:, index]) for index in defined},
        clips=len(truth),
    )
