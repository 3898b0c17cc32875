"""How a caption names an instrument and its playing.

Conventions: `{name}` in a played phrase is the plain name ("strings"), `{base}` its attributive form ("string").
A phrase that starts with an article is a singular noun; one that ends in a plural -s is a plural.
"""

import re
from collections.abc import Mapping
from functools import cache


def _phrases(text: str) -> tuple[str, ...]:
    return tuple(phrase.strip() for phrase in text.split(","))


PHRASES: dict[str, tuple[str, ...]] = {
    name: _phrases(text)
    for name, text in {
        "piano": "piano",
        "honky-tonk piano": "honky-tonk piano, piano",
        "toy piano": "toy piano",
        "electric piano": "electric piano",
        "harpsichord": "harpsichord",
        "clavinet": "clavinet",
        "celesta": "celesta",
        "glockenspiel": "glockenspiel",
        "music box": "music box",
        "vibraphone": "vibraphone",
        "marimba": "marimba",
        "xylophone": "xylophone",
        "tubular bells": "bells, tubular bells",
        "bells": "bells",
        "kalimba": "kalimba",
        "electric organ": "organ, electric organ",
        "organ": "organ",
        "church organ": "church organ, pipe organ",
        "accordion": "accordion",
        "harmonica": "harmonica",
        "acoustic guitar": "acoustic guitar, guitar",
        "acoustic guitars": "acoustic guitars",
        "electric guitar": "electric guitar, guitar",
        "electric guitars": "electric guitars",
        "distorted guitar": "distorted guitar, distorted electric guitar",
        "distorted guitars": "distorted guitars, heavy guitars",
        "guitar": "guitar",
        "guitars": "guitars",
        "banjo": "banjo",
        "mandolin": "mandolin",
        "ukulele": "ukulele",
        "dulcimer": "dulcimer",
        "sitar": "sitar",
        "lute": "lute",
        "acoustic bass": "upright bass, acoustic bass, bass",
        "electric bass": "electric bass, bass, bass guitar",
        "fretless bass": "fretless bass, bass",
        "bass": "bass",
        "basses": "basses, low basses",
        "violin": "violin",
        "violins": "violins",
        "fiddle": "fiddle",
        "viola": "viola",
        "violas": "violas",
        "cello": "cello",
        "cellos": "cellos",
        "tremolo strings": "tremolo strings",
        "pizzicato strings": "pizzicato strings, plucked strings",
        "string section": "strings, strings, string section",
        "orchestra": "orchestra",
        "harp": "harp",
        "choir": "choir",
        "female vocals": "female vocals, a female voice",
        "vocals": "vocals",
        "trumpet": "trumpet",
        "trumpets": "trumpets",
        "trombone": "trombone",
        "trombones": "trombones",
        "tuba": "tuba",
        "tubas": "tubas",
        "french horn": "french horn, horn",
        "french horns": "french horns, horns",
        "brass section": "brass, brass, brass section",
        "low brass": "low brass",
        "saxophone": "saxophone, sax",
        "oboe": "oboe",
        "oboes": "oboes",
        "english horn": "english horn",
        "bassoon": "bassoon",
        "clarinet": "clarinet",
        "clarinets": "clarinets",
        "bass clarinet": "bass clarinet",
        "piccolo": "piccolo",
        "flute": "flute",
        "flutes": "flutes",
        "recorder": "recorder",
        "pan flute": "pan flute",
        "whistle": "whistle",
        "woodwinds": "woodwinds",
        "synth lead": "synth lead, synths",
        "chip lead": "8-bit synths, chiptune synths, synths",
        "synth pad": "synth pads, pads",
        "synth pluck": "plucked synths, synths",
        "synth arpeggio": "synth arpeggios, synths",
        "synth stab": "synth stabs, synths",
        "synth brass": "synths",
        "fm bells": "synths, glassy synths",
        "synth": "synths",
        "synth keys": "synth keys",
        "synth bass": "synth bass",
        "acid synth": "acid synth, acid synths, synths",
        "drone": "synth drones, synths",
        "timpani": "timpani",
        "drum kit": "drums, drum kit",
        "brushed kit": "brushed drums",
        "drums": "drums",
        "big drums": "big drums",
        "snare drum": "snare drum",
        "percussion": "percussion",
        "orchestral percussion": "percussion, orchestral percussion",
        "hand percussion": "hand percussion, percussion",
        "drum machine": "drum machine, programmed drums, programmed beats",
    }.items()
}
"""Plain names of an instrument; the first is the usual one."""

