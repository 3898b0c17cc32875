"""What captions claim, held against the facts of a catalogue: precision, recall and lift of each facet.

Conventions:

- Captions and catalogue cells are read by the same lexicon (`muscaps.lexicon`). A track counts for a facet where the
  catalogue states something about it: an empty cell means unknown. Other tags of that facet count as absent.
- Moods and energies exclude each other: a track whose `feel` names both sides does not count.
- Precision and recall are fractions of claims and of facts. Shuffled precision is the expectation when the captions are
  shuffled among all tracks, in closed form. Lift is precision divided by it; 1 is chance.
- Intervals are percentiles, 2.5 to 97.5, of a bootstrap over tracks.
- Tempo classes: slow below 85 beats per minute, fast above 128.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from muscaps.lexicon import Layer, claims, tags_in, tags_of, tempo_class

FactLayer = Literal["family", "instrument", "mood", "feel", "energy", "tempo", "genre"]
LAYERS: tuple[FactLayer, ...] = get_args(FactLayer)
"""Layers of the lexicon that a catalogue can state, in the order of the report."""

_EXCLUSIVE = frozenset({"mood", "energy"})
_COLUMN: Mapping[FactLayer, str] = {
    "family": "instruments",
    "instrument": "instruments",
    "mood": "feel",
    "feel": "feel",
    "energy": "feel",
    "tempo": "bpm",
    "genre": "genre",
}
COLUMNS = ("instruments", "feel", "genre", "bpm")
"""Catalogue columns that state facts; at least one must be there."""

Interval = tuple[float, float]
Indicator = npt.NDArray[np.bool_]
"""Claimed or stated, (tracks, tags), or known, (tracks,)."""


@dataclass(frozen=True, kw_only=True)
class FactsOptions:
    """How precision is put beside chance."""

    num_shuffles: int = 1000
    """Shuffles of captions among tracks, for the p-value."""
    num_resamples: int = 1000
    """Bootstrap samples of tracks, for the intervals."""
    seed: int = 0
    """Seeds shuffles and bootstrap."""

    def __post_init__(self) -> None:
        if self.num_shuffles < 1 or self.num_resamples < 1:
            raise ValueError(
                f"num_shuffles={self.num_shuffles} and num_resamples={self.num_resamples} must be at least 1"
            )


@dataclass(frozen=True, kw_only=True)
class Rates:
    """How often claims are right, for one facet or one of its tags; None where nothing can be divided."""

    num_claims: int
    """Claims about tracks with known facts."""
    num_facts: int
    """Tags the catalogue states."""
    num_hits: int
    """Claims that the catalogue states."""
    precision: float | None
    """Share of the claims that the catalogue states."""
    recall: float | None
    """Share of the catalogue's tags that are claimed."""
    shuffled_precision: float | None
    """Expected precision of the same captions on other tracks."""

    @property
    def lift(self) -> float | None:
        """Precision over shuffled precision."""
        return _ratio(self.precision, self.shuffled_precision)


@dataclass(frozen=True, kw_only=True)
class WordRates:
    """How often one phrase is right."""

    word: str
    tag: str
    num_claims: int
    """Captions with the phrase, of tracks with known facts."""
    precision: float
    base_rate: float
    """Share of the tracks with known facts whose catalogue row states the tag."""


@dataclass(frozen=True, kw_only=True)
class FacetFacts:
    """Claims of one layer held against the catalogue."""

    layer: FactLayer
    num_tracks: int
    """Tracks with known facts."""
    rates: Rates
    named_per_caption: float
    """Claims about tracks with known facts, divided by all captions."""
    precision_interval: Interval | None
    recall_interval: Interval | None
    lift_interval: Interval | None
    p_value: float | None
    """Share of shuffles with at least this precision."""
    tags: dict[str, Rates]
    """By tag, those that are claimed or stated."""
    words: tuple[WordRates, ...]
    """By phrase, the most frequent first."""


def facts_in(row: Mapping[str, Any], layer: FactLayer) -> frozenset[str]:
    """Return the tags of a layer that a catalogue row states; none means unknown.

    Args:
        row: A catalogue row; missing columns and None are unknown, `bpm` is a number or its text, 0 for unknown.
        layer: The layer.

    Raises:
        ValueError: `bpm` is not a number.
    """
    cell = row.get(_COLUMN[layer])
    if cell is None or cell == "":
        return frozenset()
    if layer == "tempo":
        bpm = _number(cell)
        return frozenset({tempo_class(bpm)}) if bpm > 0 else frozenset()
    stated = tags_in(", ".join(map(str, cell)) if isinstance(cell, (list, tuple)) else str(cell), layer)
    return frozenset() if layer in _EXCLUSIVE and len(stated) > 1 else stated


def _number(cell: object) -> float:
    try:
        return float(str(cell))
    except ValueError:
        raise ValueError(f"bpm must be a number, not {cell!r}") from None


