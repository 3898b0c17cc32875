"""How many captions people accept as they are, with intervals, by certainty and by sample.

Conventions: the newest decision of each track counts. Shares are of decisions, 0 to 1. Intervals are Wilson's, 95 %.
Only a random sample says something about the whole catalogue.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.review.reviewed_captions import ReviewedCaptions

BANDS = (0.5, 0.6, 0.7, 0.8)
"""Limits of certainty between the rows of the table."""
_NORMAL_QUANTILE = 1.959964
"""Of the standard normal distribution at 0.975."""


@dataclass(frozen=True, kw_only=True)
class Share:
    """How many of some decisions accept the caption as it is."""

    group: str
    """Which decisions these are."""
    reviewed: int
    accepted: int
    edited: int
    rejected: int
    share_accepted: float | None
    """`accepted` divided by `reviewed`; None without decisions."""
    interval: tuple[float, float] | None


@dataclass(frozen=True, kw_only=True)
class ReviewScore:
    """What people decided."""

    total: Share
    samples: tuple[Share, ...]
    """By how the track was chosen: random, least_certain, by_person."""
    certainty: tuple[Share, ...]
    """By certainty, the lowest first."""
    tags_switched: dict[str, tuple[int, int]]
    """By facet: tags that people switched on, and off."""


def score_reviews(output: str) -> ReviewScore:
    """Count the decisions of an output.

    Raises:
        ValueError: There are none.
        StorageError: The output cannot be read.
    """
    reviews = list(ReviewedCaptions(output))
    if not reviews:
        raise ValueError(
            f"{output}: no reviews; save reviews.jsonl on the report page, then run "
            "`muscaps review apply OUTPUT reviews.jsonl`"
        )
    samples = ("random", "least_certain", None)
    return ReviewScore(
        total=_share("all", reviews),
        samples=tuple(
            _share(sample or "by_person", [row for row in reviews if row["sample"] == sample])
            for sample in samples
            if any(row["sample"] == sample for row in reviews)
        ),
        certainty=tuple(_by_certainty(reviews)),
        tags_switched=_switched(reviews),
    )


def wilson_interval(hits: int, count: int) -> tuple[float, float]:
    """Return the interval in which a share lies with a probability of 95 %, for `hits` of `count` observations."""
    z2 = _NORMAL_QUANTILE**2
    share = hits / count
    centre = (share + z2 / (2 * count)) / (1 + z2 / count)
    half = _NORMAL_QUANTILE / (1 + z2 / count) * math.sqrt(share * (1 - share) / count + z2 / (4 * count**2))
    return max(0.0, centre - half), min(1.0, centre + half)


def _share(group: str, reviews: Sequence[dict[str, Any]]) -> Share:
    verdicts = [row["verdict"] for row in reviews]
    accepted = verdicts.count("accepted")
    return Share(
        group=group,
        reviewed=len(reviews),
        accepted=accepted,
        edited=verdicts.count("edited"),
        rejected=verdicts.count("rejected"),
        share_accepted=accepted / len(reviews) if reviews else None,
        interval=wilson_interval(accepted, len(reviews)) if reviews else None,
    )


def _by_certainty(reviews: Sequence[dict[str, Any]]) -> Iterable[Share]:
    """Yield a share for each band of certainty that has decisions."""
    limits = (0.0, *BANDS, math.inf)
    for low, high in zip(limits, limits[1:], strict=False):
        inside = [row for row in reviews if row["certainty"] is not None and low <= row["certainty"] < high]
        if inside:
            yield _share(f"below {high:g}" if low == 0 else f"{low:g} to {min(high, 1):g}", inside)
    unknown = [row for row in reviews if row["certainty"] is None]
    if unknown:
        yield _share("unknown", unknown)


def _switched(reviews: Iterable[dict[str, Any]]) -> dict[str, tuple[int, int]]:
    counts: dict[str, list[int]] = {}
    for row in reviews:
        for position, name in enumerate(("tags_on", "tags_off")):
            for tag in row[name] or ():
                counts.setdefault(tag["facet"], [0, 0])[position] += 1
    return {facet: (on, off) for facet, (on, off) in sorted(counts.items())}
