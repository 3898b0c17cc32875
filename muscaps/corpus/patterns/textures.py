"""Held, sparse and rising sounds."""

import numpy as np

from muscaps.corpus.instruments import Instrument
from muscaps.corpus.patterns.piece import BeatNote, Piece, fit, scale_pitches


def swells(piece: Piece, instrument: Instrument, rng: np.random.Generator) -> list[BeatNote]:
    """Low, close or dissonant notes held for two bars: unease."""
    notes: list[BeatNote] = []
    for bar in range(0, piece.num_bars, 2):
        root = fit(
            max(instrument.low, 36) + (piece.tonic + piece.chords[bar].root) % 12, instrument.low, instrument.high
        )
        for interval in (0, int(rng.choice([1, 6, 7, 12, 13, 3]))):
            pitch = fit(root + interval, instrument.low, instrument.high)
            notes.append((bar * piece.beats_per_bar, piece.beats_per_bar * 2, pitch, 0.7))
    return notes


def sparse_notes(piece: Piece, instrument: Instrument, rng: np.random.Generator) -> list[BeatNote]:
    """Single notes left to ring, far apart."""
    pitches = scale_pitches(piece, max(instrument.low, min(50, instrument.high - 12)), min(instrument.high, 90))
    notes: list[BeatNote] = []
    beat = float(rng.integers(0, 3))
    while beat < piece.num_beats:
        notes.append((beat, 3.0, int(rng.choice(pitches)), float(rng.uniform(0.5, 0.85))))
        beat += float(rng.choice([1, 1.5, 2, 3]))
    return notes


def riser(piece: Piece, instrument: Instrument, rng: np.random.Generator) -> list[BeatNote]:
    """A swell into a bar line, then an impact."""
    bar = int(rng.integers(1, max(2, piece.num_bars - 1)))
    at = bar * piece.beats_per_bar
    return [(max(0, at - 4), min(4, at), 60, 0.7), (at, 3.0, 60, 0.9)]
