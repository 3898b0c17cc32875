"""Facts of a real track from the columns of a catalogue: instruments, feel, genre and bpm.

Cells hold words separated by commas, as production-music catalogues write them. A word that the tables do not know is
left out. An empty cell means unknown. The catalogue's description is never used.
"""

import re
from collections.abc import Mapping

from muscaps import lexicon
from muscaps.corpus.facts import Facts, InstrumentFact
from muscaps.corpus.genres import GENRES
from muscaps.corpus.instrument_phrases import PHRASES
from muscaps.corpus.mood_words import MOODS

_INSTRUMENTS: dict[str, str] = {
    "synths": "synth",
    "synthesizer": "synth",
    "synthesizers": "synth",
    "electronics": "synth",
    "electronic": "synth",
    "synth percussion": "drum machine",
    "synth drums": "drum machine",
    "electronic drums": "drum machine",
    "electronic bass": "synth bass",
    "pads": "synth pad",
    "synth pads": "synth pad",
    "kit": "drum kit",
    "drum": "drums",
    "acoustic drums": "drum kit",
    "brushed drums": "brushed kit",
    "snare": "snare drum",
    "taiko drums": "big drums",
    "taiko": "big drums",
    "tympani": "timpani",
    "rattles": "percussion",
    "cowbell": "percussion",
    "cowbells": "percussion",
    "triangle": "percussion",
    "congas": "hand percussion",
    "conga": "hand percussion",
    "bongos": "hand percussion",
    "shaker": "hand percussion",
    "strings": "string section",
    "string": "string section",
    "string orchestra": "string section",
    "double bass": "acoustic bass",
    "upright bass": "acoustic bass",
    "contrabass": "acoustic bass",
    "bass guitar": "electric bass",
    "viol": "string section",
    "pizzicato": "pizzicato strings",
    "glock": "glockenspiel",
    "celeste": "celesta",
    "vibes": "vibraphone",
    "vibe": "vibraphone",
    "glass marimba": "marimba",
    "chimes": "tubular bells",
    "church bell": "bells",
    "ep": "electric piano",
    "rhodes": "electric piano",
    "keyboard": "piano",
    "clav": "clavinet",
    "virginal": "harpsichord",
    "hammer dulcimer": "dulcimer",
    "pipe organ": "church organ",
    "organs": "organ",
    "hammond organ": "electric organ",
    "classical guitar": "acoustic guitar",
    "nylon guitar": "acoustic guitar",
    "horn": "french horn",
    "horns": "french horns",
    "baritones": "low brass",
    "helicons": "low brass",
    "cimbasso": "low brass",
    "brass": "brass section",
    "trumpet section": "trumpets",
    "sax": "saxophone",
    "tenor sax": "saxophone",
    "alto sax": "saxophone",
    "bari sax": "saxophone",
    "saxes": "saxophone",
    "saxophones": "saxophone",
    "winds": "woodwinds",
    "woodwind": "woodwinds",
    "alto flute": "flute",
    "bass flute": "flute",
    "bassoons": "bassoon",
    "contra bassoon": "bassoon",
    "contrabassoon": "bassoon",
    "contrabass clarinet": "bass clarinet",
    "bass clarinets": "bass clarinet",
    "shawm": "woodwinds",
    "crumhorns": "woodwinds",
    "tin whistle": "whistle",
    "recorders": "recorder",
    "pan pipes": "pan flute",
    "harps": "harp",
    "choirs": "choir",
    "chorus": "choir",
    "voices": "choir",
    "voice": "vocals",
    "singer": "vocals",
    "female voice": "female vocals",
    "female vocal": "female vocals",
    "full orchestra": "orchestra",
    "uke": "ukulele",
}
_FEELS: dict[str, str] = {
    "calming": "calm",
    "peaceful": "calm",
    "soft": "calm",
    "relaxing": "relaxed",
    "cozy": "warm",
    "upbeat": "uplifting",
    "inspiring": "uplifting",
    "joyful": "happy",
    "cheerful": "happy",
    "celebratory": "happy",
    "bustling": "energetic",
    "uptempo": "energetic",
    "playful": "humorous",
    "sad": "somber",
    "melancholic": "somber",
    "groovy": "grooving",
    "tense": "suspenseful",
    "heroic": "epic",
}
_TEMPO_FEELS: dict[str, str] = {"fast": "fast", "quick": "fast", "uptempo": "fast", "slow": "slow"}
_GENRES: dict[str, str] = {
    "silent film score": "silent film",
    "electronic": "electronica",
    "female fronted metal": "metal",
    "heavy metal": "metal",
    "scoring": "soundtrack",
    "cinematic": "soundtrack",
    "instrumental": "",
    "old-time / historic": "folk",
    "motivational": "corporate",
    "celtic": "irish folk",
    "modern": "contemporary",
    "african": "world",
    "urban": "hip hop",
    "bossa": "bossa nova",
    "christmas": "holiday",
}


