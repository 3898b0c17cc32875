"""The styles of music we arrange: tempo, harmony, players, grooves and how an editor would describe them.

A feel (see `captions.FEELS`) listed under a mode is offered only to clips in that mode; what a caption finally says
also depends on the tempo, the density and the articulation that were drawn (`truth`).
"""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Layer:
    """One player's chair."""

    role: str
    """bass, chords, pad, lead, counter, arp, fx or drums."""
    patterns: tuple[str, ...]
    """Names in `patterns.PATTERNS`, or in `patterns.GROOVES` for drums."""
    instruments: tuple[str, ...]
    """Names in `instruments.INSTRUMENTS`; repeats make a choice likelier."""
    chance: float = 1.0
    """How often the chair is filled."""
    level_db: float = 0.0
    """Offset in the mix."""


@dataclass(frozen=True, kw_only=True)
class Style:
    """A style of music."""

    name: str
    weight: float
    bpm: tuple[float, float]
    layers: tuple[Layer, ...]
    progressions: tuple[str, ...]
    major: tuple[str, ...] = ()
    """Feels of clips in major."""
    minor: tuple[str, ...] = ()
    """Feels of clips in minor."""
    nouns: tuple[str, ...] = ()
    """What a caption calls the piece; the name when empty."""
    major_share: float = 0.5
    beats_per_bar: int = 4
    swing: tuple[float, float] = (0.0, 0.0)
    staccato: tuple[float, float] = (0.3, 0.85)
    density: tuple[float, float] = (0.35, 0.75)
    scales: tuple[str, ...] = ()
    """Scales of melodies; major or minor by mode when empty."""
    clear_mode: bool = True
    """False where the harmony is too bare or too mixed to be called major or minor."""
    electronic: bool = False
    """Whether the mix is that of a synthesiser studio: pumping, delays, hard limiting."""
    energy: float = 0.0
    """Bias of the energy score, -1 to 1."""


def _chair(role: str, patterns: str, instruments: str, chance: float = 1.0, level_db: float = 0.0) -> Layer:
    return Layer(
        role=role,
        patterns=tuple(p.strip() for p in patterns.split(",")),
        instruments=tuple(i.strip() for i in instruments.split(",")),
        chance=chance,
        level_db=level_db,
    )


_SYNTH_LEADS = "synth lead, synth lead, synth pluck, fm bells, synth brass, chip lead, gm synth"
_PADS = "synth pad, synth pad, gm pad"
_MACHINES = "drum machine, drum machine, drum machine, gm drum machine, drum kit"
_SOLO_FEELS_MAJOR = ("bright", "calm", "uplifting", "playful")
_SOLO_FEELS_MINOR = ("melancholic", "dark", "mysterious")


def _dance(name: str, weight: float, bpm: tuple[float, float], grooves: str, basses: str, **more: object) -> Style:
    layers = [
        _chair("drums", grooves, _MACHINES, 0.88, 1.0),
        _chair("bass", basses, "synth bass, synth bass, synth bass, acid synth, sub bass", 0.92),
        _chair("arp", "arp 16, arp 8, arp 16, ostinato", "synth arpeggio, synth pluck, chip lead, fm bells", 0.55),
        _chair("chords", "stabs, sustained, offbeats", "synth stab, synth pad, synth pluck, electric piano", 0.5),
        _chair("pad", "sustained", _PADS + ", string section", 0.4, -4),
        _chair("lead", "melody, melody, calm melody", _SYNTH_LEADS, 0.6),
        _chair("fx", "riser", "noise riser", 0.25, -6),
    ]
    defaults: dict[str, object] = {
        "major": ("bouncy", "bright", "uplifting", "driving", "grooving"),
        "minor": ("driving", "dark", "aggressive", "grooving", "suspenseful"),
        "progressions": ("dance", "dance", "modal"),
        "electronic": True,
        "energy": 0.15,
        "major_share": 0.5,
    }
    defaults.update(more)
    return Style(name=name, weight=weight, bpm=bpm, layers=tuple(layers), **defaults)  # type: ignore[arg-type]


def _solo(
    name: str, weight: float, instruments: str, patterns: str, progressions: tuple[str, ...], **more: object
) -> Style:
    defaults: dict[str, object] = {
        "bpm": (58, 165),
        "major": _SOLO_FEELS_MAJOR,
        "minor": _SOLO_FEELS_MINOR,
        "nouns": ("piece", "solo"),
        "energy": -0.2,
        "staccato": (0.1, 0.8),
        "density": (0.3, 0.95),
    }
    defaults.update(more)
    layers = (_chair("lead", patterns, instruments), _chair("chords", "sustained, arp 8, quarters", "SAME", 0.45, -4))
    return Style(name=name, weight=weight, layers=layers, progressions=progressions, **defaults)  # type: ignore[arg-type]