def measure_facet(
    layer: FactLayer, captions: Sequence[str], rows: Sequence[Mapping[str, Any]], options: FactsOptions
) -> FacetFacts:
    """Hold what captions claim in one layer against the facts.

    Args:
        layer: The layer.
        captions: One a track.
        rows: The tracks' catalogue rows, in the same order.
        options: Shuffles and bootstrap.

    Raises:
        ValueError: There are no tracks, or a fact cannot be read.
    """
    if not captions or len(captions) != len(rows):
        raise ValueError(f"{len(captions)} captions do not fit {len(rows)} catalogue rows, or there are none")
    tags = tags_of(layer)
    claimed = _indicator([tags_in(text, layer) for text in captions], tags)
    stated = _indicator([facts_in(row, layer) for row in rows], tags)
    known: Indicator = np.asarray(stated.any(axis=1))
    rng = np.random.default_rng(options.seed)
    rates = _rates(claimed, stated, known)
    intervals = _intervals(claimed, stated, known, options.num_resamples, rng)
    return FacetFacts(
        layer=layer,
        num_tracks=int(known.sum()),
        rates=rates,
        named_per_caption=rates.num_claims / len(captions),
        precision_interval=intervals[0],
        recall_interval=intervals[1],
        lift_interval=intervals[2],
        p_value=_p_value(claimed, stated, known, rates.precision, options.num_shuffles, rng),
        tags={
            tag: _rates(claimed[:, [index]], stated[:, [index]], known)
            for index, tag in enumerate(tags)
            if claimed[known, index].any() or stated[:, index].any()
        },
        words=_word_rates(layer, captions, stated, known),
    )


def _indicator(sets: Sequence[frozenset[str]], tags: Sequence[str]) -> Indicator:
    """Turn sets of tags into (tracks, tags)."""
    return np.array([[tag in chosen for tag in tags] for chosen in sets], dtype=bool).reshape(len(sets), len(tags))


def _rates(claimed: Indicator, stated: Indicator, known: Indicator) -> Rates:
    num_claims, num_facts = int(claimed[known].sum()), int(stated[known].sum())
    hits = int((claimed & stated)[known].sum())
    return Rates(
        num_claims=num_claims,
        num_facts=num_facts,
        num_hits=hits,
        precision=_ratio(hits, num_claims),
        recall=_ratio(hits, num_facts),
        shuffled_precision=_ratio(*_shuffled(claimed, stated, known)),
    )


def _shuffled(claimed: Indicator, stated: Indicator, known: Indicator) -> tuple[float, float]:
    """Expected hits and claims when captions are shuffled: every caption meets every track with known facts."""
    per_tag = claimed.sum(axis=0, dtype=np.float64)
    hits = float(per_tag @ stated[known].sum(axis=0, dtype=np.float64)) / len(claimed)
    return hits, float(per_tag.sum() * known.sum()) / len(claimed)


def _intervals(
    claimed: Indicator,
    stated: Indicator,
    known: Indicator,
    num_resamples: int,
    rng: np.random.Generator,
) -> tuple[Interval | None, Interval | None, Interval | None]:
    """Bootstrap precision, recall and lift over tracks."""
    found = []
    for _ in range(num_resamples):
        rows = rng.integers(len(claimed), size=len(claimed))
        rates = _rates(claimed[rows], stated[rows], known[rows])
        found.append((rates.precision, rates.recall, rates.lift))
    precision, recall, lift = (
        _percentiles([value for value in column if value is not None]) for column in zip(*found, strict=True)
    )
    return precision, recall, lift


def _percentiles(values: Sequence[float]) -> Interval | None:
    if not values:
        return None
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)


def _p_value(
    claimed: Indicator,
    stated: Indicator,
    known: Indicator,
    precision: float | None,
    num_shuffles: int,
    rng: np.random.Generator,
) -> float | None:
    if precision is None:
        return None
    facts, as_good = stated[known], 0
    for _ in range(num_shuffles):
        shuffled = claimed[rng.permutation(len(claimed))[known]]
        total = int(shuffled.sum())
        as_good += total > 0 and (shuffled & facts).sum() / total >= precision
    return int(as_good) / num_shuffles


def _word_rates(layer: Layer, captions: Sequence[str], stated: Indicator, known: Indicator) -> tuple[WordRates, ...]:
    column = {tag: index for index, tag in enumerate(tags_of(layer))}
    right: dict[tuple[str, str], list[bool]] = {}
    for track, text in enumerate(captions):
        if not known[track]:
            continue
        for word, tag in {(claim.phrase, claim.tag) for claim in claims(text) if claim.layer == layer}:
            right.setdefault((word, tag), []).append(bool(stated[track, column[tag]]))
    found = [
        WordRates(
            word=word,
            tag=tag,
            num_claims=len(hits),
            precision=sum(hits) / len(hits),
            base_rate=float(stated[known, column[tag]].mean()),
        )
        for (word, tag), hits in right.items()
    ]
    return tuple(sorted(found, key=lambda rates: (-rates.num_claims, rates.word, rates.tag)))


def _ratio(part: float | None, whole: float | None) -> float | None:
    return part / whole if part is not None and whole else None
