"""Evidence: tag scores of what a caption claims, used to guide the search over words.

Conventions:

- A claim (`muscaps.lexicon`) has evidence where the checkpoint scores its facet and tag. Evidence is a log-odds: the
  logit of the calibrated score minus the logit of a threshold, positive above the threshold and
  negative below. It is clipped to a limit on both sides. Words that claim a tag with a score below a floor are ruled
  out.
- A caption's evidence is the sum over the different tags that it claims; a tag claimed by two words counts once.
- Two tempos contradict each other, as do dark and bright, high and low energy, vocals with none, and a slow tempo with
  high energy ("energetic at a leisurely pace"). The tag that a caption claims first counts; each that contradicts it
  counts minus the limit.
- A tempo that is stated twice ("a fast tune at a quick pace") counts minus the limit the second time.
- The search prefers hypotheses by log-probability plus weight times evidence. Threshold, limit, floor and weight are in
  the checkpoint's card, section `decoding`. Weight 0, or no tag heads, leaves the search as it is.
- During the search each word counts by itself ("clarinet" of "bass clarinet" claims clarinet). Finished hypotheses are
  ranked by the claims of the whole text.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from muscaps.lexicon import Claim, claims, exclude_each_other, starts_longer_phrase

STATED_ONCE = frozenset({"tempo"})
"""Facets whose tags a caption states once."""


SLOW_AND_ENERGETIC = frozenset({("tempo", "slow"), ("energy", "high")})
"""Both can be true of a track, but a caption that says both reads as a mistake."""


def contradict_each_other(one: tuple[str, str], other: tuple[str, str]) -> bool:
    """Whether a caption cannot claim two tags, each a facet and a tag."""
    return exclude_each_other(*one, *other) or {one, other} == SLOW_AND_ENERGETIC


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """The tag score of one claim of a caption."""

    word: str
    """The phrase that claims the tag."""
    tag: str
    score: float
    """Calibrated probability that the tag is right."""


@dataclass(frozen=True, kw_only=True)
class EvidenceConfig:
    """How much evidence counts in the search."""

    weight: float = 0.0
    """Nats of log-probability that one nat of evidence is worth."""
    threshold: float = 0.5
    """Score at which a claim is worth nothing."""
    limit: float = 3.0
    """Most nats that one claim counts, for or against."""
    thresholds: Mapping[tuple[str, str], float] = field(default_factory=dict)
    """Other thresholds by facet and tag, e.g. for tags that most tracks have."""
    floor: float = 0.0
    """Score below which a word that claims a tag is ruled out (`decoding.LEAST_LEFT` says when it is not)."""

    def __post_init__(self) -> None:
        if not (self.weight >= 0 and self.limit > 0):
            raise ValueError(f"weight={self.weight} must be 0 or more, limit={self.limit} more than 0")
        for threshold in (self.threshold, *self.thresholds.values()):
            if not 0 < threshold < 1:
                raise ValueError(f"threshold must lie between 0 and 1, not {threshold}")
        if not 0 <= self.floor < 1:
            raise ValueError(f"floor must lie in 0 to 1, not {self.floor}")

    @classmethod
    def of_card(cls, decoding: Mapping[str, Any]) -> "EvidenceConfig":
        """Read the settings of a card's section `decoding`.

        They are `evidence_weight`, `evidence_threshold`, `evidence_limit`, `evidence_floor`, and `evidence_thresholds`,
        an object of facets, each an object of tags: `{"mood": {"dark": 0.7}}`.
        """
        given = {name: decoding.get(f"evidence_{name}") for name in ("weight", "threshold", "limit", "floor")}
        by_facet = decoding.get("evidence_thresholds", {})
        return cls(
            **{name: float(value) for name, value in given.items() if value is not None},
            thresholds={(facet, tag): float(value) for facet, tags in by_facet.items() for tag, value in tags.items()},
        )


class EvidenceScorer:
    """Turns tag scores into evidence, for one vocabulary and one set of tags."""

    def __init__(
        self,
        words: Sequence[str],
        names: Sequence[tuple[str, str]],
        config: EvidenceConfig,
        device: torch.device | None = None,
    ) -> None:
        """Look up what each word claims.

        Args:
            words: The vocabulary by id.
            names: Facet and tag of each score.
            config: Weight, threshold and limit.
            device: Where the search runs.
        """
        self.config = config
        self._column = {name: index for index, name in enumerate(names)}
        table = torch.zeros(len(words) + 1, len(names), device=device)  # the last row is for no word
        for index, word in enumerate(words):
            for claim in claims(word):
                column = self._column.get((claim.facet, claim.tag))
                if column is not None and not starts_longer_phrase(word, claim.layer):
                    table[index, column] = 1.0
        self._claims_of_word = table
        excludes = [[float(contradict_each_other(one, other)) for other in names] for one in names]
        self._excludes = torch.tensor(excludes, device=device).reshape(len(names), len(names))
        self._stated_once = torch.tensor([float(facet in STATED_ONCE) for facet, _ in names], device=device)
        thresholds = [config.thresholds.get(name, config.threshold) for name in names]
        self._threshold_logits = torch.tensor(thresholds, dtype=torch.float64).logit()

    def log_odds(self, scores: Tensor) -> Tensor:
        """Return the evidence of each tag in nats, same shape as the scores."""
        logits = torch.logit(scores.double(), eps=1e-6) - self._threshold_logits.to(scores.device)
        return logits.clamp(-self.config.limit, self.config.limit)

    def guide(self, scores: Tensor) -> "EvidenceGuide":
        """Return what a search needs to know of some tracks.

        Args:
            scores: Calibrated tag scores, (batch, tags).
        """
        worth = self.config.weight * self.log_odds(scores).float()
        penalty = self.config.weight * self.config.limit
        ruled_out = None
        if self.config.floor:
            below = (scores < self.config.floor).to(self._claims_of_word.dtype)
            ruled_out = below @ self._claims_of_word[:-1].T > 0
        return EvidenceGuide(self._claims_of_word, worth, self._excludes, self._stated_once, penalty, ruled_out)

    def of_track(self, scores: Tensor) -> "TrackEvidence":
        """Return what judges finished captions of one track.

        Args:
            scores: Calibrated tag scores, (tags,).
        """
        worth = (self.config.weight * self.log_odds(scores)).tolist()
        return TrackEvidence(self._column, scores.tolist(), worth, self.config.weight * self.config.limit)


class TrackEvidence:
    """Evidence for whole captions of one track."""

    def __init__(
        self,
        column: Mapping[tuple[str, str], int],
        scores: Sequence[float],
        worth: Sequence[float],
        penalty: float,
    ) -> None:
        """Keep the track's scores.

        Args:
            column: Index of each facet and tag.
            scores: Calibrated probabilities, (tags,).
            worth: Nats that a claim of each tag is worth, (tags,).
            penalty: Nats that a contradiction or a second statement costs.
        """
        self._column, self._scores, self._worth, self._penalty = column, scores, worth, penalty

    def entries(self, text: str) -> tuple[Evidence, ...]:
        """Return the claims of a caption that have scores: one entry a phrase and tag, in the order of the text."""
        found = {(claim.phrase, index): claim.tag for claim, index in self._scored(text)}
        return tuple(
            Evidence(word=phrase, tag=tag, score=self._scores[index]) for (phrase, index), tag in found.items()
        )

    def worth(self, text: str) -> float:
        """Return what the claims of a caption are worth, in nats of log-probability; each tag counts once."""
        claimed: dict[tuple[str, str], float] = {}
        for claim, index in self._scored(text):
            name = (claim.facet, claim.tag)
            if name in claimed:
                claimed[name] -= self._penalty if claim.facet in STATED_ONCE else 0.0
            else:
                contradicts = any(contradict_each_other(name, other) for other in claimed)
                claimed[name] = -self._penalty if contradicts else self._worth[index]
        return math.fsum(claimed.values())

    def _scored(self, text: str) -> list[tuple[Claim, int]]:
        keyed = ((claim, self._column.get((claim.facet, claim.tag))) for claim in claims(text))
        return [(claim, index) for claim, index in keyed if index is not None]


class EvidenceGuide:
    """Evidence about the tracks of a batch, for every next word."""

    def __init__(
        self,
        claims_of_word: Tensor,
        worth: Tensor,
        excludes: Tensor,
        stated_once: Tensor,
        penalty: float,
        ruled_out: Tensor | None,
    ) -> None:
        """Keep the tables.

        Args:
            claims_of_word: 1 where a word claims a tag; the last row is for no word, (vocab + 1, tags).
            worth: Nats that a claim of a tag is worth, (batch, tags).
            excludes: 1 where two tags contradict each other, (tags, tags).
            stated_once: 1 where a second statement of the same tag costs the penalty, (tags,).
            penalty: Nats that a contradiction or a second statement costs.
            ruled_out: Words that claim a tag with too low a score, (batch, vocab); None for none.
        """
        self._claims_of_word, self._worth = claims_of_word, worth
        self._excludes, self._stated_once, self._penalty = excludes, stated_once, penalty
        self._ruled_out = ruled_out

    def select(self, rows: Tensor) -> "EvidenceGuide":
        """Return the given tracks."""
        return EvidenceGuide(
            self._claims_of_word,
            self._worth[rows],
            self._excludes,
            self._stated_once,
            self._penalty,
            None if self._ruled_out is None else self._ruled_out[rows],
        )

    def ruled_out(self, words: Tensor) -> Tensor | None:
        """Return the words that claim a tag with too low a score, (batch * beams, vocab); None for none."""
        if self._ruled_out is None:
            return None
        return self._ruled_out.repeat_interleave(len(words) // len(self._ruled_out), dim=0)

    def bonus(self, words: Tensor) -> Tensor:
        """Return what each next word would be worth; a tag that was claimed before is worth nothing more.

        A second statement of a tempo costs the penalty.

        Args:
            words: Ids so far, negative where there is none; a track's hypotheses follow each other,
                (batch * beams, steps).

        Returns:
            Nats to add to log P(next word), (batch * beams, vocab).
        """
        worth = self._worth.repeat_interleave(len(words) // len(self._worth), dim=0)
        if words.shape[1]:
            claimed = self._claims_of_word[words].amax(dim=1)
            worth = torch.where(claimed @ self._excludes > 0, -self._penalty, worth)
            worth = torch.where(claimed > 0, -self._penalty * self._stated_once, worth)
        return worth @ self._claims_of_word[:-1].T
