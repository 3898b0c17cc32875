"""Captions: a track's hypotheses in words."""

from dataclasses import dataclass, field

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
    """Other hypotheses, best first."""
    segments: tuple[Segment, ...] = ()
    """Time-coded captions, where asked for."""
    attention: npt.NDArray[np.float32] | None = field(default=None, repr=False)
    """Weights, (words + `<eos>`, chunks), where asked for and the model attends."""
    embedding: npt.NDArray[np.float32] | None = field(default=None, repr=False)
    """Audio embedding of the track, (hidden,): tracks that sound alike have a high cosine similarity."""


def to_caption(
    hypotheses: list[Hypothesis],
    vocabulary: Vocabulary,
    num_alternatives: int,
    rules: TrackRules | None = None,
    *,
    articles: bool = False,
) -> Caption:
    """Turn a track's ranked hypotheses into a caption.

    Hypotheses without text (only commas, for example) are left out unless all are without text.

    Args:
        hypotheses: Best first.
        vocabulary: The words.
        num_alternatives: Most other hypotheses to keep.
        rules: Compare hypotheses anew, finished ones first: by the claims of the whole text; None keeps their order.
        articles: See `vocabulary.detokenize`.
    """
    texts = [
        (hypothesis, detokenize(vocabulary.decode(hypothesis.word_ids), articles=articles)) for hypothesis in hypotheses
    ]
    if rules is not None:
        texts.sort(key=lambda pair: (not pair[0].finished, -rules.score(*pair)))
    (best, text), *others = [pair for pair in texts if pair[1]] or texts
    return Caption(
        text=text,
        words=tuple(vocabulary.words[index] for index in best.word_ids),
        word_ids=best.word_ids,
        log_prob=best.log_prob,
        evidence=rules.entries(text) if rules is not None else (),
        alternatives=tuple(
            Alternative(text=text, log_prob=other.log_prob) for other, text in others[:num_alternatives]
        ),
    )
