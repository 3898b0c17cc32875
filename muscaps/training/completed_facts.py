"""Facts of a training track, completed by tag heads that were fitted without it.

Real tracks have few facts: one has moods and no instruments, another the reverse. A captioner trained on such captions
learns to leave out what the source left out. Unknown facts are therefore filled with tags whose calibrated score is
high; known facts are never changed, except that instruments without any trace in the scores are not named.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from muscaps import lexicon
from muscaps.corpus.facts import Facts, Function, InstrumentFact
from muscaps.corpus.genres import GENRES
from muscaps.corpus.instrument_phrases import PHRASES
from muscaps.corpus.mood_words import MOODS

Scores = Mapping[tuple[str, str], float]
"""Calibrated scores by facet and tag."""

MIN_FAMILY, MIN_ONLY_FAMILY, MIN_INSTRUMENT = 0.45, 0.3, 0.5
"""Scores from which a family is named (0.45 names two families a track), a single one where none reaches that, and a
single instrument instead of its family."""
MIN_FEEL, MIN_MOOD, MAX_OTHER_MOOD = 0.42, 0.6, 0.4
"""Scores from which feels, and dark or bright, are named; below 0.4 the other mood and its feels are dropped. Half of
the real tracks are bright and nearly half are dark, so that a lower score says little."""
MIN_ENERGY, MIN_TEMPO, MIN_GENRE = 0.55, 0.55, 0.4
MIN_TRACE = 0.12
"""Score below which an instrument that the source lists is not named, as long as others are left."""
MIN_ALONE, MAX_BESIDE = 0.5, 0.35
"""Least score of the instruments of a solo or duet and greatest of any other family; otherwise "solo" is not said."""
MAX_FAMILIES, MAX_FEELS, MAX_GENRES = 4, 3, 2

_FAMILY_NAMES: Mapping[str, str] = {
    "strings": "string section",
    "brass": "brass section",
    "woodwind": "woodwinds",
    "sax": "saxophone",
    "mallets": "bells",
}
_GENRE_NAMES: Mapping[str, str] = {"cinematic": "soundtrack", "celtic": "irish folk"}
_FUNCTIONS: Mapping[str, Function] = {
    "bass": "rhythm",
    "brass": "harmony",
    "drums": "rhythm",
    "guitar": "harmony",
    "organ": "harmony",
    "piano": "harmony",
    "sax": "melody",
    "strings": "harmony",
    "synth": "harmony",
    "woodwind": "melody",
}


def predicted_facts(scores: Scores) -> Facts:
    """Return the facts that scores are high enough for."""
    energies = frozenset(tag for tag in ("high", "low") if scores.get(("energy", tag), 0.0) >= MIN_ENERGY)
    tempo, tempo_score = _best(scores, "tempo", lexicon.TEMPOS)
    genres = [tag for tag, score in _ranked(scores, "genre", lexicon.GENRES) if score >= MIN_GENRE][:MAX_GENRES]
    names = (_GENRE_NAMES.get(tag, tag) for tag in genres)
    return Facts(
        instruments=tuple(instrument_fact(name) for name in _instruments(scores)),
        genres=tuple(name for name in names if name in GENRES),
        moods=tuple(mood for mood in _moods(scores) if _agrees(mood, energies)),
        energies=energies,
        tempo=tempo if tempo_score >= MIN_TEMPO else "",
    )


def completed_catalogue_facts(known: Facts, scores: Scores) -> Facts:
    """Complete a real track's facts."""
    predicted = predicted_facts(scores)
    instruments = _detectable(known.instruments, scores) or predicted.instruments
    return replace(
        known,
        instruments=tuple(replace(fact, function=instrument_fact(fact.name).function) for fact in instruments),
        genres=known.genres or predicted.genres,
        moods=known.moods or predicted.moods,
        energies=known.energies or (frozenset() if known.moods else predicted.energies),
        tempo=known.tempo or predicted.tempo,
        solo_is_clear=_clearly_alone(known, scores),
    )


