"""A style of music: tempo, harmony, layers of instruments and grooves, and short ways to write styles down.

A feel (see `truth.FEELS`) listed under a mode is drawn only for clips in that mode. Feels are stored with a clip;
captions and tags do not use them.
"""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Layer:
    """One part of a style: its role, what it can play and on what."""

    role: str
    """bass, chords, pad, lead, counter, arp, fx or drums."""
    patterns: tuple[str, ...]
    """Names in `patterns.PATTERNS`, or in `patterns.GROOVES` for drums."""
    instruments: tuple[str, ...]
    """Names in `instruments.INSTRUMENTS`; a repeated name is chosen more often."""
    chance: float = 1.0
    """Probability that the part is there."""
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


def layer(role: str, patterns: str, instruments: str, chance: float = 1.0, level_db: float = 0.0) -> Layer:
    """Make a layer from lists separated by commas."""
    return Layer(
        role=role,
        patterns=tuple(p.strip() for p in patterns.split(",")),
        instruments=tuple(i.strip() for i in instruments.split(",")),
        chance=chance,
        level_db=level_db,
    )


SYNTH_LEADS = "synth lead, synth lead, synth pluck, fm bells, synth brass, chip lead, gm synth"
PADS = "synth pad, synth pad, gm pad"
MACHINES = "drum machine, drum machine, drum machine, gm drum machine, drum kit"
_SOLO_FEELS_MAJOR = ("bright", "calm", "uplifting", "playful")
_SOLO_FEELS_MINOR = ("melancholic", "dark", "mysterious")


def dance(name: str, weight: float, bpm: tuple[float, float], grooves: str, basses: str, **more: object) -> Style:
    """Make a style of electronic dance music; `more` replaces its defaults."""
    layers = [
        layer("drums", grooves, MACHINES, 0.88, 1.0),
        layer("bass", basses, "synth bass, synth bass, synth bass, acid synth, sub bass", 0.92),
        layer("arp", "arp 16, arp 8, arp 16, ostinato", "synth arpeggio, synth pluck, chip lead, fm bells", 0.55),
        layer("chords", "stabs, sustained, offbeats", "synth stab, synth pad, synth pluck, electric piano", 0.5),
        layer("pad", "sustained", PADS + ", string section", 0.4, -4),
        layer("lead", "melody, melody, calm melody", SYNTH_LEADS, 0.6),
        layer("fx", "riser", "noise riser", 0.25, -6),
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


def solo(
    name: str, weight: float, instruments: str, patterns: str, progressions: tuple[str, ...], **more: object
) -> Style:
    """Make a style for one instrument; `more` replaces its defaults."""
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
    layers = (layer("lead", patterns, instruments), layer("chords", "sustained, arp 8, quarters", "SAME", 0.45, -4))
    return Style(name=name, weight=weight, layers=layers, progressions=progressions, **defaults)  # type: ignore[arg-type]
