"""Bass lines."""

import numpy as np

from muscaps.corpus.instruments import Instrument
from muscaps.corpus.patterns.piece import BeatNote, Pattern, Piece, bars, fit, root_of


def grid_bass(steps: str, intervals: dict[str, int], length: float) -> Pattern:
    """Make a bass from a bar of sixteenths: a digit-like symbol picks an interval above the root, '.' rests."""

    def pattern(piece: Piece, instrument: Instrument, rng: np.random.Generator) -> list[BeatNote]:
        notes: list[BeatNote] = []
        for start, chord in bars(piece):
            root = root_of(piece, chord, instrument)
            for step, symbol in enumerate(steps):
                beat = step * piece.beats_per_bar / len(steps)
                if symbol == ".":
                    continue
                pitch = fit(root + intervals[symbol], instrument.low, instrument.high + 7)
                short = length * (1 - 0.4 * piece.staccato)
                notes.append((start + beat, short, pitch, 0.85 if beat % 1 == 0 else 0.72))
        return notes

    return pattern


BASS_STEPS = {"r": 0, "5": 7, "8": 12, "3": 4, "7": 10, "4": 5, "b": -5, "6": 9, "2": 2}


def bass_walking(piece: Piece, instrument: Instrument, rng: np.random.Generator) -> list[BeatNote]:
    """Quarter notes that walk from root to root."""
    notes: list[BeatNote] = []
    for start, chord in bars(piece):
        root = root_of(piece, chord, instrument)
        following = root_of(piece, piece.chord_at(start + piece.beats_per_bar), instrument)
        tones = [root + step for step in chord.intervals] + [root + 12, root + 9]
        for beat in range(piece.beats_per_bar):
            if beat == 0:
                pitch = root
            elif beat == piece.beats_per_bar - 1:
                pitch = following + int(rng.choice([-1, 1, 2]))
            else:
                pitch = int(rng.choice(tones))
            notes.append((start + beat, 0.9, fit(pitch, instrument.low, instrument.high), 0.8))
            if rng.random() < 0.12:
                notes.append((start + beat + 0.5, 0.4, fit(pitch, instrument.low, instrument.high), 0.6))
    return notes


def bass_random_sixteenths(piece: Piece, instrument: Instrument, rng: np.random.Generator) -> list[BeatNote]:
    """A riff drawn once and repeated: the hook of a groove or an acid line."""
    num_steps = piece.beats_per_bar * 4
    rate = 0.35 + 0.4 * piece.density
    riff = [
        (step, int(rng.choice([0, 0, 0, 12, 7, 10, 3, 5, -2])), float(rng.choice([0.22, 0.22, 0.45])))
        for step in range(num_steps)
        if step == 0 or rng.random() < rate * (1 if step % 2 == 0 else 0.6)
    ]
    notes: list[BeatNote] = []
    for start, chord in bars(piece):
        root = root_of(piece, chord, instrument)
        for step, interval, length in riff:
            pitch = fit(root + interval, instrument.low, instrument.high + 5)
            notes.append((start + step / 4, length, pitch, 0.9 if step % 4 == 0 else 0.7))
    return notes


def bass_drone(piece: Piece, instrument: Instrument, rng: np.random.Generator) -> list[BeatNote]:
    """The root held for bars."""
    notes: list[BeatNote] = []
    for start, chord in bars(piece):
        notes.append((start, piece.beats_per_bar * 0.98, root_of(piece, chord, instrument), 0.75))
    return notes
