"""Training captions of the bundled captioner: from facts that tag scores complete, chosen for richness and variety.

Of many sentences that the grammar writes of a track, the richest of each opening is kept, and then a few openings are
drawn by chance. So the opening says little about the content, and every opening is followed by as much of it.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from muscaps import lexicon
from muscaps.corpus.captions import describe
from muscaps.corpus.catalogue_facts import facts_of_catalogue_row
from muscaps.corpus.clip_facts import facts_of_clip, truth_from_row
from muscaps.corpus.facts import Facts
from muscaps.evaluation.language import opening_pattern
from muscaps.training.completed_facts import completed_catalogue_facts, plain_clip_facts

REAL_WRITTEN, REAL_KEPT = 60, 5
CLIP_WRITTEN, CLIP_KEPT = 30, 3
"""Captions that are written, and those of them that are kept, for each version of a track."""
TOLERANCE = 0.5
"""By how much a caption may be less rich than the track's richest: by the tempo, not by a genre or a mood."""


def captions_of_real_track(
    row: Mapping[str, str], scores: Mapping[tuple[str, str], float], rng: np.random.Generator
) -> tuple[str, ...]:
    """Caption a real track.

    Args:
        row: Its catalogue row.
        scores: Calibrated scores by facet and tag, from heads fitted without it.
        rng: Draws sentences.
    """
    facts = completed_catalogue_facts(facts_of_catalogue_row(row), scores)
    return _chosen(facts, describe(facts, rng, REAL_WRITTEN), REAL_KEPT, rng)


def captions_of_clip(
    row: Mapping[str, Any], scores: Mapping[tuple[str, str], float], rng: np.random.Generator
) -> tuple[str, ...]:
    """Caption a rendered clip from what was rendered; scores as for a real track."""
    facts = plain_clip_facts(facts_of_clip(truth_from_row(row), row["duration_s"]), scores)
    return _chosen(facts, describe(facts, rng, CLIP_WRITTEN), CLIP_KEPT, rng)


def _chosen(facts: Facts, written: list[str], count: int, rng: np.random.Generator) -> tuple[str, ...]:
    """Draw some of the openings and return the richest caption of each."""
    scores = {text: richness(text, facts) for text in written}
    richest: dict[str, str] = {}
    for text in sorted(written, key=lambda text: -scores[text]):
        richest.setdefault(opening_pattern(text), text)
    least = max(scores.values(), default=0.0) - TOLERANCE
    rich = [text for text in richest.values() if scores[text] >= least]
    return tuple(rich[place] for place in rng.permutation(len(rich))[:count])


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
