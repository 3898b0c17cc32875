"""Facts of a rendered clip: what is certain because it was rendered.

Instruments, their playing, tempo, energy and style are certain. A mood is given only where the style implies it; the
mode (major or minor) decides none.
"""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from muscaps import lexicon
from muscaps.corpus.facts import Facts, Function, InstrumentFact
from muscaps.corpus.instruments import INSTRUMENTS
from muscaps.corpus.mood_words import MOODS
from muscaps.corpus.playing import playing_of
from muscaps.corpus.truth import PartFacts, Truth

MIN_SHARE = 0.06
"""A part with a smaller share of the mix is not named."""
LATE_SHARE = 0.2
"""A part whose first note comes after this share of the clip enters late."""

_STYLE_GENRES: dict[str, str] = {
    "techno": "techno",
    "house": "house",
    "electro": "electro, electronica, dance",
    "synthwave": "synthwave",
    "drum and bass": "drum and bass",
    "hip hop": "hip hop",
    "dance pop": "dance pop, dance",
    "chiptune": "chiptune",
    "electronica": "electronica",
    "chillout": "downtempo",
    "ambient": "ambient",
    "drone": "dark ambient, horror",
    "cinematic electronica": "hybrid",
    "rock": "rock",
    "metal": "metal",
    "disco": "disco",
    "funk": "funk",
    "ska": "ska",
    "reggae": "reggae",
    "bossa nova": "bossa nova",
    "latin": "latin",
    "jazz": "jazz, jazz, swing",
    "blues": "blues",
    "country": "country",
    "folk": "folk, acoustic",
    "world": "world, medieval",
    "pop": "pop",
    "silent film": "silent film, ragtime",
    "quirky ensemble": "comedy",
    "polka": "polka",
    "march": "march",
    "waltz": "waltz",
    "epic orchestral": "trailer, orchestral, soundtrack",
    "dark orchestral": "suspense, soundtrack, orchestral",
    "gentle orchestral": "orchestral, soundtrack",
    "fantasy": "fantasy",
    "string ensemble": "chamber, classical",
    "choral": "choral",
    "woodwind and brass": "chamber, contemporary",
    "duo": "chamber, contemporary",
    "mallet ensemble": "minimalism, contemporary",
    "lullaby": "lullaby",
    "solo choir": "choral",
    "solo synth": "electronica",
}
_STYLE_MOODS: dict[str, str] = {
    "techno": "driving",
    "house": "grooving, energetic",
    "drum and bass": "driving, energetic",
    "hip hop": "grooving",
    "dance pop": "energetic",
    "chiptune": "bouncy",
    "chillout": "relaxed",
    "ambient": "calm, dreamy",
    "drone": "dark, eerie, unnerving",
    "cinematic electronica": "intense, suspenseful, driving",
    "rock": "driving, energetic",
    "metal": "aggressive, intense, driving",
    "disco": "grooving, bouncy",
    "funk": "grooving",
    "ska": "bouncy, energetic",
    "reggae": "relaxed, grooving",
    "bossa nova": "relaxed",
    "latin": "grooving, energetic",
    "jazz": "grooving",
    "blues": "grooving",
    "silent film": "bouncy, humorous",
    "quirky ensemble": "humorous, bouncy",
    "polka": "bouncy",
    "epic orchestral": "epic, intense, action",
    "dark orchestral": "dark, suspenseful, mysterious",
    "gentle orchestral": "calm, relaxed",
    "fantasy": "mystical",
    "lullaby": "calm, dreamy",
    "drum solo": "driving, energetic",
}
_FUNCTIONS: dict[str, Function] = {
    "lead": "melody",
    "counter": "melody",
    "chords": "harmony",
    "pad": "harmony",
    "arp": "harmony",
    "bass": "rhythm",
    "drums": "rhythm",
}
_NAMES: dict[str, str] = {
    "synth bass": "synth",
    "sub bass": "synth",
    "noise riser": "synth",
    "gm synth": "synth lead",
    "gm pad": "synth pad",
    "gm drum machine": "drum machine",
    "jazz kit": "drum kit",
    "english horn": "woodwinds",
}
"""Names that captions give to instruments of the renderer, where they differ."""
_PITCHED_LEAD = ("melody", "runs", "fanfare", "staccato")


