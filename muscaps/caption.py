"""Captions: a track's hypotheses in words."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from operator import attrgetter

import numpy as np
import numpy.typing as npt

from muscaps.decoding import Hypothesis
from muscaps.evidence import Evidence
from muscaps.search_rules import TrackRules
from muscaps.vocabulary import Vocabulary, detokenize


@dataclass(frozen=True, kw_only=True)
class Alternative:
    """Another hypothesis of a caption, in words."""

    text: str
    log_prob: float


@dataclass(frozen=True, kw_only=True)
class Segment:
    """What a stretch of a track sounds like."""

    start_s: float
    end_s: float
    text: str
    log_prob: float


@dataclass(frozen=True, kw_only=True, eq=False)
class Caption:
    """What was found for one track."""

    text: str
    """The sentence."""
    words: tuple[str, ...]
    """Its tokens, `<unk>` included."""
    word_ids: tuple[int, ...]
    """Their ids."""
    log_prob: float
    """log P(words, `<eos>` | audio)."""
    evidence: tuple[Evidence, ...] = ()
    """Tag scores of the caption's claims, in the order of the text; empty without tag heads."""
    alternatives: tuple[Alternative, ...] = ()
    """Other hypotheses: the best of each other first word, then the rest, each best first."""
    segments: tuple[Segment, ...] = ()
    """Time-coded captions, where asked for."""
    attention: npt.NDArray[np.float32] | None = field(default=None, repr=False)
    """Weights, (words + `<eos>`, chunks), where asked for and the model attends."""
    embedding: npt.NDArray[np.float32] | None = field(default=None, repr=False)
    """Audio embedding of the track, (hidden,): tracks that sound alike have a high cosine similarity."""


def to_caption(
    searches: Sequence[Sequence[Hypothesis]],
    vocabulary: Vocabulary,
    num_alternatives: int,
    rules: TrackRules | None = None,
    *,
    articles: bool = False,
) -> Caption:
    """Turn a track's ranked hypotheses into a caption.

    Hypotheses without text (only commas, for example) are left out unless all are without text. Of several searches the
    best hypothesis of each comes first, so that alternatives differ.

    Args:
        searches: What each search of the track has found, best first.
        vocabulary: The words.
        num_alternatives: Most other hypotheses to keep.
        rules: Compare hypotheses anew, finished ones first: by the claims of the whole text; None keeps their order.
        articles: See `vocabulary.detokenize`.
    """
    found = [
        sorted((_in_words(one, vocabulary, rules, articles) for one in hypotheses), key=_RANK)
        for hypotheses in searches
    ]
    with_text = [[one for one in worded if one.text] for worded in found]
    ranked = [worded for worded in (with_text if any(with_text) else found) if worded]
    best_of_each = sorted((first for first, *_ in ranked), key=_RANK)
    rest = sorted((one for _, *others in ranked for one in others), key=_RANK)
    best, *others = [*best_of_each, *rest]
    return Caption(
        text=best.text,
        words=tuple(vocabulary.words[index] for index in best.hypothesis.word_ids),
        word_ids=best.hypothesis.word_ids,
        log_prob=best.hypothesis.log_prob,
        evidence=rules.entries(best.text) if rules is not None else (),
        alternatives=tuple(
            Alternative(text=other.text, log_prob=other.hypothesis.log_prob) for other in others[:num_alternatives]
        ),
    )


@dataclass(frozen=True, kw_only=True)
class _Worded:
    """A hypothesis in words."""

    hypothesis: Hypothesis
    text: str
    rank: tuple[bool, float]
    """The least is the best; equal for all where their order stays."""


_RANK = attrgetter("rank")


def _in_words(hypothesis: Hypothesis, vocabulary: Vocabulary, rules: TrackRules | None, articles: bool) -> _Worded:
    text = detokenize(vocabulary.decode(hypothesis.word_ids), articles=articles)
    rank = (False, 0.0) if rules is None else (not hypothesis.finished, -rules.score(hypothesis, text))
    return _Worded(hypothesis=hypothesis, text=text, rank=rank)
