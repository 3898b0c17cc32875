"""Training captions of the bundled captioner: from facts that tag logits complete, chosen for richness and variety.

Facts leave the sentence open. If it were drawn at random, a search for the most probable caption would use the same few
sentences for all tracks. So each opening of a sentence has a direction of its own in the space of tag logits, and a
track prefers the openings whose directions its logits follow: the captioner can learn which, and tracks differ.
"""

import math
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from muscaps import lexicon
from muscaps.corpus.captions import describe
from muscaps.corpus.catalogue_facts import facts_of_catalogue_row
from muscaps.corpus.clip_facts import facts_of_clip, truth_from_row
from muscaps.corpus.facts import Facts
from muscaps.evaluation.language import opening_pattern
from muscaps.training.completed_facts import completed_catalogue_facts, plain_clip_facts

REAL_WRITTEN, REAL_KEPT = 24, 5
CLIP_WRITTEN, CLIP_KEPT = 12, 3
"""Captions that are written, and those of them that are kept, for each version of a track."""
PREFERENCE = 1.0
"""Weight of the preference for an opening, which has mean 0 and deviation 1 over tracks."""

Logits = npt.NDArray[np.float64]


def captions_of_real_track(
    row: Mapping[str, str], scores: Mapping[tuple[str, str], float], logits: Logits, rng: np.random.Generator
) -> tuple[str, ...]:
    """Caption a real track.

    Args:
        row: Its catalogue row.
        scores: Calibrated scores by facet and tag, from heads fitted without it.
        logits: Standardised logits of the same heads, (tags,).
        rng: Draws sentences.
    """
    facts = completed_catalogue_facts(facts_of_catalogue_row(row), scores)
    return _chosen(facts, describe(facts, rng, REAL_WRITTEN), logits, REAL_KEPT)


def captions_of_clip(
    row: Mapping[str, Any], scores: Mapping[tuple[str, str], float], logits: Logits, rng: np.random.Generator
) -> tuple[str, ...]:
    """Caption a rendered clip from what was rendered; scores and logits as for a real track."""
    facts = plain_clip_facts(facts_of_clip(truth_from_row(row), row["duration_s"]), scores)
    return _chosen(facts, describe(facts, rng, CLIP_WRITTEN), logits, CLIP_KEPT)


def _chosen(facts: Facts, written: list[str], logits: Logits, count: int) -> tuple[str, ...]:
    scores = {text: richness(text, facts) + PREFERENCE * opening_preference(text, logits) for text in written}
    return tuple(sorted(written, key=lambda text: -scores[text])[:count])


def opening_preference(text: str, logits: Logits) -> float:
    """Return how much a track prefers the opening of a caption."""
    seed = zlib.crc32(opening_pattern(text).encode())
    direction = np.random.default_rng(seed).standard_normal(len(logits))
    return float(direction @ logits / math.sqrt(len(logits)))


def richness(text: str, facts: Facts) -> float:
    """Score how much of what is known a caption says: two families first, then moods, genre and tempo."""
    families = len(lexicon.tags_in(text, "family"))
    wanted = min(2, max(1, len(facts.families)))
    score: float = 0.4 * min(families, 3) - 1.5 * max(0, wanted - families)
    if facts.moods:
        score += 1.2 * bool(lexicon.tags_in(text, "mood") | lexicon.tags_in(text, "feel"))
    if facts.genres:
        score += 0.9 * bool(lexicon.tags_in(text, "genre"))
    if facts.tempo:
        score += 0.5 * bool(lexicon.tags_in(text, "tempo"))
    return score
