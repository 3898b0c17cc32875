"""How a part is played, from its arrangement pattern and its notes.

The result is a key of `instrument_phrases.PLAYED`, or empty where a pattern is played in no way worth naming.
"""

from muscaps.corpus.instruments import INSTRUMENTS
from muscaps.corpus.truth import PartFacts

SUSTAINED_S = 1.0
"""Chords and pads with notes of this mean length in seconds are called sustained."""
STACCATO_S = 0.18
"""Mean length of a note in seconds below which strings and winds are called staccato."""
_WINDS_AND_STRINGS = ("strings", "brass", "woodwind", "sax")

_BY_PATTERN: dict[str, str] = {
    "bass whole": "sustained",
    "bass oompah": "oompah",
    "bass eighths": "ostinato",
    "bass fifths": "steady",
    "bass octaves": "octave",
    "bass sixteenths": "rolling",
    "bass gallop": "galloping",
    "bass offbeat": "offbeat",
    "bass rolling": "rolling",
    "bass ska": "walking",
    "bass funk": "syncopated",
    "bass tumbao": "syncopated",
    "bass breakbeat": "syncopated",
    "bass walking": "walking",
    "bass riff": "riff",
    "sustained": "sustained",
    "swells": "sustained",
    "offbeats": "offbeat",
    "quarters": "chords",
    "block quarters": "chords",
    "strum": "strummed",
    "slow strum": "strummed",
    "bossa comp": "syncopated",
    "montuno": "syncopated",
    "house piano": "syncopated",
    "scratch": "choppy",
    "stabs": "stabs",
    "power": "chugging",
    "arp 8": "arpeggiated",
    "arp 16": "arpeggiated",
    "arp triplet": "arpeggiated",
    "arp slow": "arpeggiated",
    "broken": "arpeggiated",
    "ostinato": "ostinato",
    "melody": "melody",
    "calm melody": "melody",
    "low melody": "melody",
    "comic melody": "melody",
    "octave melody": "melody",
    "runs": "runs",
    "stride": "stride",
    "boogie": "boogie",
    "sparse": "sparse",
    "fanfare": "fanfare",
}
_BY_GROOVE: dict[str, str] = {
    "techno": "four-on-the-floor",
    "techno busy": "four-on-the-floor",
    "house": "four-on-the-floor",
    "disco": "four-on-the-floor",
    "breakbeat": "breakbeat",
    "drum and bass": "breakbeat",
    "half time": "half-time",
    "trap": "half-time",
    "rock": "backbeat",
    "rock ride": "backbeat",
    "electro": "backbeat",
    "funk": "backbeat",
    "chip": "backbeat",
    "metal": "double-kick",
    "shuffle": "shuffle",
    "latin": "latin",
    "samba": "latin",
    "congas": "latin",
    "tribal": "tom-tom",
    "march": "marching",
    "epic": "pounding",
    "action": "pounding",
    "polka": "offbeat",
    "suspense": "sparse",
    "pulse": "sparse",
    "sprinkle": "sparse",
    "woodblocks": "sparse",
    "minimal": "sparse",
}
_HELD = ("sustained", "chords")


def playing_of(part: PartFacts) -> str:
    """Return how a part is played."""
    instrument = INSTRUMENTS[part.instrument]
    if instrument.kit:
        return _BY_GROOVE.get(part.pattern, "")
    playing = _BY_PATTERN.get(part.pattern, "")
    short = 0 < part.mean_note_s < STACCATO_S
    if instrument.family in _WINDS_AND_STRINGS and short and playing in ("", "melody", "chords", "offbeat", "stabs"):
        return "staccato"
    if playing == "sustained" and part.mean_note_s < SUSTAINED_S:
        return ""
    if not part.pattern and part.voices >= 2 and part.mean_note_s >= SUSTAINED_S:
        return "sustained"
    if not part.pattern and instrument.family == "piano" and part.voices >= 2:
        return "chords"
    return playing
