"""Everything that `muscaps evaluate --facts` measures of a set of captions, as one result and as JSON."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from muscaps.evaluation.calibration import Calibration, calibration, judged_scores
from muscaps.evaluation.facts import LAYERS, FacetFacts, FactsOptions, Rates, measure_facet
from muscaps.evaluation.language import CaptionLanguage, caption_language

NAMES = {"family": "instrument_family"}
"""Names of layers in JSON where they differ from the lexicon's."""


@dataclass(frozen=True, kw_only=True)
class FactsEvaluation:
    """Captions held against a catalogue."""

    language: CaptionLanguage
    """How the captions read."""
    facets: tuple[FacetFacts, ...]
    """By layer of the lexicon; those without a known fact are left out."""
    calibration: dict[str, Calibration]
    """By facet, "all" first; empty without tag scores."""


def evaluate_facts(
    captions: Sequence[str],
    rows: Sequence[Mapping[str, Any]],
    tags: Sequence[Sequence[tuple[str, str, float]]] | None = None,
    options: FactsOptions | None = None,
) -> FactsEvaluation:
    """Measure captions, and tag scores where there are any, against catalogue rows.

    Args:
        captions: One a track.
        rows: The tracks' catalogue rows, in the same order.
        tags: (facet, tag, score) of each track, in the same order.
        options: Shuffles and bootstrap.

    Raises:
        ValueError: There are no captions, or no row states a fact.
    """
    options = options or FactsOptions()
    language = caption_language(captions)
    measured = [measure_facet(layer, captions, rows, options) for layer in LAYERS]
    facets = tuple(facet for facet in measured if facet.num_tracks)
    if not facets:
        raise ValueError("no track has a known fact: the catalogue needs instruments, feel, genre or bpm")
    judged = judged_scores(tags, rows) if tags is not None else {}
    found = {facet: calibration(*pairs) for facet, pairs in judged.items()}
    if found:
        scores, right = (np.concatenate(part) for part in zip(*judged.values(), strict=True))
        found = {"all": calibration(scores, right), **found}
    return FactsEvaluation(language=language, facets=facets, calibration=found)


def facts_as_json(evaluation: FactsEvaluation) -> dict[str, Any]:
    """Put the evaluation into the object that `muscaps evaluate --facts --json` prints; fractions are 0 to 1."""
    return {
        **asdict(evaluation.language),
        **{NAMES.get(facet.layer, facet.layer): _facet_as_json(facet) for facet in evaluation.facets},
        "calibration": {facet: asdict(found) for facet, found in evaluation.calibration.items()} or None,
    }


def _facet_as_json(facet: FacetFacts) -> dict[str, Any]:
    intervals = {
        "precision": facet.precision_interval,
        "recall": facet.recall_interval,
        "lift": facet.lift_interval,
    }
    return {
        "num_tracks": facet.num_tracks,
        **_rates_as_json(facet.rates),
        **{f"{name}_interval": None if pair is None else list(pair) for name, pair in intervals.items()},
        "named_per_caption": facet.named_per_caption,
        "p_value": facet.p_value,
        "tags": {tag: _rates_as_json(rates) for tag, rates in facet.tags.items()},
        "words": [asdict(word) for word in facet.words],
    }


def _rates_as_json(rates: Rates) -> dict[str, Any]:
    return {**asdict(rates), "lift": rates.lift}
