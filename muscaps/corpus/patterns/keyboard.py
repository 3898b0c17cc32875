"""Left hands of piano styles."""

import numpy as np

from muscaps.corpus.instruments import Instrument
from muscaps.corpus.patterns.piece import BeatNote, Piece, bars, fit, voicing


def piano_stride(piece: Piece, instrument: Instrument, rng: np.random.Generator) -> list[BeatNote]:
    """Left hand of stage and silent-film piano: bass note, then chord."""
    notes: list[BeatNote] = []
    centre = int(rng.integers(52, 62))
    for start, chord in bars(piece):
        root = fit(36 + (piece.tonic + chord.root) % 12, 33, 48)
        for beat in range(piece.beats_per_bar):
            short = 0.55 - 0.3 * piece.staccato
            if beat == 0 or (beat == 2 and piece.beats_per_bar == 4):
                pitch = root if beat == 0 else fit(root + int(rng.choice([7, -5, 12])), 33, 50)
                notes.append((start + beat, short, pitch, 0.8))
                if rng.random() < 0.3:
                    notes.append((start + beat, short, fit(pitch - 12, 28, 50), 0.7))
            else:
                for pitch in voicing(piece, chord, centre, 3, 45, 70):
                    notes.append((start + beat, short, pitch, 0.62))
    return notes


def piano_boogie(piece: Piece, instrument: Instrument, rng: np.random.Generator) -> list[BeatNote]:
    """Left hand of boogie and shuffle."""
    notes: list[BeatNote] = []
    line = (0, 4, 7, 9, 10, 9, 7, 4) if rng.random() < 0.5 else (0, 7, 9, 7, 0, 7, 9, 7)
    for start, chord in bars(piece):
        root = fit(36 + (piece.tonic + chord.root) % 12, 33, 48)
        minor = 3 in chord.intervals
        for step in range(piece.beats_per_bar * 2):
            interval = line[step % 8]
            notes.append((start + step / 2, 0.42, root + (3 if minor and interval == 4 else interval), 0.75))
    return notes


def piano_broken(piece: Piece, instrument: Instrument, rng: np.random.Generator) -> list[BeatNote]:
    """Left hand in wide broken chords."""
    notes: list[BeatNote] = []
    rate = float(rng.choice([0.5, 0.5, 1.0]))
    for start, chord in bars(piece):
        root = fit(36 + (piece.tonic + chord.root) % 12, 36, 50)
        third = chord.intervals[1]
        shape = [root, root + 7, root + 12, root + 12 + third, root + 19, root + 12 + third, root + 12, root + 7]
        for step in range(round(piece.beats_per_bar / rate)):
            notes.append((start + step * rate, rate * 1.8, shape[step % 8], 0.58))
    return notes