def facts_of_catalogue_row(row: Mapping[str, object]) -> Facts:
    """Return what is known of a track.

    Args:
        row: Columns of a catalogue, as text or numbers. `instruments`, `feel`, `genre` and `bpm` are read; each may be
            missing or empty.
    """
    words = _words(row.get("instruments"))
    feels = _words(row.get("feel"))
    genres = _mapped(_words(row.get("genre")), _GENRES, GENRES)
    instruments = _instruments(words, genres, _words(row.get("genre")))
    bpm = _number(row.get("bpm"))
    tempo = lexicon.tempo_class(bpm) if bpm > 0 else next((_TEMPO_FEELS[f] for f in feels if f in _TEMPO_FEELS), "")
    return Facts(
        instruments=tuple(InstrumentFact(name=name) for name in instruments),
        complete=_alone(words, instruments),
        genres=genres,
        moods=_mapped(feels, _FEELS, MOODS),
        energies=lexicon.tags_in(", ".join(feels), "energy"),
        tempo=tempo,
        bpm=bpm,
        vocals=_vocals(instruments),
    )


def _words(cell: object) -> list[str]:
    """The items of a cell, in lower case."""
    text = "" if cell is None or cell != cell else str(cell)
    items = (re.sub(r"\s+", " ", item).strip(" .").lower() for item in re.split(r"[,;/|]| and ", text))
    return [item for item in items if item]


def _number(cell: object) -> float:
    """A cell as a number; 0 when it is empty or text."""
    try:
        number = float(str(cell))
    except ValueError:
        return 0.0
    return number if number == number else 0.0


def _mapped(words: list[str], names: Mapping[str, str], known: Mapping[str, object]) -> tuple[str, ...]:
    """Words translated to the grammar's names; unknown ones are left out."""
    found = (names.get(word, word) for word in words)
    return tuple(dict.fromkeys(name for name in found if name in known))


def _instruments(words: list[str], genres: tuple[str, ...], genre_words: list[str]) -> tuple[str, ...]:
    names = list(_mapped([_without_prefix(word) for word in words], _INSTRUMENTS, PHRASES))
    if "metal" in genres:  # the guitars of metal are distorted
        names = [{"guitar": "distorted guitar", "guitars": "distorted guitars"}.get(name, name) for name in names]
    if any(word.startswith("female") for word in genre_words) or "female vocals" in names:
        names = [name for name in names if name not in ("vocals", "female vocals")]
        names.insert(0, "female vocals")
    return tuple(dict.fromkeys(names))


def _without_prefix(word: str) -> str:
    return re.sub(r"^(orchestral - |small ensemble - |solo )", "", word)


def _alone(words: list[str], instruments: tuple[str, ...]) -> bool:
    """Whether the cell names one single instrument, so that the track is a solo."""
    if len(words) != 1 or len(instruments) != 1:
        return False
    (name,) = instruments
    sections = ("synth", "synth pad", "percussion", "choir", "vocals", "female vocals", "woodwinds", "orchestra")
    return name not in sections and not PHRASES[name][0].endswith("s")


def _vocals(instruments: tuple[str, ...]) -> str:
    for name, vocals in (("female vocals", "female"), ("choir", "choir")):
        if name in instruments:
            return vocals
    return ""