def plain_clip_facts(known: Facts, scores: Scores) -> Facts:
    """Leave out what tag scores cannot tell of a rendered clip: playing, entries, texture, meter, unclear solos.

    Moods and energy are those that heads fitted on real tracks find: what a style was meant to be is not what listeners
    call it.
    """
    predicted = predicted_facts(scores)
    return replace(
        known,
        moods=predicted.moods,
        energies=predicted.energies,
        instruments=tuple(replace(fact, playings=(), enters_late=False) for fact in known.instruments),
        texture="",
        triple_meter=False,
        vocals="choir" if known.vocals == "choir" else "",
        solo_is_clear=_clearly_alone(known, scores),
    )


def instrument_fact(name: str) -> InstrumentFact:
    """Return an instrument with the function it usually has."""
    families = sorted(lexicon.tags_in(PHRASES[name][0], "family"))
    return InstrumentFact(name=name, function=_FUNCTIONS.get(families[0], "") if families else "")


@dataclass(frozen=True, kw_only=True)
class _Named:
    """An instrument's name and the score it goes by."""

    name: str
    score: float


def _ranked(scores: Scores, facet: str, tags: Sequence[str]) -> list[tuple[str, float]]:
    found = [(tag, scores[facet, tag]) for tag in tags if (facet, tag) in scores]
    return sorted(found, key=lambda item: -item[1])


def _best(scores: Scores, facet: str, tags: Sequence[str]) -> tuple[str, float]:
    return next(iter(_ranked(scores, facet, tags)), ("", 0.0))


def _instruments(scores: Scores) -> tuple[str, ...]:
    ranked = _ranked(scores, "instrument", lexicon.FAMILIES)
    families = [tag for tag, score in ranked if score >= MIN_FAMILY][:MAX_FAMILIES]
    families = families or [tag for tag, score in ranked[:1] if score >= MIN_ONLY_FAMILY]
    return tuple(dict.fromkeys(_name_in(family, scores) for family in families))


def _name_in(family: str, scores: Scores) -> str:
    """The single instrument of a family that is certain enough, else the family's name."""
    singles = [
        _Named(name=tag, score=score)
        for tag, score in _ranked(scores, "instrument", lexicon.INSTRUMENTS)
        if score >= MIN_INSTRUMENT and tag in PHRASES and family in lexicon.tags_in(PHRASES[tag][0], "family")
    ]
    if singles:
        return singles[0].name
    orchestral = max(scores.get(("genre", tag), 0.0) for tag in ("orchestral", "cinematic")) > MIN_INSTRUMENT
    return "percussion" if family == "drums" and orchestral else _FAMILY_NAMES.get(family, family)


def _moods(scores: Scores) -> list[str]:
    feels = [tag for tag, score in _ranked(scores, "mood", lexicon.FEELS) if score >= MIN_FEEL and tag in MOODS]
    feels = feels[:MAX_FEELS]
    for mood, other in (("dark", "bright"), ("bright", "dark")):
        if scores.get(("mood", mood), 0.0) < MIN_MOOD:
            continue
        if not any(mood in _coarse(feel) for feel in feels):
            feels.insert(0, mood)
        if scores.get(("mood", other), 0.0) < MAX_OTHER_MOOD:
            feels = [feel for feel in feels if other not in _coarse(feel)]
    return feels


def _clearly_alone(known: Facts, scores: Scores) -> bool:
    """Whether the scores find the listed instruments and no other family; never for voices."""
    own = [scores.get(("instrument", family), 0.0) for family in known.families]
    beside = (scores.get(("instrument", family), 0.0) for family in lexicon.FAMILIES if family not in known.families)
    return "choir" not in known.families and min(own, default=0.0) >= MIN_ALONE and max(beside) <= MAX_BESIDE


def _coarse(mood: str) -> frozenset[str]:
    return lexicon.tags_in(MOODS[mood].words[0], "mood")


def _agrees(mood: str, energies: frozenset[str]) -> bool:
    """Whether no word of a mood claims another energy."""
    return not energies or all(lexicon.tags_in(word, "energy") <= energies for word in MOODS[mood].words)


def _detectable(known: Sequence[InstrumentFact], scores: Scores) -> tuple[InstrumentFact, ...]:
    """The listed instruments, those with the highest scores first, without those that leave no trace."""
    traces = {
        fact.name: max((scores.get(("instrument", family), 0.0) for family in fact.families), default=0.0)
        for fact in known
    }
    ordered = sorted(known, key=lambda fact: -traces[fact.name])
    traced = [fact for fact in ordered if traces[fact.name] >= MIN_TRACE]
    return tuple(traced or ordered[:1])
