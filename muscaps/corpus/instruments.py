"""Instruments of rendered clips: their families, ranges and sounds.

Conventions: pitches are MIDI numbers; programs are General MIDI, counted from 0. An instrument sounds either
through a soundfont (`programs`) or through our own synthesis (`voice`, see `synthesis`). A family is one of
`FAMILIES`; a caption may use any of an instrument's `phrases`, and each of them names that family alone.
"""

from dataclasses import dataclass

FAMILIES = (
    "piano",
    "organ",
    "guitar",
    "bass",
    "strings",
    "brass",
    "woodwind",
    "sax",
    "mallets",
    "drums",
    "synth",
    "choir",
    "harp",
)
"""The instrument families a clip is tagged with."""


@dataclass(frozen=True, kw_only=True)
class Instrument:
    """One sound source and how a caption may name it."""

    name: str
    """Tag; also the key in `INSTRUMENTS`."""
    family: str
    """One of `FAMILIES`."""
    programs: tuple[int, ...] = ()
    """General MIDI programs to choose from; empty when `voice` is set."""
    voice: str = ""
    """Role of the synthesiser patch (see `synthesis.patches.random_patch`); empty when `programs` is set."""
    low: int = 36
    """Lowest pitch played."""
    high: int = 84
    """Highest pitch played."""
    sustains: bool = False
    """Whether a held key keeps sounding at full level."""
    phrases: tuple[str, ...] = ()
    """Names for captions; the tag itself when empty."""
    kit: bool = False
    """Whether it plays drum pieces rather than pitches."""
    nameable: bool = True
    """Whether a caption may name it by itself."""

    @property
    def names(self) -> tuple[str, ...]:
        """Names a caption may use."""
        return self.phrases or (self.name,)


def _table(*rows: Instrument) -> dict[str, Instrument]:
    return {row.name: row for row in rows}