STYLES: tuple[Style, ...] = (
    # electronic
    _dance(
        "techno",
        2.6,
        (118, 146),
        "techno, techno busy, minimal",
        "bass rolling, bass riff, bass offbeat, bass sixteenths",
        major_share=0.25,
    ),
    _dance("house", 2.6, (112, 130), "house, disco, techno", "bass offbeat, bass riff, bass octaves", major_share=0.6),
    _dance(
        "electro",
        3.0,
        (92, 134),
        "electro, breakbeat, electro, minimal",
        "bass riff, bass eighths, bass octaves",
        nouns=("electro", "electronica", "electronic dance"),
    ),
    _dance(
        "synthwave",
        2.0,
        (80, 122),
        "rock, electro, disco",
        "bass eighths, bass sixteenths, bass octaves",
        nouns=("synthwave", "retro electronica"),
    ),
    _dance(
        "drum and bass",
        1.2,
        (158, 178),
        "drum and bass, breakbeat",
        "bass breakbeat, bass riff",
        nouns=("breakbeat", "electronica"),
        major_share=0.3,
    ),
    _dance(
        "hip hop",
        1.8,
        (78, 104),
        "hip hop, trap, half time",
        "bass 808, bass riff, bass breakbeat",
        nouns=("hip hop", "urban", "urban electronica"),
        major_share=0.25,
        energy=-0.05,
        minor=("dark", "grooving", "aggressive", "mysterious", "calm"),
    ),
    _dance(
        "dance pop",
        1.8,
        (104, 134),
        "house, electro, disco, rock",
        "bass octaves, bass eighths, bass offbeat",
        progressions=("pop",),
        major_share=0.75,
        nouns=("dance pop", "electronica", "pop"),
    ),
    Style(
        name="chiptune",
        weight=2.6,
        bpm=(92, 176),
        progressions=("pop", "functional", "comic"),
        major_share=0.62,
        nouns=("chiptune", "video game", "arcade", "8-bit"),
        electronic=True,
        staccato=(0.4, 0.9),
        density=(0.5, 1.0),
        energy=0.15,
        major=("bouncy", "bright", "playful", "uplifting", "driving"),
        minor=("driving", "dark", "suspenseful", "action"),
        layers=(
            _chair("lead", "melody, comic melody", "chip lead, chip lead, chip lead, synth lead"),
            _chair("bass", "bass octaves, bass eighths, bass oompah, bass gallop", "chip lead, chip lead, synth bass"),
            _chair("arp", "arp 16, arp 8, arp triplet", "chip lead", 0.65, -3),
            _chair("drums", "chip, rock, electro, polka, swing", "drum machine", 0.75, -1),
        ),
    ),
    Style(
        name="electronica",
        weight=3.4,
        bpm=(80, 140),
        progressions=("dance", "modal", "dreamy", "dark"),
        major_share=0.45,
        electronic=True,
        nouns=("electronica", "electronic", "electronica"),
        density=(0.2, 0.9),
        staccato=(0.1, 0.9),
        major=("bright", "grooving", "uplifting", "dreamy", "bouncy"),
        minor=("dark", "driving", "mysterious", "suspenseful", "grooving"),
        layers=(
            _chair(
                "arp",
                "arp 16, arp 8, ostinato, arp triplet, arp slow",
                "synth arpeggio, synth pluck, fm bells, chip lead, synth stab",
                0.85,
            ),
            _chair(
                "bass",
                "bass riff, bass whole, bass eighths, bass roots",
                "synth bass, sub bass, acid synth, synth bass",
                0.7,
            ),
            _chair("pad", "sustained", _PADS, 0.6, -3),
            _chair("lead", "melody, calm melody, sparse", _SYNTH_LEADS, 0.6),
            _chair("drums", "minimal, electro, breakbeat, hip hop, techno, latin", _MACHINES, 0.55),
            _chair(
                "counter",
                "calm melody, sparse, arp 8",
                "glockenspiel, electric piano, tubular bells, choir, choir, harp, string section, marimba, "
                "electric organ",
                0.3,
                -1,
            ),
        ),
    ),
    Style(
        name="chillout",
        weight=2.0,
        bpm=(70, 122),
        progressions=("dreamy", "dreamy", "modal"),
        major_share=0.5,
        electronic=True,
        nouns=("chillout", "downtempo electronica", "lounge"),
        density=(0.15, 0.5),
        staccato=(0, 0.4),
        energy=-0.3,
        major=("calm", "dreamy", "grooving"),
        minor=("calm", "grooving", "mysterious", "dark", "melancholic"),
        layers=(
            _chair(
                "chords",
                "sustained, stabs, bossa comp, arp slow",
                "electric piano, electric piano, synth pad, electric guitar",
            ),
            _chair("bass", "bass riff, bass roots, bass bossa", "synth bass, electric bass, fretless bass"),
            _chair("drums", "hip hop, half time, minimal, electro", "drum machine, gm drum machine, drum kit", 0.8, -1),
            _chair("pad", "sustained", _PADS, 0.6, -3),
            _chair(
                "lead",
                "calm melody, melody, sparse",
                "synth lead, fm bells, electric guitar, saxophone, flute, vibraphone, trumpet",
                0.6,
            ),
        ),
    ),
    Style(
        name="ambient",
        weight=2.2,
        bpm=(50, 92),
        progressions=("dreamy", "modal"),
        major_share=0.6,
        electronic=True,
        nouns=("ambient", "soundscape"),
        density=(0.0, 0.3),
        staccato=(0, 0.2),
        energy=-0.8,
        major=("calm", "dreamy"),
        minor=("mysterious", "dreamy", "melancholic"),
        layers=(
            _chair("pad", "sustained", "synth pad, synth pad, gm pad, string section, choir"),
            _chair(
                "counter",
                "sparse, arp slow, calm melody",
                "fm bells, piano, glockenspiel, harp, electric piano, synth pluck, celesta, vibraphone",
                0.7,
            ),
            _chair("bass", "bass whole", "sub bass, synth bass", 0.4, -3),
            _chair(
                "lead",
                "calm melody, sparse",
                "synth lead, flute, electric guitar, choir, cello, pan flute, french horn",
                0.35,
            ),
        ),
    ),
    Style(
        name="drone",
        weight=2.2,
        bpm=(52, 100),
        progressions=("dark", "modal"),
        major_share=0.0,
        electronic=True,
        nouns=("horror", "soundscape", "underscore"),
        density=(0, 0.3),
        staccato=(0, 0.3),
        energy=-0.5,
        clear_mode=False,
        minor=("dark", "suspenseful", "mysterious"),
        scales=("phrygian", "harmonic minor"),
        layers=(
            _chair("pad", "swells, sustained", "drone, drone, synth pad, tremolo strings, choir"),
            _chair("bass", "bass whole, swells", "drone, sub bass, string section, synth bass", 0.7),
            _chair(
                "counter",
                "sparse, ostinato",
                "piano, tubular bells, fm bells, celesta, music box, violin, synth pluck, french horn",
                0.5,
            ),
            _chair("drums", "suspense, pulse, tribal", "orchestral percussion, drum machine", 0.35),
            _chair("fx", "riser", "noise riser", 0.4, -3),
        ),
    ),
    Style(
        name="cinematic electronica",
        weight=1.8,
        bpm=(78, 136),
        progressions=("epic", "dark"),
        major_share=0.12,
        electronic=True,
        nouns=("cinematic", "hybrid soundtrack"),
        energy=0.2,
        minor=("suspenseful", "driving", "action", "epic", "dark"),
        major=("epic", "uplifting"),
        density=(0.4, 1),
        layers=(
            _chair(
                "arp", "ostinato, arp 16, arp 8", "synth pluck, synth arpeggio, acid synth, tremolo strings, marimba"
            ),
            _chair(
                "drums",
                "action, tribal, epic, breakbeat, electro",
                "drum machine, orchestral percussion, drum kit",
                0.85,
                1,
            ),
            _chair("bass", "bass eighths, bass whole, bass riff", "synth bass, drone, sub bass"),
            _chair("pad", "sustained, swells", "string section, synth pad, choir, brass section", 0.7),
            _chair(
                "lead",
                "fanfare, calm melody, low melody",
                "brass section, synth lead, french horn, string section",
                0.4,
            ),
        ),
    ),
    # bands
    Style(
        name="rock",
        weight=2.4,
        bpm=(92, 168),
        progressions=("pop", "pop", "modal"),
        major_share=0.55,
        energy=0.25,
        major=("driving", "uplifting", "bright"),
        minor=("driving", "aggressive", "dark"),
        layers=(
            _chair("drums", "rock, rock ride, punk, half time", "drum kit"),
            _chair("bass", "bass eighths, bass roots, bass riff", "electric bass"),
            _chair("chords", "power, strum, power, quarters", "distorted guitar, electric guitar, distorted guitar"),
            _chair("lead", "melody, calm melody", "distorted guitar, electric guitar, electric organ, synth lead", 0.5),
            _chair("pad", "sustained", "electric organ, synth pad, string section", 0.3, -4),
        ),
    ),
    Style(
        name="metal",
        weight=1.0,
        bpm=(110, 190),
        progressions=("dark", "modal", "epic"),
        major_share=0.0,
        energy=0.5,
        clear_mode=False,
        minor=("aggressive", "driving", "dark"),
        scales=("phrygian", "harmonic minor", "minor"),
        density=(0.6, 1),
        nouns=("metal", "heavy rock"),
        layers=(
            _chair("chords", "power", "distorted guitar"),
            _chair("bass", "bass gallop, bass sixteenths, bass eighths", "electric bass"),
            _chair("drums", "metal, punk, rock, half time", "drum kit"),
            _chair("lead", "melody, runs, ostinato", "distorted guitar", 0.5),
        ),
    ),
    Style(
        name="disco",
        weight=1.4,
        bpm=(106, 130),
        progressions=("pop", "jazz", "funk"),
        major_share=0.6,
        energy=0.2,
        major=("bouncy", "grooving", "bright", "uplifting"),
        minor=("grooving", "driving"),
        layers=(
            _chair("drums", "disco", "drum kit, drum machine"),
            _chair("bass", "bass octaves, bass riff", "electric bass, synth bass"),
            _chair("chords", "scratch, stabs", "electric guitar, electric piano, clavinet"),
            _chair("lead", "fanfare, melody, stabs", "brass section, string section, synth lead, trumpet", 0.8),
            _chair("pad", "sustained", "string section, synth pad", 0.5, -3),
        ),
    ),
    Style(
        name="funk",
        weight=1.8,
        bpm=(92, 126),
        progressions=("funk",),
        major_share=0.55,
        clear_mode=False,
        energy=0.15,
        major=("grooving", "bouncy", "bright", "driving"),
        minor=("grooving", "driving", "dark"),
        scales=("blues", "mixolydian", "dorian"),
        staccato=(0.5, 0.9),
        layers=(
            _chair("drums", "funk, breakbeat", "drum kit, drum kit, drum machine"),
            _chair("bass", "bass funk, bass riff", "electric bass, electric bass, synth bass"),
            _chair("chords", "scratch, stabs", "electric guitar, clavinet, electric organ, electric piano"),
            _chair(
                "lead",
                "fanfare, melody, stabs",
                "brass section, saxophone, saxophone, trumpet, electric organ, electric organ, synth lead",
                0.8,
            ),
        ),
    ),
    Style(
        name="ska",
        weight=1.5,
        bpm=(100, 172),
        progressions=("pop", "functional"),
        major_share=0.85,
        energy=0.25,
        major=("bouncy", "bright", "grooving", "uplifting"),
        minor=("bouncy", "grooving"),
        staccato=(0.5, 0.9),
        layers=(
            _chair("drums", "ska, rock", "drum kit"),
            _chair("bass", "bass ska, bass walking", "electric bass, acoustic bass"),
            _chair("chords", "offbeats", "electric guitar, electric organ, piano"),
            _chair("lead", "fanfare, melody", "trumpet, brass section, trombone, saxophone, saxophone", 0.85),
            _chair("counter", "fanfare, offbeats, calm melody", "trombone, saxophone, electric organ, trumpet", 0.5),
        ),
    ),
    Style(
        name="reggae",
        weight=1.0,
        bpm=(66, 92),
        progressions=("pop", "modal"),
        major_share=0.6,
        energy=-0.1,
        major=("calm", "grooving", "bright"),
        minor=("grooving", "calm", "dark"),
        layers=(
            _chair("drums", "reggae", "drum kit"),
            _chair("bass", "bass reggae, bass riff", "electric bass, synth bass"),
            _chair("chords", "offbeats, backbeats", "electric guitar, electric organ, piano"),
            _chair(
                "lead", "calm melody, melody", "electric organ, trombone, synth lead, harmonica, electric guitar", 0.6
            ),
        ),
    ),
    Style(
        name="bossa nova",
        weight=1.1,
        bpm=(92, 140),
        progressions=("jazz", "dreamy"),
        major_share=0.6,
        energy=-0.2,
        major=("calm", "grooving", "bright"),
        minor=("calm", "grooving", "mysterious"),
        nouns=("bossa nova", "lounge"),
        layers=(
            _chair("chords", "bossa comp", "acoustic guitar, electric piano, piano"),
            _chair("bass", "bass bossa", "acoustic bass, electric bass"),
            _chair("drums", "bossa, congas", "drum kit, jazz kit, hand percussion", 0.85, -2),
            _chair(
                "lead", "calm melody, melody", "flute, saxophone, piano, vibraphone, acoustic guitar, trumpet", 0.85
            ),
        ),
    ),
    Style(
        name="latin",
        weight=1.4,
        bpm=(96, 136),
        progressions=("functional", "jazz", "modal"),
        major_share=0.5,
        energy=0.15,
        major=("bouncy", "bright", "grooving"),
        minor=("grooving", "driving"),
        nouns=("latin", "salsa"),
        layers=(
            _chair("chords", "montuno", "piano, piano, acoustic guitar, marimba"),
            _chair("bass", "bass tumbao", "acoustic bass, electric bass"),
            _chair("drums", "latin, samba, congas", "drum kit, hand percussion"),
            _chair("lead", "fanfare, melody", "trumpet, brass section, flute, trombone, accordion", 0.8),
        ),
    ),
    Style(
        name="jazz",
        weight=2.0,
        bpm=(84, 184),
        progressions=("jazz",),
        major_share=0.6,
        swing=(0.12, 0.17),
        energy=-0.05,
        major=("grooving", "bright", "calm"),
        minor=("grooving", "mysterious", "dark"),
        nouns=("jazz", "swing", "lounge jazz"),
        layers=(
            _chair("bass", "bass walking", "acoustic bass, acoustic bass, electric bass"),
            _chair("drums", "swing, swing brushes", "jazz kit, drum kit"),
            _chair("chords", "stabs, quarters", "piano, electric guitar, electric piano, electric organ, vibraphone"),
            _chair(
                "lead",
                "melody",
                "saxophone, trumpet, piano, clarinet, electric guitar, flute, vibraphone, electric organ",
                0.85,
            ),
            _chair("counter", "fanfare, stabs", "brass section, trombone, saxophone", 0.3),
        ),
    ),
    Style(
        name="blues",
        weight=0.8,
        bpm=(70, 138),
        progressions=("blues",),
        major_share=0.75,
        clear_mode=False,
        swing=(0.12, 0.17),
        major=("grooving",),
        minor=("grooving", "dark"),
        scales=("blues",),
        layers=(
            _chair("drums", "shuffle", "drum kit", 0.85),
            _chair("bass", "bass walking, bass fifths", "electric bass, acoustic bass"),
            _chair("chords", "stabs, quarters, offbeats", "electric guitar, piano, electric organ"),
            _chair("lead", "melody", "electric guitar, harmonica, saxophone, distorted guitar, piano", 0.8),
        ),
    ),
    Style(
        name="country",
        weight=1.1,
        bpm=(84, 150),
        progressions=("functional", "pop"),
        major_share=0.88,
        energy=0.05,
        major=("bright", "bouncy", "uplifting", "playful"),
        minor=("melancholic", "driving"),
        nouns=("country", "folk"),
        layers=(
            _chair("chords", "strum, arp 8", "acoustic guitar, banjo, acoustic guitar"),
            _chair("bass", "bass fifths", "acoustic bass, electric bass", 0.9),
            _chair("lead", "melody", "fiddle, harmonica, banjo, acoustic guitar, electric guitar", 0.85),
            _chair("drums", "country, rock", "drum kit, jazz kit", 0.6, -2),
        ),
    ),
    Style(
        name="folk",
        weight=1.4,
        bpm=(66, 132),
        progressions=("functional", "pop", "modal"),
        major_share=0.6,
        energy=-0.25,
        major=("calm", "bright", "uplifting"),
        minor=("melancholic", "mysterious"),
        nouns=("folk", "acoustic"),
        layers=(
            _chair("chords", "arp 8, slow strum, strum", "acoustic guitar, acoustic guitar, harp, accordion"),
            _chair(
                "lead",
                "calm melody, melody",
                "flute, fiddle, recorder, whistle, violin, clarinet, harmonica, accordion, cello",
                0.85,
            ),
            _chair("bass", "bass roots, bass fifths", "acoustic bass", 0.4),
            _chair("drums", "congas, sprinkle", "hand percussion", 0.25, -3),
        ),
    ),
    Style(
        name="world",
        weight=1.2,
        bpm=(88, 148),
        progressions=("modal", "functional"),
        major_share=0.5,
        energy=0.05,
        major=("bouncy", "bright", "playful"),
        minor=("mysterious", "driving", "grooving"),
        nouns=("world", "medieval", "festive"),
        scales=("dorian", "mixolydian", "harmonic minor"),
        layers=(
            _chair("drums", "tribal, congas, latin", "hand percussion, orchestral percussion", 0.85),
            _chair("chords", "strum, arp 8, offbeats", "acoustic guitar, sitar, banjo, harp, kalimba", 0.85),
            _chair("lead", "melody", "recorder, pan flute, whistle, oboe, flute, fiddle, marimba"),
            _chair("bass", "bass roots, bass whole", "acoustic bass, fretless bass", 0.3),
        ),
    ),
    Style(
        name="pop",
        weight=1.4,
        bpm=(84, 130),
        progressions=("pop",),
        major_share=0.75,
        major=("uplifting", "bright", "grooving", "calm"),
        minor=("melancholic", "grooving", "driving"),
        nouns=("pop", "corporate pop"),
        layers=(
            _chair("drums", "rock, electro, disco", "drum kit, drum machine", 0.9),
            _chair("bass", "bass roots, bass eighths", "electric bass, synth bass"),
            _chair(
                "chords",
                "quarters, strum, arp 8, house piano",
                "piano, acoustic guitar, electric guitar, electric piano",
            ),
            _chair(
                "lead", "melody, calm melody", "electric guitar, piano, synth lead, glockenspiel, string section", 0.6
            ),
            _chair("pad", "sustained", "string section, synth pad, choir", 0.5, -4),
        ),
    ),
    # comic and stage
    Style(
        name="silent film",
        weight=5.0,
        bpm=(88, 184),
        progressions=("comic", "functional", "comic"),
        major_share=0.68,
        nouns=("silent film", "ragtime", "vaudeville", "slapstick"),
        energy=0.15,
        staccato=(0.4, 1.0),
        density=(0.4, 1.0),
        major=("bouncy", "humorous", "bright", "playful"),
        minor=("dark", "bouncy", "mysterious", "humorous"),
        swing=(0, 0.12),
        layers=(
            _chair("chords", "stride, stride, boogie, broken", "piano, piano, piano, honky-tonk piano"),
            _chair("lead", "comic melody, octave melody, runs, melody, low melody", "SAME"),
        ),
    ),
    Style(
        name="quirky ensemble",
        weight=2.0,
        bpm=(84, 150),
        progressions=("comic", "functional"),
        major_share=0.65,
        nouns=("comedy", "cartoon", "quirky"),
        staccato=(0.6, 1.0),
        density=(0.3, 0.8),
        major=("playful", "humorous", "bouncy", "bright"),
        minor=("mysterious", "humorous", "dark"),
        layers=(
            _chair(
                "chords",
                "offbeats, arp 8, block quarters",
                "pizzicato strings, pizzicato strings, marimba, acoustic guitar, piano, accordion",
            ),
            _chair(
                "bass", "bass oompah, bass fifths", "bassoon, tuba, acoustic bass, pizzicato strings, trombone", 0.9
            ),
            _chair(
                "lead",
                "comic melody, melody, runs",
                "clarinet, bassoon, oboe, flute, xylophone, marimba, glockenspiel, celesta, piccolo, english horn",
            ),
            _chair("counter", "sparse, offbeats, melody", "glockenspiel, xylophone, flute, clarinet, trumpet", 0.4, -2),
            _chair("drums", "woodblocks, sprinkle, circus, polka", "orchestral percussion, drum kit", 0.45, -2),
        ),
    ),
    Style(
        name="polka",
        weight=1.6,
        bpm=(104, 150),
        progressions=("functional", "comic"),
        major_share=0.7,
        energy=0.15,
        staccato=(0.5, 1),
        major=("bouncy", "bright", "humorous", "playful"),
        minor=("bouncy", "humorous", "dark"),
        layers=(
            _chair("bass", "bass oompah", "tuba, tuba, acoustic bass, trombone, synth bass"),
            _chair("chords", "offbeats", "accordion, accordion, acoustic guitar, piano, chip lead"),
            _chair("lead", "melody, comic melody", "accordion, clarinet, trumpet, violin, chip lead, piccolo", 0.8),
            _chair("drums", "polka", "drum kit, drum machine", 0.75, -1),
        ),
    ),
    Style(
        name="march",
        weight=1.5,
        bpm=(100, 138),
        progressions=("functional", "epic", "comic"),
        major_share=0.75,
        energy=0.25,
        staccato=(0.4, 0.9),
        major=("bouncy", "bright", "humorous", "epic"),
        minor=("dark", "epic", "driving"),
        nouns=("march", "circus", "parade"),
        layers=(
            _chair("bass", "bass oompah, bass fifths", "tuba, trombone, tuba"),
            _chair("chords", "offbeats, fanfare", "trombone, french horn, brass section, trumpet"),
            _chair("lead", "melody, fanfare", "trumpet, piccolo, clarinet, brass section"),
            _chair("drums", "march, circus, polka", "orchestral percussion, drum kit", 0.85),
            _chair("counter", "melody, sparse", "xylophone, glockenspiel, flute, saxophone, piano", 0.35),
        ),
    ),
    Style(
        name="waltz",
        weight=1.5,
        bpm=(84, 168),
        beats_per_bar=3,
        progressions=("functional", "pop", "comic"),
        major_share=0.6,
        energy=-0.1,
        major=("bright", "playful", "calm", "bouncy"),
        minor=("mysterious", "melancholic", "dark"),
        layers=(
            _chair("bass", "bass waltz", "acoustic bass, tuba, pizzicato strings, cello, piano"),
            _chair(
                "chords",
                "waltz chords, arp 8",
                "piano, accordion, string section, harp, celesta, acoustic guitar, pizzicato strings, music box",
            ),
            _chair(
                "lead",
                "melody, calm melody",
                "violin, flute, clarinet, accordion, string section, glockenspiel, music box, oboe, celesta, "
                "tubular bells",
            ),
            _chair("drums", "waltz, waltz light", "drum kit, jazz kit, orchestral percussion", 0.35, -3),
        ),
    ),
    # orchestral
    Style(
        name="epic orchestral",
        weight=2.6,
        bpm=(76, 148),
        progressions=("epic",),
        major_share=0.3,
        energy=0.3,
        density=(0.4, 1),
        major=("epic", "uplifting"),
        minor=("epic", "action", "dark", "suspenseful"),
        nouns=("orchestral", "soundtrack", "trailer", "battle"),
        layers=(
            _chair(
                "drums",
                "epic, action, march, tribal",
                "orchestral percussion, orchestral percussion, drum kit",
                0.88,
                1,
            ),
            _chair("chords", "ostinato, sustained, ostinato", "string section, tremolo strings, string section"),
            _chair("lead", "fanfare, calm melody, melody", "french horn, brass section, trumpet, brass section"),
            _chair(
                "bass", "bass whole, bass eighths, bass roots", "string section, tuba, trombone, cello, synth bass", 0.9
            ),
            _chair("counter", "sustained, calm melody", "choir, choir, trombone, french horn, string section", 0.6, -1),
            _chair("fx", "bass roots", "timpani", 0.35),
        ),
    ),
    Style(
        name="dark orchestral",
        weight=2.2,
        bpm=(56, 124),
        progressions=("dark", "dark", "epic"),
        major_share=0.0,
        energy=-0.2,
        density=(0.1, 0.5),
        staccato=(0, 0.7),
        minor=("dark", "suspenseful", "mysterious"),
        nouns=("orchestral", "suspense", "soundtrack", "thriller"),
        scales=("harmonic minor", "phrygian", "minor"),
        layers=(
            _chair("pad", "sustained, swells, ostinato", "tremolo strings, string section, choir, brass section"),
            _chair(
                "bass",
                "bass whole, low melody, swells, bass roots",
                "cello, string section, bassoon, trombone, tuba, synth bass",
            ),
            _chair(
                "lead",
                "calm melody, sparse, low melody",
                "french horn, oboe, clarinet, piano, violin, cello, celesta, bassoon, english horn",
                0.7,
            ),
            _chair("drums", "suspense, pulse, tribal", "orchestral percussion", 0.45),
            _chair(
                "counter", "sparse, arp 8", "harp, marimba, xylophone, tubular bells, piano, pizzicato strings", 0.4
            ),
        ),
    ),
    Style(
        name="gentle orchestral",
        weight=1.8,
        bpm=(56, 108),
        progressions=("pop", "dreamy", "functional"),
        major_share=0.7,
        energy=-0.4,
        density=(0.15, 0.6),
        staccato=(0, 0.4),
        major=("calm", "uplifting", "dreamy"),
        minor=("melancholic", "mysterious"),
        nouns=("orchestral", "soundtrack"),
        layers=(
            _chair("pad", "sustained", "string section, string section, choir, french horn"),
            _chair(
                "lead",
                "calm melody, melody",
                "flute, oboe, clarinet, violin, french horn, cello, string section, piano",
            ),
            _chair("arp", "arp 8, arp slow, broken", "harp, harp, piano, celesta, glockenspiel", 0.75),
            _chair("bass", "bass whole, bass roots", "cello, string section, acoustic bass", 0.5),
            _chair("drums", "sprinkle", "orchestral percussion", 0.12, -4),
        ),
    ),
    Style(
        name="fantasy",
        weight=2.0,
        bpm=(66, 116),
        progressions=("dreamy", "epic", "pop"),
        major_share=0.55,
        energy=-0.35,
        density=(0.15, 0.6),
        staccato=(0, 0.5),
        major=("dreamy", "calm", "uplifting"),
        minor=("mysterious", "dreamy", "melancholic"),
        nouns=("fantasy", "magical", "mystical"),
        layers=(
            _chair("arp", "arp 8, arp slow, arp triplet", "harp, harp, celesta, glockenspiel, marimba, synth pluck"),
            _chair("pad", "sustained", "choir, choir, string section, synth pad"),
            _chair("lead", "calm melody, sparse", "flute, pan flute, oboe, violin, recorder, choir, french horn", 0.7),
            _chair("drums", "sprinkle, tribal", "hand percussion, orchestral percussion", 0.2, -3),
        ),
    ),
    Style(
        name="string ensemble",
        weight=1.2,
        bpm=(52, 150),
        progressions=("functional", "pop", "epic"),
        major_share=0.5,
        energy=-0.2,
        density=(0.2, 0.8),
        staccato=(0, 0.7),
        major=("uplifting", "calm", "bright"),
        minor=("melancholic", "dark", "driving"),
        nouns=("chamber", "classical"),
        layers=(
            _chair(
                "pad",
                "sustained, ostinato, quarters",
                "string section, pizzicato strings, string section, tremolo strings",
            ),
            _chair("lead", "melody, calm melody", "violin, cello, viola, string section"),
            _chair("bass", "bass roots, bass whole, bass fifths", "cello, string section, pizzicato strings", 0.7),
        ),
    ),
    Style(
        name="choral",
        weight=1.5,
        bpm=(50, 104),
        progressions=("functional", "epic", "pop"),
        major_share=0.5,
        energy=-0.3,
        density=(0.1, 0.4),
        staccato=(0, 0.15),
        major=("calm", "uplifting", "epic"),
        minor=("dark", "mysterious", "epic"),
        nouns=("choral", "sacred"),
        layers=(
            _chair("pad", "sustained", "choir"),
            _chair("lead", "calm melody", "choir, church organ, choir, french horn", 0.6),
            _chair("bass", "bass whole", "church organ, choir, string section, cello", 0.5),
            _chair("counter", "arp slow, sparse", "harp, tubular bells, string section", 0.35),
        ),
    ),
    Style(
        name="woodwind and brass",
        weight=1.2,
        bpm=(64, 134),
        progressions=("functional", "pop"),
        major_share=0.7,
        energy=-0.2,
        density=(0.2, 0.7),
        staccato=(0.1, 0.8),
        major=("calm", "bright", "playful"),
        minor=("melancholic", "mysterious"),
        nouns=("chamber", "contemporary"),
        layers=(
            _chair("lead", "melody, calm melody", "clarinet, flute, oboe, bassoon, saxophone, trumpet"),
            _chair(
                "chords", "sustained, quarters, fanfare", "trombone, french horn, clarinet, saxophone, brass section"
            ),
            _chair("bass", "bass roots, bass whole, bass fifths", "tuba, bassoon, trombone, cello", 0.7),
            _chair(
                "counter", "arp 8, calm melody, sparse", "glockenspiel, flute, clarinet, vibraphone, french horn", 0.5
            ),
        ),
    ),
    Style(
        name="duo",
        weight=2.0,
        bpm=(58, 150),
        progressions=("functional", "jazz", "dreamy", "dark"),
        major_share=0.5,
        energy=-0.25,
        density=(0.2, 0.8),
        staccato=(0.1, 0.8),
        major=("calm", "bright", "playful"),
        minor=("melancholic", "dark", "mysterious"),
        nouns=("duet", "chamber", "intimate"),
        layers=(
            _chair(
                "chords",
                "broken, arp 8, sustained, quarters, stride",
                "piano, piano, piano, acoustic guitar, harp, electric piano, vibraphone, marimba",
            ),
            _chair(
                "lead",
                "melody, calm melody, low melody",
                "violin, cello, flute, clarinet, oboe, saxophone, trumpet, acoustic bass, bassoon, french horn, "
                "marimba, fretless bass",
            ),
        ),
    ),
    Style(
        name="mallet ensemble",
        weight=1.6,
        bpm=(84, 152),
        progressions=("pop", "functional", "modal", "dark"),
        major_share=0.65,
        density=(0.4, 0.9),
        staccato=(0.5, 0.9),
        major=("bouncy", "bright", "playful", "uplifting"),
        minor=("mysterious", "suspenseful", "driving"),
        nouns=("mallet", "video game", "minimalist"),
        layers=(
            _chair("arp", "arp 8, ostinato, arp 16", "marimba, marimba, xylophone, vibraphone, kalimba"),
            _chair(
                "chords",
                "offbeats, stabs, sustained",
                "electric organ, marimba, synth pluck, pizzicato strings, synth pad",
                0.7,
            ),
            _chair("lead", "melody", "flute, marimba, glockenspiel, xylophone, synth lead, recorder", 0.8),
            _chair("bass", "bass roots, bass fifths, bass riff", "synth bass, acoustic bass, electric bass", 0.6),
            _chair("drums", "congas, latin, electro, sprinkle", "hand percussion, drum machine, drum kit", 0.55, -1),
        ),
    ),
    Style(
        name="lullaby",
        weight=1.0,
        bpm=(60, 112),
        progressions=("functional", "dreamy", "pop"),
        major_share=0.7,
        energy=-0.6,
        density=(0.15, 0.5),
        staccato=(0.1, 0.5),
        major=("calm", "dreamy", "bright"),
        minor=("mysterious", "melancholic"),
        nouns=("lullaby", "piece"),
        layers=(
            _chair("lead", "calm melody, melody", "music box, celesta, glockenspiel, kalimba, vibraphone"),
            _chair("chords", "arp 8, arp slow", "music box, celesta, harp, vibraphone", 0.8),
            _chair("pad", "sustained", "synth pad, string section, choir", 0.35, -4),
        ),
    ),
    # soloists
    Style(
        name="solo piano",
        weight=2.6,
        bpm=(58, 150),
        progressions=("functional", "pop", "dreamy", "dark", "jazz"),
        major_share=0.5,
        energy=-0.25,
        density=(0.1, 0.8),
        staccato=(0, 0.6),
        nouns=("piece", "solo", "ballad"),
        major=("calm", "bright", "uplifting", "playful"),
        minor=("melancholic", "dark", "mysterious"),
        layers=(
            _chair("chords", "broken, sustained, stride, quarters, arp 8", "piano"),
            _chair("lead", "melody, calm melody, low melody", "SAME"),
        ),
    ),
    _solo(
        "solo guitar",
        1.0,
        "acoustic guitar, acoustic guitar, electric guitar, distorted guitar, banjo",
        "arp 8, melody, strum, arp triplet, slow strum",
        ("functional", "pop", "modal"),
    ),
    _solo(
        "solo organ",
        1.2,
        "church organ, electric organ, accordion, accordion, harmonica",
        "melody, sustained, arp 8, quarters",
        ("functional", "epic", "comic"),
    ),
    _solo(
        "solo strings",
        0.9,
        "violin, cello, viola, fiddle, string section, pizzicato strings",
        "melody, calm melody, arp 8",
        ("functional", "pop", "dark"),
    ),
    _solo(
        "solo wind",
        1.0,
        "flute, clarinet, oboe, bassoon, recorder, saxophone, saxophone, whistle, pan flute, piccolo",
        "melody, calm melody",
        ("functional", "pop", "jazz"),
    ),
    _solo("solo saxophone", 0.8, "saxophone", "melody, calm melody, runs", ("jazz", "blues", "pop")),
    _solo(
        "solo brass",
        0.8,
        "trumpet, trombone, french horn, tuba, brass section",
        "melody, calm melody, fanfare",
        ("functional", "epic", "jazz"),
    ),
    _solo(
        "solo mallets",
        0.9,
        "marimba, xylophone, vibraphone, glockenspiel, tubular bells, celesta, music box, kalimba",
        "melody, arp 8, arp 16, ostinato",
        ("functional", "modal", "dreamy"),
    ),
    _solo("solo harp", 1.0, "harp", "arp 8, arp triplet, melody, arp slow", ("functional", "dreamy", "pop")),
    _solo(
        "solo keys",
        0.7,
        "harpsichord, electric piano, electric piano, clavinet",
        "melody, arp 8, quarters, broken",
        ("functional", "jazz", "funk"),
    ),
    _solo(
        "solo choir",
        0.9,
        "choir",
        "sustained, calm melody",
        ("functional", "epic"),
        bpm=(50, 100),
        density=(0.1, 0.4),
        staccato=(0, 0.2),
    ),
    _solo(
        "solo bass",
        0.6,
        "electric bass, acoustic bass, fretless bass",
        "bass riff, bass walking, bass funk",
        ("funk", "jazz", "modal"),
        clear_mode=False,
        major=("grooving",),
        minor=("grooving", "dark", "mysterious"),
    ),
    _solo(
        "solo synth",
        2.4,
        "synth lead, synth pad, synth pluck, synth arpeggio, drone, acid synth, fm bells, chip lead, "
        "gm pad, synth stab",
        "melody, arp 16, arp 8, sustained, ostinato, swells",
        ("dance", "dreamy", "dark"),
        electronic=True,
        nouns=("electronica", "electronic", "piece"),
        energy=-0.1,
        major=("bright", "dreamy", "uplifting", "driving"),
        minor=("dark", "mysterious", "suspenseful", "driving"),
    ),
    Style(
        name="drum solo",
        weight=1.3,
        bpm=(76, 160),
        progressions=("modal",),
        major_share=0.0,
        clear_mode=False,
        energy=0.2,
        nouns=("percussion", "rhythmic"),
        minor=("driving", "grooving", "aggressive"),
        layers=(
            _chair(
                "drums",
                "rock, breakbeat, funk, latin, samba, tribal, action, techno busy, electro, congas, march, "
                "swing, drum and bass",
                "drum kit, drum machine, drum machine, hand percussion, orchestral percussion, jazz kit",
            ),
            _chair("fx", "riser, bass whole, sparse", "noise riser, sub bass, fm bells, timpani", 0.3, -8),
        ),
    ),
)
"""Every style we arrange."""
