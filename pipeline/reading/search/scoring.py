"""Scores of tracks for sentences: log P(sentence | audio) (paper section IV-C3, Eq. 8).

Conventions: a score is the natural log-probability of the sentence's words and `<eos>`. A higher score is a better
fit. Only scores of the same sentence can be compared.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

BACKGROUND_SENTENCES = (
    "a calm piano piece",
    "an upbeat electronic track with synths and drums",
    "a dark orchestral piece with strings and brass",
    "a relaxed acoustic guitar piece",
    "an energetic rock song with electric guitar and drums",
    "a slow ambient piece with pads",
    "a bright and playful tune with marimba and flute",
    "a jazz piece with saxophone bass and drums",
)
"""Sentences on which a track's bias is measured: its mean log-probability per word, whatever the sentence says."""


def score_tracks(captioner: Any, features: Sequence[np.ndarray], query: str) -> np.ndarray:
    """Compute log P(query | audio) of each track, (tracks,) float64.

    Args:
        captioner: A `muscaps.Captioner`.
        features: One (chunks, feature) array per track.
        query: A sentence.
    """
    return np.asarray(captioner.score(features, query), dtype=np.float64)


def query_length(query: str) -> int:
    """Return the number of predictions of a query: its words and `<eos>`."""
    from muscaps.vocabulary import tokenize  # imports torch

    return len(tokenize(query)) + 1


def track_bias(captioner: Any, features: Sequence[np.ndarray]) -> np.ndarray:
    """Compute each track's mean log-probability per word over the background sentences, (tracks,)."""
    total = np.zeros(len(features))
    for sentence in BACKGROUND_SENTENCES:
        total += score_tracks(captioner, features, sentence) / query_length(sentence)
    return total / len(BACKGROUND_SENTENCES)
