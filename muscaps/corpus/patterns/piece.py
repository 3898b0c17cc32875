"""The piece that all parts share, and helpers to place notes in it.

Conventions: positions and lengths are in beats from the start of the piece, pitches are MIDI numbers,
velocities 0 to 1. A pattern is a function (piece, instrument, rng) -> notes in beats.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from muscaps.corpus.harmony import Chord
from muscaps.corpus.instruments import Instrument
from muscaps.corpus.synthesis.notes import Note

BeatNote = tuple[float, float, int, float]


@dataclass(frozen=True, kw_only=True)
class Piece:
    """The frame all parts share."""

    bpm: float
    beats_per_bar: int
    num_bars: int
    swing: float
    """How late off-beat eighths come, in beats: 0 straight, 0.16 triplets."""
    tonic: int
    """Pitch class, 0 to 11."""
    scale: tuple[int, ...]
    chords: tuple[Chord, ...]
    """One a bar."""
    staccato: float
    """0 sustained to 1 short."""
    density: float
    """0 sparse to 1 busy."""

    @property
    def num_beats(self) -> int:
        """Length in beats."""
        return self.num_bars * self.beats_per_bar

    def chord_at(self, beat: float) -> Chord:
        """The chord sounding at a beat."""
        return self.chords[min(self.num_bars - 1, int(beat // self.beats_per_bar))]

    def in_seconds(self, notes: list[BeatNote], rng: np.random.Generator, looseness_s: float) -> list[Note]:
        """Beats to seconds, with swing and uneven timing."""
        beat_s = 60 / self.bpm
        result = []
        for beat, length, pitch, velocity in notes:
            fraction = beat % 1.0
            late = self.swing * max(0.0, 1 - abs(fraction - 0.5) / 0.26) if self.swing else 0.0
            start = max(0.0, (beat + late) * beat_s + float(rng.normal(0, looseness_s)))
            level = float(np.clip(velocity * (1 + rng.normal(0, 0.06)), 0.08, 1.0))
            result.append(Note(start, max(0.04, length * beat_s), pitch, level))
        return sorted(result)


Pattern = Callable[[Piece, Instrument, np.random.Generator], list[BeatNote]]


def fit(pitch: int, low: int, high: int) -> int:
    """Move a pitch by octaves into a range."""
    while pitch < low:
        pitch += 12
    while pitch > high:
        pitch -= 12
    return pitch if pitch >= low else low + (pitch - low) % 12


def voicing(piece: Piece, chord: Chord, centre: int, size: int, low: int, high: int) -> list[int]:
    """Chord tones closest to `centre`, ascending."""
    wanted = {(piece.tonic + tone) % 12 for tone in chord.pitch_classes}
    near = sorted((p for p in range(low, high + 1) if p % 12 in wanted), key=lambda p: abs(p - centre))
    return sorted(near[:size])


def root_of(piece: Piece, chord: Chord, instrument: Instrument) -> int:
    """Return the root of a chord in the low range of an instrument."""
    floor = max(instrument.low, 28)
    return fit(floor + (piece.tonic + chord.root - floor) % 12, instrument.low, max(instrument.high, floor + 11))


def centre_of(instrument: Instrument, low: int, high: int, rng: np.random.Generator) -> int:
    """A pitch to play around: within `low` and `high` as far as the instrument's range allows."""
    first = max(instrument.low + 6, low)
    return int(rng.integers(first, max(first + 1, min(instrument.high - 7, high) + 1)))


def bars(piece: Piece) -> list[tuple[int, Chord]]:
    """Return the first beat and the chord of each bar."""
    return [(bar * piece.beats_per_bar, chord) for bar, chord in enumerate(piece.chords)]


def scale_pitches(piece: Piece, low: int, high: int) -> list[int]:
    """Return the pitches of the scale in a range, ascending."""
    return [p for p in range(low, high + 1) if (p - piece.tonic) % 12 in piece.scale]