PLAYED: dict[str, dict[str, tuple[str, ...]]] = {
    group: {playing: _phrases(text) for playing, text in table.items()}
    for group, table in {
        "strings": {
            "staccato": "staccato {name}",
            "sustained": "sustained {name}",
            "ostinato": "pulsing {name}, a {base} ostinato",
            "arpeggiated": "{base} arpeggios",
            "melody": "a {base} melody, lyrical {name}",
            "rhythmic": "rhythmic {name}",
        },
        "piano": {
            "staccato": "staccato {name}",
            "sustained": "sustained {base} chords",
            "chords": "{base} chords, steady {base} chords",
            "ostinato": "repeating {name}, a {base} ostinato",
            "arpeggiated": "{base} arpeggios, flowing {name}, rippling {name}",
            "melody": "a {base} melody, melodic {name}",
            "stride": "stride {name}",
            "boogie": "boogie-woogie {name}",
            "syncopated": "syncopated {name}",
            "offbeat": "offbeat {base} chords",
            "stabs": "{base} stabs",
            "sparse": "sparse {name}",
            "runs": "chromatic {base} runs",
        },
        "organ": {
            "sustained": "sustained {name}, sustained {base} chords",
            "chords": "{base} chords",
            "offbeat": "offbeat {name}",
            "arpeggiated": "{base} arpeggios",
            "melody": "a {base} melody",
            "stabs": "{base} stabs",
        },
        "guitar": {
            "arpeggiated": "finger-picked {name}, picked {name}",
            "strummed": "strummed {name}, strummed {name}, strumming {name}",
            "choppy": "choppy {name}, choppy rhythm guitar",
            "offbeat": "offbeat {name}",
            "syncopated": "syncopated {name}",
            "chugging": "chugging {name}, chugging power chords on guitar",
            "melody": "a {base} melody, melodic {name}",
            "stabs": "{base} stabs",
            "ostinato": "a repeating {base} riff",
            "sustained": "sustained {name}",
        },
        "bass": {
            "walking": "walking {name}, a walking {name} line",
            "sustained": "sustained {name}",
            "ostinato": "pulsing {name}",
            "steady": "steady {name}",
            "octave": "octave {name}, bouncing octave {name}",
            "rolling": "rolling {name}",
            "galloping": "galloping {name}",
            "syncopated": "syncopated {name}",
            "riff": "a {name} riff",
            "oompah": "oompah {name}",
        },
        "brass": {
            "fanfare": "{base} fanfares, a {base} fanfare",
            "staccato": "staccato {name}, punchy {name}",
            "stabs": "{base} stabs",
            "sustained": "sustained {name}",
            "melody": "a {base} melody",
            "oompah": "oompah {name}",
            "offbeat": "offbeat {name}",
            "ostinato": "pulsing {name}",
        },
        "woodwind": {
            "staccato": "staccato {name}",
            "melody": "a {base} melody, melodic {name}",
            "sustained": "sustained {name}",
            "runs": "{base} runs",
            "arpeggiated": "{base} arpeggios",
            "oompah": "oompah {name}",
        },
        "mallets": {
            "ostinato": "a {base} ostinato, repeating {base} patterns",
            "arpeggiated": "{base} arpeggios, rippling {name}",
            "melody": "a {base} melody",
            "sparse": "sparse {base} notes",
            "runs": "{base} runs",
        },
        "harp": {
            "arpeggiated": "harp arpeggios, flowing harp",
            "melody": "a harp melody",
            "sparse": "sparse harp notes",
        },
        "choir": {"sustained": "sustained {name}, wordless {name}", "melody": "a choir melody, wordless {name}"},
        "synth": {
            "arpeggiated": "synth arpeggios, arpeggiated synths",
            "ostinato": "pulsing synths, a synth ostinato",
            "melody": "a synth melody, a synth lead",
            "sustained": "sustained synths",
            "stabs": "synth stabs, choppy synths",
            "offbeat": "offbeat synths",
            "riff": "a synth riff",
            "sparse": "sparse synth notes",
        },
        "synth pad": {"sustained": "sustained synth pads, synth pads, lush pads"},
        "drone": {"sustained": "low synth drones, a low synth drone"},
        "drums": {
            "four-on-the-floor": "a four-on-the-floor beat, four-on-the-floor drums, "
            "a steady four-on-the-floor kick drum",
            "breakbeat": "breakbeat drums",
            "half-time": "half-time drums, a half-time beat",
            "shuffle": "shuffling drums, a drum shuffle",
            "double-kick": "double-kick drums",
            "marching": "marching drums",
            "pounding": "pounding {name}",
            "latin": "latin percussion",
            "tom-tom": "tom-tom drums, rhythmic toms and percussion",
            "sparse": "sparse percussion",
            "backbeat": "a drum backbeat, backbeat drums",
            "offbeat": "offbeat drums",
        },
        "drum machine": {
            "four-on-the-floor": "a four-on-the-floor drum machine, a four-on-the-floor beat, "
            "programmed four-on-the-floor drums",
            "breakbeat": "breakbeat drums, programmed breakbeat drums",
            "half-time": "a half-time drum machine beat, half-time drums",
            "pounding": "a pounding drum machine, pounding programmed drums",
            "sparse": "a sparse drum machine beat",
            "backbeat": "a drum machine backbeat, punchy drum machine",
        },
    }.items()
}
"""Phrases by group of instruments and playing."""

_GROUPS: Mapping[str, str] = {
    "glockenspiel": "mallets",
    "synth pad": "synth pad",
    "drone": "drone",
    "drum machine": "drum machine",
    "timpani": "",
    "pizzicato strings": "",
    "tremolo strings": "",
    "synth bass": "",
    "music box": "mallets",
}
_SINGULAR_IN_S = ("brass", "bass")


def attributive(name: str) -> str:
    """Return the form of a name that stands before another noun: "strings" becomes "string"."""
    words = name.split()
    last = words[-1]
    if last.endswith("s") and last not in _SINGULAR_IN_S:
        words[-1] = last[:-2] if last == "basses" else last[:-1]
    if words[-1] == "section":
        words.pop()
    return " ".join(words)


def is_plural(phrase: str) -> bool:
    """Whether a phrase takes a plural verb."""
    last = phrase.split()[-1]
    return last.endswith("s") and last not in _SINGULAR_IN_S


def group_of(name: str, family: str) -> str:
    """Return the key of `PLAYED` for an instrument; empty when it has only plain names."""
    return _GROUPS.get(name, "woodwind" if family == "sax" else family)


@cache
def played_phrases(name: str, family: str, playing: str) -> tuple[str, ...]:
    """Return phrases that name an instrument and its playing; empty where English has none."""
    templates = PLAYED.get(group_of(name, family), {}).get(playing, ())
    plain = PHRASES[name][0]
    filled = (template.format(name=plain, base=attributive(plain)) for template in templates)
    return tuple(re.sub(r"\ba (?=[aeio8])", "an ", phrase) for phrase in filled)
