"""Scores of tracks for sentences."""

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
"""What a track's bias is measured on: how readily it lends itself to any sentence, whatever it says."""


def score_tracks(captioner: Any, features: Sequence[np.ndarray], query: str) -> np.ndarray:
    return np.asarray(captioner.score(features, query), dtype=np.float64)


def query_length(query: str) -> int:
    """Predictions a query asks for: its words and `<eos>`."""
    from muscaps.vocabulary import tokenize

    return len(tokenize(query)) + 1


def track_bias(captioner: Any, features: Sequence[np.ndarray]) -> np.ndarray:
    """Mean log-probability of a word of any sentence, per track, (tracks,)."""
    total = np.zeros(len(features))
    for sentence in BACKGROUND_SENTENCES:
        total += score_tracks(captioner, features, sentence) / query_length(sentence)
    return total / len(BACKGROUND_SENTENCES)
