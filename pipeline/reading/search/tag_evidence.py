"""How well tracks fit the tags of a query, by calibrated scores from mean features.

Conventions: evidence is the log-odds of a tag, clipped to `EVIDENCE_LIMIT`; an excluded tag counts the other way, and a
track with an excluded tag whose score counts (`MIN_TAG_SCORE`) is left out. Fit is the geometric mean of the
probabilities that the tags are as the query wants them, so that one missing tag makes a weak match.
"""

from typing import Any, NamedTuple

import numpy as np

from muscaps.tags import MIN_TAG_SCORE
from pipeline.reading.search.terms import SearchTerms

EVIDENCE_LIMIT = 6.0
"""Most nats that one tag counts; 3 and 6 rank 56 tracks equally well."""
SENTENCE_WEIGHT = 0.25
"""What a nat of log P(words | audio) counts beside a nat of evidence. Of 0.25, 0.5 and 1, the best on 56 tracks."""


class TagFit(NamedTuple):
    """How tracks fit the tags of a query."""

    evidence: np.ndarray
    """Sum in nats, (tracks,); minus infinity for tracks that are left out."""
    fit: np.ndarray
    """0 to 1, (tracks,); NaN without tags in the query."""


def tag_fit(captioner: Any, means: np.ndarray, terms: SearchTerms) -> TagFit:
    """Compare tracks with the tags of a query.

    Args:
        captioner: A `muscaps.Captioner`.
        means: Mean features, (tracks, feature).
        terms: The query.
    """
    names = [*terms.wanted, *terms.unwanted]
    if not names:
        return TagFit(np.zeros(len(means)), np.full(len(means), np.nan))
    heads = captioner.tagger
    places = [heads.names.index(name) for name in names]
    weight, bias = heads.weight[places].double().numpy(), heads.bias[places].double().numpy()
    logits = means.astype(np.float64) @ weight.T + bias
    signs = np.array([1.0] * len(terms.wanted) + [-1.0] * len(terms.unwanted))
    evidence = (signs * logits).clip(-EVIDENCE_LIMIT, EVIDENCE_LIMIT).sum(axis=1)
    least_logit = np.log(MIN_TAG_SCORE / (1 - MIN_TAG_SCORE))
    has_unwanted = (logits[:, len(terms.wanted) :] >= least_logit).any(axis=1)
    fit = np.exp(-np.log1p(np.exp(-signs * logits)).mean(axis=1))
    return TagFit(np.where(has_unwanted, -np.inf, evidence), fit)
