"""What guides a captioner's searches beside its model: constraints on words, a reward per word, evidence, openings.

Each comes from the options or from the section `decoding` of the checkpoint's card. Without them the search
is the model's own, without `<unk>`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from muscaps.config import DecodingOptions
from muscaps.decoding import Hypothesis, WordGuide
from muscaps.evidence import Evidence, EvidenceConfig, EvidenceScorer, TrackEvidence
from muscaps.length_limit import LengthLimit
from muscaps.lexicon import FACETS
from muscaps.models.caption_model import CaptionModel, EncodedAudio
from muscaps.openings import FirstWords, drawn_first_words, track_numbers
from muscaps.tagger import Features, TagHeads
from muscaps.word_constraints import WordConstraints
from muscaps.word_reward import WordReward


@dataclass(frozen=True, kw_only=True, eq=False)
class TrackRules:
    """How one track's finished hypotheses are compared."""

    reward: WordReward | None = None
    evidence: TrackEvidence | None = None

    def score(self, hypothesis: Hypothesis, text: str) -> float:
        """Return log-probability plus rewards plus what the claims of the text are worth, in nats."""
        reward = 0.0 if self.reward is None else self.reward.total(hypothesis.word_ids)
        worth = 0.0 if self.evidence is None else self.evidence.worth(text)
        return hypothesis.log_prob + reward + worth

    def entries(self, text: str) -> tuple[Evidence, ...]:
        """Return the tag scores of a caption's claims; empty without tag heads."""
        return () if self.evidence is None else self.evidence.entries(text)


@dataclass(frozen=True, kw_only=True, eq=False)
class Searches:
    """The searches for the captions of some tracks: one a track, or one for each of a track's first words."""

    rules: Sequence[TrackRules | None]
    """By track; None compares hypotheses by log-probability alone."""
    encoded: EncodedAudio
    """One row a search."""
    guide: WordGuide | None
    """One row a search; None for none."""
    rows: Sequence[int]
    """Track of each search, ascending."""

    def by_track(self, found: Sequence[list[Hypothesis]]) -> list[list[list[Hypothesis]]]:
        """Put together what the searches of each track have found."""
        together: list[list[list[Hypothesis]]] = [[] for _ in self.rules]
        for row, hypotheses in zip(self.rows, found, strict=True):
            together[row].append(hypotheses)
        return together


class SearchRules:
    """The rules of a captioner's searches."""

    def __init__(
        self, words: Sequence[str], tagger: TagHeads | None, decoding: Mapping[str, Any], device: torch.device
    ) -> None:
        """Read the settings of a card.

        Args:
            words: The vocabulary by id.
            tagger: Tag heads, where the checkpoint has them.
            decoding: The card's section `decoding`; empty where it has none.
            device: Device of the search.
        """
        self._words, self._tagger, self._device = words, tagger, device
        self._excluded_phrases: Sequence[str] = tuple(decoding.get("excluded_phrases", ()))
        self._least_word_share = float(decoding.get("least_word_share", 0.0))
        self._opening_mass = float(decoding.get("opening_mass", 0.0))
        self._num_openings = int(decoding.get("num_openings", 1))
        self.articles = bool(decoding.get("articles", False))
        """Whether sentences get "a" or "an" by the sound of the next word."""
        self._constraints: dict[tuple[bool, bool, bool], WordConstraints] = {}
        self._limits: dict[tuple[int | None, int | None], LengthLimit] = {}
        self._evidence: EvidenceScorer | None = None
        if tagger is not None:
            # A head for music, speech or noise that is added later changes no caption.
            self._described = [place for place, (facet, _) in enumerate(tagger.names) if facet in FACETS]
            self._evidence = EvidenceScorer(words, tagger.names, EvidenceConfig.of_card(decoding), device)

    def constraints(self, options: DecodingOptions) -> WordConstraints | None:
        """Return the constraints on words, None if there are none; created once per choice of options.

        The card's `excluded_phrases` and `least_word_share` apply together with `no_repeated_words`: all are about
        language. Under a limit of words or characters improbable words may follow, because short sentences are
        improbable.
        """
        limited = self.limit(options) is not None
        chosen = bool(options.no_repeated_words), options.allow_unknown is not False, limited
        if chosen[:2] == (False, True):
            return None
        if chosen not in self._constraints:
            self._constraints[chosen] = WordConstraints(
                self._words,
                no_repeated_words=chosen[0],
                allow_unknown=chosen[1],
                excluded_phrases=self._excluded_phrases if chosen[0] else (),
                least_word_share=self._least_word_share if chosen[0] and not limited else 0.0,
                device=self._device,
            )
        return self._constraints[chosen]

    def limit(self, options: DecodingOptions) -> LengthLimit | None:
        """Return the limit of words or characters, None without one; created once per limit."""
        if options.word_limit is None and options.char_limit is None:
            return None
        key = options.word_limit, options.char_limit
        if key not in self._limits:
            self._limits[key] = LengthLimit(
                self._words, max_words=key[0], max_chars=key[1], articles=self.articles, device=self._device
            )
        return self._limits[key]

    def of_tracks(
        self, features: Sequence[Features], options: DecodingOptions, model: CaptionModel, encoded: EncodedAudio
    ) -> Searches:
        """Return the searches for some tracks.

        Args:
            features: Tracks, (chunks, feature) each.
            options: Options without gaps, see `DecodingOptions.with_defaults`.
            model: Predicts first words.
            encoded: The same tracks, one row each.
        """
        reward = WordReward(self._words, options.word_reward, self._device) if options.word_reward else None
        if self._evidence is None or self._tagger is None:
            rules = [None if reward is None else TrackRules(reward=reward)] * len(features)
            return Searches(rules=rules, encoded=encoded, guide=reward, rows=range(len(features)))
        logits = torch.from_numpy(self._tagger.logits(features))
        scores = logits.sigmoid()
        rules = [TrackRules(reward=reward, evidence=self._evidence.of_track(row)) for row in scores]
        evidence = self._evidence.guide(scores.to(self._device)) if self._evidence.config.weight else None
        guides: list[WordGuide] = [guide for guide in (evidence, reward) if guide is not None]
        if not self._opening_mass or self.limit(options) is not None:  # few openings lead to a short sentence
            return Searches(rules=rules, encoded=encoded, guide=_sum_of(guides), rows=range(len(features)))
        rows, words = drawn_first_words(
            model,
            encoded,
            track_numbers(logits[:, self._described]).to(self._device),
            self._num_openings,
            self._opening_mass,
            self.constraints(options),
            evidence,
        )
        guides = [*(guide.select(rows) for guide in guides), FirstWords(words, len(self._words))]
        return Searches(rules=rules, encoded=encoded.select(rows), guide=_sum_of(guides), rows=rows.tolist())


def _sum_of(guides: Sequence[WordGuide]) -> WordGuide | None:
    """Return one guide; None without any."""
    return _GuideSum(guides) if len(guides) > 1 else next(iter(guides), None)


class _GuideSum:
    """Several guides at once."""

    def __init__(self, parts: Sequence[WordGuide]) -> None:
        self._parts = parts

    def select(self, rows: Tensor) -> "_GuideSum":
        return _GuideSum([part.select(rows) for part in self._parts])

    def bonus(self, words: Tensor) -> Tensor:
        return torch.stack([part.bonus(words) for part in self._parts]).sum(dim=0)

    def ruled_out(self, words: Tensor) -> Tensor | None:
        found = [mask for part in self._parts if (mask := part.ruled_out(words)) is not None]
        return torch.stack(found).any(dim=0) if found else None
