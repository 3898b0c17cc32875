"""Random arrangements: a style, a key, a tempo and instruments, written out as parts."""

from dataclasses import dataclass

import numpy as np

from muscaps.corpus.harmony import PROGRESSIONS, SCALES, parse_chord
from muscaps.corpus.instruments import INSTRUMENTS
from muscaps.corpus.patterns import PATTERNS, Piece, drum_notes
from muscaps.corpus.styles import STYLES, Layer, Style
from muscaps.corpus.synthesis.notes import Note


@dataclass(frozen=True, kw_only=True)
class Part:
    """The notes of one part."""

    instrument: str
    role: str
    notes: tuple[Note, ...]
    level_db: float = 0.0
    pattern: str = ""
    """Name in `patterns.PATTERNS` or `patterns.GROOVES`; empty for a part of a score."""


@dataclass(frozen=True, kw_only=True)
class Arrangement:
    """A score ready to be rendered, with what is known of it."""

    style: str
    nouns: tuple[str, ...]
    bpm: float
    mode: str
    """major, minor or unclear."""
    staccato: float
    energy_bias: float
    feels: tuple[str, ...]
    """Candidates for `truth.choose_feels`."""
    electronic: bool
    parts: tuple[Part, ...]
    beats_per_bar: int = 4
    swing: float = 0.0
    """Delay of off-beat eighth notes in beats."""
    density: float = 0.5
    """0 sparse to 1 busy."""
    licence: str = ""
    source: str = ""


_ROLE_LEVELS_DB = {
    "lead": 0.0,
    "chords": -2.0,
    "bass": 1.5,
    "pad": -6.0,
    "counter": -3.0,
    "arp": -2.5,
    "fx": -6.0,
    "drums": 0.5,
}


def _triangular(low: float, high: float, rng: np.random.Generator) -> float:
    return float(rng.triangular(low, (low + high) / 2, high)) if high > low else low


def _progression(style: Style, major: bool, num_bars: int, rng: np.random.Generator) -> tuple[str, ...]:
    kind = style.progressions[int(rng.integers(len(style.progressions)))]
    choices = PROGRESSIONS[kind][0 if major else 1]
    symbols = choices[int(rng.integers(len(choices)))].split()
    stretch = 2 if len(symbols) <= 4 and rng.random() < 0.2 else 1
    return tuple(symbols[(bar // stretch) % len(symbols)] for bar in range(num_bars))


def arrange(seconds: float, rng: np.random.Generator, style: Style | None = None) -> Arrangement:
    """Write an arrangement of at least `seconds`.

    Args:
        style: Drawn by weight when None.
    """
    if style is None:
        weights = np.array([s.weight for s in STYLES])
        style = STYLES[int(rng.choice(len(STYLES), p=weights / weights.sum()))]
    bpm = round(_triangular(*style.bpm, rng), 1)
    major = bool(rng.random() < style.major_share)
    num_bars = int(np.ceil(seconds * bpm / 60 / style.beats_per_bar)) + 1
    scales = [name for name in style.scales if (4 in SCALES[name]) == major] or (
        ["major", "major", "major pentatonic"] if major else ["minor", "harmonic minor", "minor pentatonic", "minor"]
    )
    piece = Piece(
        bpm=bpm,
        beats_per_bar=style.beats_per_bar,
        num_bars=num_bars,
        swing=float(rng.uniform(*style.swing)) if rng.random() < 0.7 else 0.0,
        tonic=int(rng.integers(12)),
        scale=SCALES[str(rng.choice(scales))],
        chords=tuple(parse_chord(symbol) for symbol in _progression(style, major, num_bars, rng)),
        staccato=float(rng.uniform(*style.staccato)),
        density=float(rng.uniform(*style.density)),
    )
    layers = [layer for layer in style.layers if rng.random() < layer.chance]
    if not layers:
        layers = [style.layers[0]]
    looseness_s = 0.002 if style.electronic else float(rng.uniform(0.003, 0.014))
    parts: list[Part] = []
    for layer in layers:
        instrument_name = _player(layer, parts, rng)
        parts.append(_written(layer, instrument_name, piece, rng, looseness_s, seconds))
    parts = [part for part in parts if part.notes] or parts
    return Arrangement(
        style=style.name,
        nouns=style.nouns,
        bpm=bpm,
        mode=("major" if major else "minor") if style.clear_mode else "unclear",
        staccato=piece.staccato,
        energy_bias=style.energy,
        feels=style.major if major else style.minor,
        electronic=style.electronic,
        parts=tuple(parts),
        beats_per_bar=style.beats_per_bar,
        swing=piece.swing,
        density=piece.density,
    )


def _player(layer: Layer, parts: list[Part], rng: np.random.Generator) -> str:
    name = layer.instruments[int(rng.integers(len(layer.instruments)))]
    return name if name != "SAME" else parts[0].instrument if parts else "piano"


def _written(
    layer: Layer, name: str, piece: Piece, rng: np.random.Generator, looseness_s: float, seconds: float
) -> Part:
    instrument = INSTRUMENTS[name]
    pattern = layer.patterns[int(rng.integers(len(layer.patterns)))]
    beats = drum_notes(pattern, piece, rng) if layer.role == "drums" else PATTERNS[pattern](piece, instrument, rng)
    notes = [note for note in piece.in_seconds(beats, rng, looseness_s) if note.start_s < seconds]
    if layer.role not in ("lead", "drums") and len(layer.instruments) and rng.random() < 0.12 and seconds > 6:
        entry = seconds * float(rng.choice([0.25, 0.35, 0.5]))  # a part that joins late or leaves early
        joins = rng.random() < 0.6
        notes = [note for note in notes if (note.start_s >= entry) == joins]
    level = _ROLE_LEVELS_DB[layer.role] + layer.level_db + float(rng.normal(0, 2.5))
    return Part(instrument=name, role=layer.role, notes=tuple(notes), level_db=level, pattern=pattern)