def facts_of_clip(truth: Truth, duration_s: float) -> Facts:
    """Return what a caption may say of a clip."""
    energies = frozenset((truth.energy,))
    return Facts(
        instruments=_instruments(truth, duration_s),
        ranked=True,
        complete=True,
        genres=_listed(_STYLE_GENRES.get(truth.style, "")),
        moods=tuple(mood for mood in _listed(_STYLE_MOODS.get(truth.style, "")) if _fits(mood, energies)),
        energies=energies,
        tempo=truth.tempo,
        bpm=truth.bpm,
        vocals="choir" if "choir" in truth.families else "none",
        texture=_texture(truth, duration_s),
        triple_meter=truth.beats_per_bar == 3,
    )


def truth_from_row(row: Mapping[str, Any]) -> Truth:
    """Return the facts that a row of `pairs.parquet` holds.

    Raises:
        KeyError: The corpus was rendered by a version that kept no facts of parts.
    """
    values = {field.name: row[field.name] for field in fields(Truth) if field.name != "parts"}
    values = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
    return Truth(**values, parts=tuple(PartFacts(**part) for part in row["parts"]))


def _listed(text: str) -> tuple[str, ...]:
    return tuple(item.strip() for item in text.split(",") if item.strip())


def _fits(mood: str, energies: frozenset[str]) -> bool:
    """Whether no word of a mood claims another energy than the clip's."""
    return all(lexicon.tags_in(word, "energy") <= energies for word in MOODS[mood].words)


def _texture(truth: Truth, duration_s: float) -> str:
    notes_per_s = sum(part.num_notes / max(1.0, part.voices) for part in truth.parts if part.audible) / duration_s
    if notes_per_s < 1.6 and truth.energy == "low":
        return "sparse"
    return "busy" if notes_per_s > 16 and truth.energy == "high" else ""


def _instruments(truth: Truth, duration_s: float) -> tuple[InstrumentFact, ...]:
    """The named instruments by their share of the mix; at least one."""
    parts = [part for part in truth.parts if part.audible and part.instrument in truth.instruments]
    shares: dict[str, float] = {}
    for part in parts:
        name = _NAMES.get(part.instrument, part.instrument)
        shares[name] = shares.get(name, 0.0) + part.share
    ordered = sorted(shares, key=lambda name: -shares[name])
    if "synth" in ordered and any(INSTRUMENTS.get(n) and INSTRUMENTS[n].family == "synth" for n in ordered):
        ordered.remove("synth")  # a synth bass below other synths is not named by itself
    named = [name for name in ordered if shares[name] >= MIN_SHARE] or ordered[:1]
    return tuple(_fact(name, parts, duration_s, solo=len(ordered) == 1) for name in named)


def _fact(name: str, parts: list[PartFacts], duration_s: float, *, solo: bool) -> InstrumentFact:
    own = [part for part in parts if _NAMES.get(part.instrument, part.instrument) == name]
    playings = tuple(dict.fromkeys(filter(None, map(playing_of, own))))
    functions = {_FUNCTIONS.get(part.role, "") for part in own}
    function: Function = "melody" if "melody" in functions else functions.pop() if len(functions) == 1 else ""
    if name == "synth":
        playings = tuple(playing for playing in playings if playing in ("ostinato", "riff", "sustained"))
    if function == "melody" and not set(playings) & set(_PITCHED_LEAD):
        function = "harmony"
    starts = [part.start_s for part in own]
    return InstrumentFact(
        name=name,
        playings=playings,
        function=function,
        enters_late=not solo and min(starts, default=0.0) > LATE_SHARE * duration_s,
    )
