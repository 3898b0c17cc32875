"""Whether tag scores are probabilities: of the tags with score 0.8, about 80 % should be right.

Conventions: a score is judged where the catalogue states something in the tag's layer (`evaluation.facts`): tags it
does not state count as wrong. Bins are ten equal parts of 0 to 1; a score of 1 belongs to the last one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from muscaps.evaluation.facts import LAYERS, FactLayer, facts_in
from muscaps.lexicon import tags_of
from muscaps.tags import MIN_TAG_SCORE

NUM_BINS = 10

_LAYER_OF: Mapping[tuple[str, str], FactLayer] = {
    ({"family": "instrument", "feel": "mood"}.get(layer, layer), tag): layer
    for layer in reversed(LAYERS)  # a name in two layers means the coarser one
    for tag in tags_of(layer)
}


@dataclass(frozen=True, kw_only=True)
class ReliabilityBin:
    """Scores of one tenth of the range; means are None where there are none."""

    low: float
    high: float
    num_scores: int
    mean_score: float | None
    share_right: float | None


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """How scores agree with how often they are right."""

    num_scores: int
    expected_calibration_error: float
    """Mean distance of a bin's mean score from its share of right tags, weighted by the bin's scores."""
    brier_score: float
    """Mean squared distance of a score from 1 if right and 0 if wrong."""
    bins: tuple[ReliabilityBin, ...]
    num_counted: int
    """Scores from which a tag counts (`MIN_TAG_SCORE`)."""
    counted_precision: float | None
    """Share of these tags that are right; None without any."""


def judged_scores(
    tags: Sequence[Sequence[tuple[str, str, float]]], rows: Sequence[Mapping[str, Any]]
) -> dict[str, tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]]:
    """Collect the scores that a catalogue can judge.

    Args:
        tags: (facet, tag, score) of each track.
        rows: The tracks' catalogue rows, in the same order.

    Returns:
        By facet the scores and whether the catalogue states the tag, both (scores,).
    """
    found: dict[str, list[tuple[float, bool]]] = {}
    for scored, row in zip(tags, rows, strict=True):
        facts = {layer: facts_in(row, layer) for layer in LAYERS}
        for facet, tag, score in scored:
            layer = _LAYER_OF.get((facet, tag))
            if layer is not None and facts[layer]:
                found.setdefault(facet, []).append((score, tag in facts[layer]))
    return {
        facet: (np.array([score for score, _ in pairs]), np.array([right for _, right in pairs]))
        for facet, pairs in found.items()
    }


def calibration(scores: npt.NDArray[np.float64], right: npt.NDArray[np.bool_]) -> Calibration:
    """Measure calibration.

    Args:
        scores: Between 0 and 1, (scores,).
        right: Whether each was right, (scores,).

    Raises:
        ValueError: There are no scores, or one lies outside of 0 to 1.
    """
    if len(scores) == 0 or not ((scores >= 0) & (scores <= 1)).all():
        raise ValueError("calibration needs scores, each between 0 and 1")
    number = np.minimum((scores * NUM_BINS).astype(int), NUM_BINS - 1)
    counted = scores >= MIN_TAG_SCORE
    bins, error = [], 0.0
    for index in range(NUM_BINS):
        inside = number == index
        count = int(inside.sum())
        mean_score = float(scores[inside].mean()) if count else None
        share_right = float(right[inside].mean()) if count else None
        if mean_score is not None and share_right is not None:
            error += count / len(scores) * abs(mean_score - share_right)
        bins.append(
            ReliabilityBin(
                low=index / NUM_BINS,
                high=(index + 1) / NUM_BINS,
                num_scores=count,
                mean_score=mean_score,
                share_right=share_right,
            )
        )
    return Calibration(
        num_scores=len(scores),
        expected_calibration_error=error,
        brier_score=float(((scores - right) ** 2).mean()),
        bins=tuple(bins),
        num_counted=int(counted.sum()),
        counted_precision=float(right[counted].mean()) if counted.any() else None,
    )
