"""Fitting and calibrating tag heads: logistic regressions on the mean of a track's chunk features.

All tags are fitted together, each under its own mask: a fact that is unknown neither counts for nor against a tag.
Calibration is Platt scaling on scores of tracks that a head was not fitted on, with one slope a group of tags and one
offset a tag that is drawn towards the group's, because most tags have few tracks.

Conventions: labels and masks are (tracks, tags) of 0 and 1; folds keep all versions of a piece together.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional as F

Array = npt.NDArray[np.float32]

MAX_ITERATIONS = 60
"""Steps of L-BFGS; the loss changes by less than 1e-3 of itself after about 40 (800 features, 3,000 tracks)."""
OFFSET_PENALTY = 2.0
SLOPE_PENALTY = 1.0
"""How strongly Platt scaling keeps to a group's offset and to a slope of 1, in units of the summed log loss."""


@dataclass(frozen=True, kw_only=True)
class LinearHeads:
    """Logits of tags as a linear function of mean features."""

    weight: npt.NDArray[np.float64]
    """(tags, feature)."""
    bias: npt.NDArray[np.float64]
    """(tags,)."""

    def logits(self, means: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """(tracks, feature) -> (tracks, tags)."""
        found: npt.NDArray[np.float64] = means.astype(np.float64) @ self.weight.T + self.bias
        return found


def fit_heads(
    means: Array, labels: Array, known: Array, importance: Array, ridge: float, reference: Array | None = None
) -> LinearHeads:
    """Fit one logistic regression a tag.

    Args:
        means: Mean features, (tracks, feature).
        labels: 1 where a tag is true, (tracks, tags).
        known: 1 where it is known whether a tag is true, (tracks, tags).
        importance: How many tracks each one counts for, (tracks,).
        ridge: Weight of half the squared norm of a tag's weights, on standardised features.
        reference: Tracks whose mean and deviation standardise the features, (some, feature); all by default. Real
            tracks alone make rendered and real ones comparable where it matters.
    """
    reference = means if reference is None else reference
    centre, spread = reference.mean(axis=0), reference.std(axis=0) + 1e-3
    inputs = torch.from_numpy((means - centre) / spread)
    targets, counted = torch.from_numpy(labels), torch.from_numpy(known * importance[:, None])
    weight = torch.zeros(inputs.shape[1], targets.shape[1], requires_grad=True)
    prior = ((targets * counted).sum(dim=0) + 1) / (counted.sum(dim=0) + 4)
    bias = torch.logit(prior).clone().requires_grad_(True)
    optimizer = torch.optim.LBFGS(
        [weight, bias], max_iter=MAX_ITERATIONS, history_size=10, line_search_fn="strong_wolfe"
    )

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = F.binary_cross_entropy_with_logits(inputs @ weight + bias, targets, reduction="none")
        total = ((loss * counted).sum() + 0.5 * ridge * weight.square().sum()) / len(inputs)
        total.backward()  # type: ignore[no-untyped-call]
        return total

    optimizer.step(closure)  # type: ignore[no-untyped-call]
    scaled = (weight.detach().double().numpy() / spread[:, None]).T
    return LinearHeads(weight=scaled, bias=bias.detach().double().numpy() - scaled @ centre)


def platt_scaling(
    logits: npt.NDArray[np.float64], labels: Array, known: Array, groups: Sequence[Sequence[int]]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Fit an affine map of each tag's logit that makes its sigmoid a probability.

    Args:
        logits: Of tracks that the heads were not fitted on, (tracks, tags).
        labels: (tracks, tags).
        known: (tracks, tags).
        groups: Places of tags that share a slope.

    Returns:
        Slope and offset of each tag, (tags,) each; 1 and 0 for tags in no group.
    """
    slopes, offsets = np.ones(logits.shape[1]), np.zeros(logits.shape[1])
    for group in groups:
        places = list(group)
        inputs, targets, counted = (
            torch.from_numpy(np.asarray(part[:, places], dtype=np.float64)) for part in (logits, labels, known)
        )
        slope = torch.ones(1, dtype=torch.float64, requires_grad=True)
        common = torch.zeros(1, dtype=torch.float64, requires_grad=True)
        own = torch.zeros(len(places), dtype=torch.float64, requires_grad=True)
        optimizer = torch.optim.LBFGS([slope, common, own], max_iter=100, line_search_fn="strong_wolfe")
        closure = _platt_closure(optimizer, inputs, targets, counted, slope, common, own)
        optimizer.step(closure)  # type: ignore[no-untyped-call]
        slopes[places] = slope.item()
        offsets[places] = (common + own).detach().numpy()
    return slopes, offsets


def _platt_closure(
    optimizer: torch.optim.LBFGS,
    inputs: torch.Tensor,
    targets: torch.Tensor,
    counted: torch.Tensor,
    slope: torch.Tensor,
    common: torch.Tensor,
    own: torch.Tensor,
) -> Callable[[], torch.Tensor]:
    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = F.binary_cross_entropy_with_logits(slope * inputs + common + own, targets, reduction="none")
        penalty = OFFSET_PENALTY * own.square().sum() + SLOPE_PENALTY * (slope - 1).square().sum()
        total = (loss * counted).sum() + penalty
        total.backward()  # type: ignore[no-untyped-call]
        return total

    return closure


def reliability(
    scores: npt.NDArray[np.float64], labels: Array, known: Array, num_bins: int = 5
) -> list[dict[str, float | int]]:
    """Compare scores with how often the tags are true, in equal parts of 0 to 1.

    Returns:
        Per part that has scores: `mean_score`, `share_right` and `num_scores`.
    """
    chosen, right = scores[known > 0], labels[known > 0]
    places = np.minimum((chosen * num_bins).astype(int), num_bins - 1)
    return [
        {
            "mean_score": round(float(chosen[places == place].mean()), 3),
            "share_right": round(float(right[places == place].mean()), 3),
            "num_scores": int((places == place).sum()),
        }
        for place in range(num_bins)
        if (places == place).any()
    ]
