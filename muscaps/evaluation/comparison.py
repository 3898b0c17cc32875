"""Captions before and after fine-tuning on the same held-out tracks: better, worse, or cannot tell.

Conventions: every measure is a ratio of two sums over tracks. Its difference has a 95 % interval from a paired
bootstrap over tracks. The verdict is `worse` if a measure's whole interval is on the wrong side of 0, `better` if
CIDEr's whole interval is above 0 and no measure is worse, otherwise `cannot tell`. CIDEr is 0 to 10.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from muscaps.evaluation.caption_metrics import cider_of_each
from muscaps.evaluation.language import repeated_words
from muscaps.lexicon import claims
from muscaps.vocabulary import tokenize

Verdict = Literal["better", "worse", "cannot tell"]
MIN_PAIRS = 10
"""Pairs below which the verdict is `cannot tell`: the bootstrap of fewer is too narrow."""
_RESAMPLES = 2_000


@dataclass(frozen=True, kw_only=True)
class HeldOutTrack:
    """The captions of a held-out track."""

    track_id: str
    references: tuple[str, ...]
    before: str
    """Caption of the captioner before training."""
    after: str
    """Caption of the captioner after training."""
    new_pairs_before: tuple[int, int] = (0, 0)
    """Word pairs of `before` that occur in no training caption and no caption before training, and all its pairs."""
    new_pairs_after: tuple[int, int] = (0, 0)
    """The same of `after`."""


@dataclass(frozen=True, kw_only=True)
class Measure:
    """One measure before and after training."""

    name: str
    """`cider`, `facts_precision`, `faulty_captions` or `new_word_pairs`."""
    before: float
    after: float
    difference: float
    interval: tuple[float, float]
    """95 % interval of the difference."""
    higher_is_better: bool

    @property
    def gain(self) -> int:
        """1 if surely better, -1 if surely worse, 0 if the interval contains 0."""
        low, high = self.interval if self.higher_is_better else (-self.interval[1], -self.interval[0])
        return 1 if low > 0 else -1 if high < 0 else 0


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What fine-tuning changed."""

    verdict: Verdict
    num_pairs: int
    measures: tuple[Measure, ...]


def compare(tracks: Sequence[HeldOutTrack]) -> Comparison:
    """Compare the captions of held-out tracks; CIDEr is left out without the `evaluate` extra."""
    measures = []
    if tracks:
        ratios = {
            "cider": (_cider(tracks), True),
            "facts_precision": (_facts(tracks), True),
            "faulty_captions": (_faults(tracks), False),
            "new_word_pairs": (_new_pairs(tracks), False),
        }
        for name, (sides, higher_is_better) in ratios.items():
            if sides is not None:
                measures += _measure(name, *sides, higher_is_better=higher_is_better)
    return Comparison(verdict=_verdict(len(tracks), measures), num_pairs=len(tracks), measures=tuple(measures))


Sums = npt.NDArray[np.float64]
"""Numerator and denominator of each track, (tracks, 2)."""


def _measure(name: str, before: Sums, after: Sums, *, higher_is_better: bool) -> list[Measure]:
    """Return the measure; none where one side has nothing to measure."""
    if not before[:, 1].sum() or not after[:, 1].sum():
        return []
    rows = np.random.default_rng(0).integers(len(before), size=(_RESAMPLES, len(before)))
    with np.errstate(invalid="ignore", divide="ignore"):
        differences = _ratio(after[rows]) - _ratio(before[rows])
    low, high = np.nanpercentile(differences, [2.5, 97.5])
    old, new = float(_ratio(before)), float(_ratio(after))
    interval = (float(low), float(high))
    return [
        Measure(
            name=name,
            before=old,
            after=new,
            difference=new - old,
            interval=interval,
            higher_is_better=higher_is_better,
        )
    ]


def _ratio(sums: Sums) -> Any:
    totals = sums.sum(axis=-2)
    return totals[..., 0] / totals[..., 1]


def _verdict(num_pairs: int, measures: Sequence[Measure]) -> Verdict:
    if num_pairs < MIN_PAIRS:
        return "cannot tell"
    if any(measure.gain < 0 for measure in measures):
        return "worse"
    return "better" if any(measure.name == "cider" and measure.gain > 0 for measure in measures) else "cannot tell"


def _cider(tracks: Sequence[HeldOutTrack]) -> tuple[Sums, Sums] | None:
    references = [[" ".join(tokenize(text)) or "-" for text in track.references] for track in tracks]
    sides = []
    for texts in ([track.before for track in tracks], [track.after for track in tracks]):
        try:
            scores = cider_of_each([" ".join(tokenize(text)) or "-" for text in texts], references)
        except ImportError:
            return None
        sides.append(np.array([(score if math.isfinite(score) else 0.0, 1.0) for score in scores]))
    return sides[0], sides[1]


def _facts(tracks: Sequence[HeldOutTrack]) -> tuple[Sums, Sums]:
    """Claims that a reference makes, of the claims about something that the references state."""

    def counted(text: str, references: Sequence[str]) -> tuple[float, float]:
        stated = {(claim.layer, claim.tag) for reference in references for claim in claims(reference)}
        layers = {layer for layer, _ in stated}
        claimed = {(claim.layer, claim.tag) for claim in claims(text) if claim.layer in layers}
        return float(len(claimed & stated)), float(len(claimed))

    return _both(tracks, counted)


def _faults(tracks: Sequence[HeldOutTrack]) -> tuple[Sums, Sums]:
    """Captions that are empty, hold `<unk>`, or hold a content word twice."""

    def counted(text: str, references: Sequence[str]) -> tuple[float, float]:
        return float(not text or "<unk>" in text or bool(repeated_words(text))), 1.0

    return _both(tracks, counted)


def _both(tracks: Sequence[HeldOutTrack], counted: Any) -> tuple[Sums, Sums]:
    before = np.array([counted(track.before, track.references) for track in tracks], dtype=np.float64)
    after = np.array([counted(track.after, track.references) for track in tracks], dtype=np.float64)
    return before, after


def _new_pairs(tracks: Sequence[HeldOutTrack]) -> tuple[Sums, Sums]:
    return (
        np.array([track.new_pairs_before for track in tracks], dtype=np.float64),
        np.array([track.new_pairs_after for track in tracks], dtype=np.float64),
    )