INSTRUMENTS: dict[str, Instrument] = _table(
    Instrument(name="piano", family="piano", programs=(0, 0, 0, 1), low=28, high=98, phrases=("piano",)),
    Instrument(
        name="honky-tonk piano", family="piano", programs=(3,), low=28, high=96, phrases=("piano", "honky-tonk piano")
    ),
    Instrument(
        name="electric piano",
        family="piano",
        programs=(4, 5),
        low=36,
        high=88,
        phrases=("electric piano", "EP", "keys"),
    ),
    Instrument(name="harpsichord", family="piano", programs=(6,), low=36, high=86),
    Instrument(name="clavinet", family="piano", programs=(7,), low=40, high=80),
    Instrument(name="celesta", family="mallets", programs=(8,), low=60, high=100),
    Instrument(
        name="glockenspiel", family="mallets", programs=(9,), low=72, high=104, phrases=("glockenspiel", "bells")
    ),
    Instrument(name="music box", family="mallets", programs=(10,), low=65, high=100),
    Instrument(name="vibraphone", family="mallets", programs=(11,), low=53, high=89, phrases=("vibraphone", "vibes")),
    Instrument(name="marimba", family="mallets", programs=(12,), low=45, high=92),
    Instrument(name="xylophone", family="mallets", programs=(13,), low=60, high=100),
    Instrument(
        name="tubular bells", family="mallets", programs=(14,), low=55, high=79, phrases=("bells", "tubular bells")
    ),
    Instrument(name="kalimba", family="mallets", programs=(108,), low=55, high=90),
    Instrument(
        name="electric organ",
        family="organ",
        programs=(16, 17, 18),
        low=36,
        high=88,
        sustains=True,
        phrases=("organ", "electric organ"),
    ),
    Instrument(
        name="church organ",
        family="organ",
        programs=(19,),
        low=30,
        high=90,
        sustains=True,
        phrases=("organ", "church organ"),
    ),
    Instrument(name="accordion", family="organ", programs=(21, 23), low=50, high=90, sustains=True),
    Instrument(name="harmonica", family="organ", programs=(22,), low=60, high=86, sustains=True),
    Instrument(
        name="acoustic guitar",
        family="guitar",
        programs=(24, 25),
        low=40,
        high=81,
        phrases=("acoustic guitar", "guitar"),
    ),
    Instrument(
        name="electric guitar",
        family="guitar",
        programs=(26, 27, 28),
        low=40,
        high=84,
        phrases=("electric guitar", "guitar"),
    ),
    Instrument(
        name="distorted guitar",
        family="guitar",
        programs=(29, 30),
        low=38,
        high=86,
        sustains=True,
        phrases=("distorted guitar", "guitar", "electric guitar"),
    ),
    Instrument(name="banjo", family="guitar", programs=(105,), low=50, high=84),
    Instrument(name="sitar", family="guitar", programs=(104,), low=45, high=80),
    Instrument(name="acoustic bass", family="bass", programs=(32,), low=28, high=55, phrases=("bass", "upright bass")),
    Instrument(
        name="electric bass", family="bass", programs=(33, 34, 36), low=28, high=55, phrases=("bass", "electric bass")
    ),
    Instrument(name="fretless bass", family="bass", programs=(35,), low=28, high=55, phrases=("bass", "fretless bass")),
    Instrument(name="violin", family="strings", programs=(40,), low=55, high=96, sustains=True),
    Instrument(name="fiddle", family="strings", programs=(110,), low=55, high=93, sustains=True),
    Instrument(name="viola", family="strings", programs=(41,), low=48, high=84, sustains=True),
    Instrument(name="cello", family="strings", programs=(42,), low=36, high=72, sustains=True),
    Instrument(
        name="tremolo strings",
        family="strings",
        programs=(44,),
        low=36,
        high=92,
        sustains=True,
        phrases=("strings", "tremolo strings"),
    ),
    Instrument(
        name="pizzicato strings",
        family="strings",
        programs=(45,),
        low=40,
        high=88,
        phrases=("pizzicato strings", "plucked strings"),
    ),
    Instrument(
        name="string section", family="strings", programs=(48, 49), low=34, high=92, sustains=True, phrases=("strings",)
    ),
    Instrument(name="harp", family="harp", programs=(46,), low=36, high=96),
    Instrument(
        name="choir", family="choir", programs=(52, 53), low=43, high=81, sustains=True, phrases=("choir", "voices")
    ),
    Instrument(name="trumpet", family="brass", programs=(56, 59), low=55, high=84, sustains=True),
    Instrument(
        name="trombone",
        family="brass",
        programs=(57,),
        low=40,
        high=70,
        sustains=True,
        phrases=("trombone", "trombones"),
    ),
    Instrument(name="tuba", family="brass", programs=(58,), low=29, high=55, sustains=True),
    Instrument(
        name="french horn",
        family="brass",
        programs=(60,),
        low=41,
        high=77,
        sustains=True,
        phrases=("french horn", "horns"),
    ),
    Instrument(
        name="brass section", family="brass", programs=(61,), low=40, high=82, sustains=True, phrases=("brass",)
    ),
    Instrument(
        name="saxophone",
        family="sax",
        programs=(64, 65, 66, 67),
        low=44,
        high=82,
        sustains=True,
        phrases=("saxophone", "sax"),
    ),
    Instrument(name="oboe", family="woodwind", programs=(68,), low=58, high=88, sustains=True),
    Instrument(
        name="english horn", family="woodwind", programs=(69,), low=52, high=81, sustains=True, phrases=("woodwinds",)
    ),
    Instrument(name="bassoon", family="woodwind", programs=(70,), low=34, high=70, sustains=True),
    Instrument(name="clarinet", family="woodwind", programs=(71,), low=50, high=88, sustains=True),
    Instrument(name="piccolo", family="woodwind", programs=(72,), low=74, high=102, sustains=True),
    Instrument(name="flute", family="woodwind", programs=(73,), low=60, high=96, sustains=True),
    Instrument(name="recorder", family="woodwind", programs=(74,), low=60, high=93, sustains=True),
    Instrument(
        name="pan flute",
        family="woodwind",
        programs=(75,),
        low=60,
        high=90,
        sustains=True,
        phrases=("flute", "pan pipes"),
    ),
    Instrument(name="whistle", family="woodwind", programs=(78, 79), low=65, high=93, sustains=True),
    Instrument(
        name="synth lead",
        family="synth",
        voice="lead",
        low=45,
        high=92,
        sustains=True,
        phrases=("synth lead", "synths", "synth"),
    ),
    Instrument(
        name="chip lead",
        family="synth",
        voice="chip",
        low=45,
        high=96,
        sustains=True,
        phrases=("chip synths", "8-bit synths", "synths"),
    ),
    Instrument(
        name="synth pad",
        family="synth",
        voice="pad",
        low=36,
        high=86,
        sustains=True,
        phrases=("synth pads", "pads", "synths"),
    ),
    Instrument(
        name="synth pluck",
        family="synth",
        voice="pluck",
        low=40,
        high=96,
        phrases=("plucked synths", "synths", "synth"),
    ),
    Instrument(
        name="synth arpeggio", family="synth", voice="arp", low=40, high=98, phrases=("synth arpeggios", "synths")
    ),
    Instrument(name="synth stab", family="synth", voice="stab", low=40, high=86, phrases=("synth stabs", "synths")),
    Instrument(name="synth brass", family="synth", voice="brass", low=38, high=84, sustains=True, phrases=("synths",)),
    Instrument(name="fm bells", family="synth", voice="fm", low=50, high=98, phrases=("synths", "glassy synths")),
    Instrument(
        name="gm synth",
        family="synth",
        programs=(80, 81, 82, 84, 87, 62, 63),
        low=40,
        high=92,
        sustains=True,
        phrases=("synths", "synth lead"),
    ),
    Instrument(
        name="gm pad",
        family="synth",
        programs=(88, 89, 90, 91, 93, 94, 95, 50, 51),
        low=36,
        high=86,
        sustains=True,
        phrases=("synth pads", "pads"),
    ),
    Instrument(
        name="synth bass",
        family="synth",
        voice="bass",
        low=26,
        high=55,
        sustains=True,
        phrases=("synths",),
        nameable=False,
    ),
    Instrument(
        name="sub bass",
        family="synth",
        voice="sub",
        low=24,
        high=48,
        sustains=True,
        phrases=("synths",),
        nameable=False,
    ),
    Instrument(
        name="acid synth",
        family="synth",
        voice="acid",
        low=30,
        high=64,
        sustains=True,
        phrases=("acid synths", "synths"),
    ),
    Instrument(
        name="drone",
        family="synth",
        voice="drone",
        low=24,
        high=67,
        sustains=True,
        phrases=("synth drones", "synths", "low synths"),
    ),
    Instrument(name="noise riser", family="synth", voice="riser", sustains=True, phrases=("synths",), nameable=False),
    Instrument(name="timpani", family="drums", programs=(47,), low=36, high=57, phrases=("timpani",)),
    Instrument(name="drum kit", family="drums", programs=(0, 8, 16), kit=True, phrases=("drums", "drum kit", "kit")),
    Instrument(name="jazz kit", family="drums", programs=(32, 40), kit=True, phrases=("drums", "brushed drums", "kit")),
    Instrument(
        name="orchestral percussion",
        family="drums",
        programs=(48,),
        kit=True,
        phrases=("percussion", "drums"),
    ),
    Instrument(
        name="hand percussion",
        family="drums",
        programs=(0,),
        kit=True,
        phrases=("percussion", "congas", "hand percussion"),
    ),
    Instrument(
        name="drum machine",
        family="drums",
        voice="machine",
        kit=True,
        phrases=("drums", "drum machine", "beats", "percussion"),
    ),
    Instrument(
        name="gm drum machine",
        family="drums",
        programs=(24, 25),
        kit=True,
        phrases=("drums", "drum machine", "beats"),
    ),
)
"""Every instrument by name."""
