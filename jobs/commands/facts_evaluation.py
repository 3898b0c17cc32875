"""`muscaps evaluate --facts CATALOGUE CAPTIONS`: captions compared with the facts of a catalogue."""

import json
from typing import TYPE_CHECKING

import typer

from jobs.tables import print_table

if TYPE_CHECKING:
    from muscaps.evaluation.calibration import Calibration
    from muscaps.evaluation.facts import FacetFacts
    from muscaps.evaluation.facts_report import FactsEvaluation

_LABELS = {
    "family": "instrument families",
    "instrument": "single instruments",
    "mood": "mood, dark or bright",
    "feel": "finer moods",
    "energy": "energy",
    "tempo": "tempo",
    "genre": "genre",
}
_NUM_WORDS = 12
"""Phrases of a facet in the printed table; JSON has them all."""
_MIN_WORD_CLAIMS = 2


def evaluate_facts(catalogue: str, captions: str, *, seed: int, as_json: bool) -> None:
    """Measure captions against a catalogue and print the result.

    Args:
        catalogue: A catalogue with instruments, feel, genre or bpm.
        captions: An output, a Parquet file or JSON lines.
        seed: Seeds shuffles and bootstrap.
        as_json: Whether to print JSON.
    """
    from muscaps.evaluation.facts import FactsOptions
    from muscaps.evaluation.facts_report import evaluate_facts as measure
    from muscaps.evaluation.facts_report import facts_as_json
    from pipeline.reading.captions_of_tracks import captions_with_facts

    tracks = captions_with_facts(catalogue, captions)
    has_tags = any(track.tags is not None for track in tracks)
    found = measure(
        [track.caption for track in tracks],
        [track.row for track in tracks],
        [track.tags or () for track in tracks] if has_tags else None,
        FactsOptions(seed=seed),
    )
    if as_json:
        typer.echo(json.dumps({"num_tracks": len(tracks), **facts_as_json(found)}))
        return
    _print_facets(found)
    _print_words(found)
    _print_language(found)
    if found.calibration:
        _print_calibration(found.calibration)


def _print_facets(found: "FactsEvaluation") -> None:
    print_table(
        ["facet", "tracks", "named a caption", "precision", "shuffled", "lift", "recall", "p"],
        [
            [
                _LABELS[facet.layer],
                str(facet.num_tracks),
                f"{facet.named_per_caption:.2f}",
                _with_interval(facet.rates.precision, facet.precision_interval),
                _fraction(facet.rates.shuffled_precision),
                _with_interval(facet.rates.lift, facet.lift_interval),
                _with_interval(facet.rates.recall, facet.recall_interval),
                "-" if facet.p_value is None else f"{facet.p_value:.3f}",
            ]
            for facet in found.facets
        ],
    )


def _print_words(found: "FactsEvaluation") -> None:
    print_table(
        ["phrase", "facet", "captions", "right", "base rate"],
        [row for facet in found.facets for row in _word_rows(facet)],
    )


def _word_rows(facet: "FacetFacts") -> list[list[str]]:
    return [
        [word.word, _LABELS[facet.layer], str(word.num_claims), _fraction(word.precision), _fraction(word.base_rate)]
        for word in facet.words[:_NUM_WORDS]
        if word.num_claims >= _MIN_WORD_CLAIMS
    ]


def _print_language(found: "FactsEvaluation") -> None:
    language = found.language
    typer.echo(
        f"{language.num_captions} captions, {language.distinct_captions} distinct; {language.mean_words:.1f} words "
        f"each, {language.vocabulary_size} different words"
    )
    typer.echo(
        f"a content word twice: {language.repeated_word_captions}; two words in a row twice: "
        f"{language.repeated_bigram_captions}; <unk>: {language.unknown_word_captions}"
    )
    typer.echo(f'most frequent opening: "{language.opening_pattern}", {language.opening_share:.0%} of the captions')


def _print_calibration(found: dict[str, "Calibration"]) -> None:
    print_table(
        ["tag scores", "scores", "calibration error", "Brier score", "from 0.5 on", "of these right"],
        [
            [
                facet,
                str(one.num_scores),
                f"{one.expected_calibration_error:.3f}",
                f"{one.brier_score:.3f}",
                str(one.num_counted),
                _fraction(one.counted_precision),
            ]
            for facet, one in found.items()
        ],
    )
    print_table(
        ["score", "tags", "mean score", "right"],
        [
            [
                f"{one.low:.1f} to {one.high:.1f}",
                str(one.num_scores),
                _fraction(one.mean_score),
                _fraction(one.share_right),
            ]
            for one in found["all"].bins
        ],
    )


def _fraction(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _with_interval(value: float | None, interval: tuple[float, float] | None) -> str:
    if value is None or interval is None:
        return _fraction(value)
    return f"{value:.2f} ({interval[0]:.2f} to {interval[1]:.2f})"
