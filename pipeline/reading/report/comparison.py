"""What a caption claims, with the scores of its claims, beside what the catalogue states about the track.

Conventions:

- A claim has a verdict. `agrees`: the catalogue states the same. `conflict`: the catalogue states the opposite (tempo,
  dark or bright, high or low energy). `differs`: the catalogue's list of instruments or genres lacks it; such a list
  may be incomplete. `unknown`: the catalogue states nothing about it.
- A phrase that claims a genre ("electronica", "orchestral") is compared with the genres alone, a tempo word
  ("slow") with the tempo alone.
- A tempo word agrees if the beats per minute lie in its class, or within 5 % of its limits.
- Certainty is the mean score of the claims, so it does not fall with their number. On 56 production tracks it predicted
  disagreement with the catalogue better than the lowest score (area under the curve 0.61 and 0.46, 26 November 2026).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from muscaps.evaluation.facts import FactLayer, facts_in
from muscaps.lexicon import Claim, claims, tempo_class

Verdict = Literal["agrees", "conflict", "differs", "unknown"]
VERDICTS: tuple[Verdict, ...] = ("unknown", "agrees", "differs", "conflict")
"""From the least to the most important: the verdict of a phrase is the most important one of its claims."""

SYNONYMS: Mapping[str, tuple[str, ...]] = {
    "bpm": ("bpm", "tempo"),
    "instruments": ("instruments", "instrument", "instrumentation"),
    "genre": ("genre", "genres"),
    "feel": ("feel", "mood", "moods"),
}
"""Names of catalogue columns, in lower case, for what the facts are read from."""
HEADINGS = {"bpm": "Tempo", "instruments": "Instruments", "genre": "Genre", "feel": "Mood"}
_SOURCE_OF = {"tempo": "bpm", "family": "instruments", "genre": "genre", "mood": "feel", "energy": "feel"}
"""Layers that are compared, and where their facts are."""
_EXCLUSIVE = ("tempo", "mood", "energy")
TEMPO_TOLERANCE = 1.05
"""Beats per minute may miss the limits of the class by this factor."""


@dataclass(frozen=True, kw_only=True)
class Span:
    """A phrase of a caption that claims something."""

    start: int
    end: int
    score: float | None
    """Lowest score of its claims; None without scores."""
    verdict: Verdict


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A caption beside its catalogue row."""

    spans: tuple[Span, ...]
    """In the order of the text; they do not overlap."""
    verdicts: Mapping[str, Verdict]
    """Per stated column of `HEADINGS`: the most important verdict of the claims about it."""
    claimed: Mapping[str, tuple[str, ...]]
    """Per column of `HEADINGS`: the phrases of the caption."""
    values: Mapping[str, str]
    """Per stated column of `HEADINGS`: what the catalogue states, as text."""


def certainty(evidence: Iterable[Mapping[str, Any]] | None) -> float | None:
    """Return how certain a caption's claims are, 0 to 1; None where no claim has a score."""
    scores = [float(entry["score"]) for entry in evidence or ()]
    return sum(scores) / len(scores) if scores else None


def compare(caption: str, evidence: Sequence[Mapping[str, Any]] | None, row: Mapping[str, Any]) -> Comparison:
    """Compare the claims of a caption with the columns of its catalogue row."""
    stated = _stated_columns(row)
    found = claims(caption)
    longest = _longest_phrases(found)
    own_layer = {claim.start: claim.layer for claim in found if claim.layer in ("genre", "tempo")}
    facts = {layer: _facts(stated, layer) for layer in _SOURCE_OF}
    verdicts: dict[str, Verdict] = {}
    claimed: dict[str, dict[str, None]] = {}
    judged: list[tuple[Claim, Verdict]] = []
    for claim in found:
        verdict: Verdict = "unknown"
        source = _SOURCE_OF.get(claim.layer)
        if source is not None and own_layer.get(claim.start, claim.layer) == claim.layer:
            verdict = _verdict(claim, facts[claim.layer], stated)
            claimed.setdefault(source, {})[longest[claim.start]] = None
            if source in stated:
                verdicts[source] = _worse(verdicts.get(source, "unknown"), verdict)
        judged.append((claim, verdict))
    return Comparison(
        spans=tuple(_spans(judged, _lowest_scores(evidence or ()))),
        verdicts=verdicts,
        claimed={source: tuple(phrases) for source, phrases in claimed.items()},
        values={source: _as_text(source, value) for source, value in stated.items()},
    )


def _lowest_scores(evidence: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """Return the lowest score of each phrase."""
    lowest: dict[str, float] = {}
    for entry in evidence:
        word, score = str(entry["word"]), float(entry["score"])
        lowest[word] = min(score, lowest.get(word, score))
    return lowest


def _stated_columns(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the row's cells by the names of `HEADINGS`; empty cells are left out."""
    lowered = {name.lower(): value for name, value in row.items()}
    stated = {}
    for name, synonyms in SYNONYMS.items():
        value = next((lowered[one] for one in synonyms if lowered.get(one) not in (None, "", [])), None)
        if value is not None and (name != "bpm" or _positive(value)):
            stated[name] = value
    return {name: stated[name] for name in HEADINGS if name in stated}


def _positive(value: object) -> bool:
    """Return whether a cell is a number above zero."""
    try:
        return 0 < float(str(value)) < float("inf")
    except ValueError:
        return False


def _facts(stated: Mapping[str, Any], layer: str) -> frozenset[str]:
    fact_layer: FactLayer = layer  # type: ignore[assignment]  # the keys of _SOURCE_OF are such layers
    return facts_in(stated, fact_layer)


def _verdict(claim: Claim, facts: frozenset[str], stated: Mapping[str, Any]) -> Verdict:
    if not facts:
        return "unknown"
    if claim.tag in facts:
        return "agrees"
    if claim.layer == "tempo":
        bpm = float(str(stated["bpm"]))
        if claim.tag in (tempo_class(bpm * TEMPO_TOLERANCE), tempo_class(bpm / TEMPO_TOLERANCE)):
            return "agrees"
    return "conflict" if claim.layer in _EXCLUSIVE else "differs"


def _worse(one: Verdict, other: Verdict) -> Verdict:
    return max(one, other, key=VERDICTS.index)


def _longest_phrases(found: Iterable[Claim]) -> dict[int, str]:
    """Return the longest phrase at each position: "drum machine" also where "drum" claims the family."""
    longest: dict[int, str] = {}
    for claim in found:
        longest[claim.start] = max(claim.phrase, longest.get(claim.start, ""), key=len)
    return longest


def _spans(judged: Sequence[tuple[Claim, Verdict]], scores: Mapping[str, float]) -> Iterable[Span]:
    """Yield the longest phrase at each place, with the lowest score and the most important verdict inside it."""
    position = 0
    for start, phrase in sorted(_longest_phrases([claim for claim, _ in judged]).items()):
        if start < position:
            continue
        position = start + len(phrase)
        inside = [(claim, verdict) for claim, verdict in judged if start <= claim.start < position]
        known = [scores[claim.phrase] for claim, _ in inside if claim.phrase in scores]
        verdict: Verdict = "unknown"
        for _, one in inside:
            verdict = _worse(verdict, one)
        yield Span(start=start, end=position, score=min(known) if known else None, verdict=verdict)


def _as_text(name: str, value: Any) -> str:
    if name == "bpm":
        return f"{float(str(value)):g} bpm"
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
