"""Training captions of the bundled captioner: from facts that tag logits complete, those that say most first."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from muscaps import lexicon
from muscaps.corpus.captions import describe
from muscaps.corpus.catalogue_facts import facts_of_catalogue_row
from muscaps.corpus.clip_facts import facts_of_clip, truth_from_row
from muscaps.corpus.facts import Facts
from muscaps.training.completed_facts import completed_catalogue_facts, plain_clip_facts

NUM_CAPTIONS = 8
"""Captions of each version of a track."""
WRITTEN_PER_KEPT = 3
"""Captions that are written for each one kept."""
_SHUFFLE = 0.25
"""Deviation of the noise on the score that captions are ranked by."""


def captions_of_real_track(
    row: Mapping[str, str], scores: Mapping[tuple[str, str], float], rng: np.random.Generator
) -> tuple[str, ...]:
    """Caption a real track from its catalogue row, completed by calibrated scores."""
    return _richest(completed_catalogue_facts(facts_of_catalogue_row(row), scores), rng)


def captions_of_clip(row: Mapping[str, Any], rng: np.random.Generator) -> tuple[str, ...]:
    """Caption a rendered clip from what was rendered."""
    return _richest(plain_clip_facts(facts_of_clip(truth_from_row(row), row["duration_s"])), rng)


def _richest(facts: Facts, rng: np.random.Generator) -> tuple[str, ...]:
    written = describe(facts, rng, WRITTEN_PER_KEPT * NUM_CAPTIONS)
    noise = _SHUFFLE * rng.standard_normal(len(written))
    order = np.argsort([-richness(text, facts) + extra for text, extra in zip(written, noise, strict=True)])
    return tuple(written[place] for place in order[:NUM_CAPTIONS])


def richness(text: str, facts: Facts) -> float:
    """Score how much of what is known a caption says: two families first, then moods, genre and tempo."""
    families = len(lexicon.tags_in(text, "family"))
    wanted = min(2, max(1, len(facts.families)))
    score = 0.3 * min(families, 3) - max(0, wanted - families)
    if facts.moods:
        score += 0.7 * bool(lexicon.tags_in(text, "mood") | lexicon.tags_in(text, "feel"))
    if facts.genres:
        score += 0.5 * bool(lexicon.tags_in(text, "genre"))
    if facts.tempo:
        score += 0.3 * bool(lexicon.tags_in(text, "tempo"))
    return score
