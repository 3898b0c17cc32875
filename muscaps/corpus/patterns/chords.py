"""Accompaniments: chords, strums, arpeggios and ostinatos."""

import numpy as np

from muscaps.corpus.instruments import Instrument
from muscaps.corpus.patterns.piece import BeatNote, Pattern, Piece, bars, centre_of, fit, voicing


def chords_sustained(piece: Piece, instrument: Instrument, rng: np.random.Generator) -> list[BeatNote]:
    """A chord held through each bar."""
    centre = centre_of(instrument, 52, 72, rng)
    size = int(rng.choice([2, 3, 3, 4]))
    notes: list[BeatNote] = []
    for start, chord in bars(piece):
        for pitch in voicing(piece, chord, centre, size, instrument.low, instrument.high):
            notes.append((start, piece.beats_per_bar * 0.99, pitch, 0.62))
    return notes


def rhythm_chords(steps: str, length: float, strum: float = 0.0, size: int = 3) -> Pattern:
    """Make a pattern of chords on a rhythm: a bar as equal steps, X an accent, x a chord, "." a rest."""

    def pattern(piece: Piece, instrument: Instrument, rng: np.random.Generator) -> list[BeatNote]:
        centre = centre_of(instrument, 54, 70, rng)
        notes: list[BeatNote] = []
        for start, chord in bars(piece):
            pitches = voicing(piece, chord, centre, size, instrument.low, instrument.high)
            for step, symbol in enumerate(steps):
                if symbol == ".":
                    continue
                beat = start + step * piece.beats_per_bar / len(steps)
                held = length * (1 - 0.35 * piece.staccato)
                for order, pitch in enumerate(pitches):
                    notes.append((beat + strum * order, held, pitch, 0.85 if symbol == "X" else 0.65))
        return notes

    return pattern


def chords_stabs(piece: Piece, instrument: Instrument, rng: np.random.Generator) -> list[BeatNote]:
    """Short chords on a syncopated rhythm drawn once."""
    rhythms = (
        "x..x..x.....x...",
        "..x...x...x...x.",
        "x..x...x..x.....",
        "x.....x...x..x..",
        "....x.......x..x",
        "x.x..x....x.x...",
    )
    return rhythm_chords(str(rng.choice(rhythms)), 0.3)(piece, instrument, rng)


def chords_power(piece: Piece, instrument: Instrument, rng: np.random.Generator) -> list[BeatNote]:
    """Root and fifth, chugged in eighths or sixteenths."""
    rhythms = (
        "X.x.x.x.X.x.x.x.",
        "X.xxX.xxX.xxX.xx",
        "X..x..X...X.x.x.",
        "XxxxXxxxXxxxXxxx",
        "X.......X.......",
        "X..X..X..X..X.x.",
    )
    steps = str(rng.choice(rhythms))
    notes: list[BeatNote] = []
    for start, chord in bars(piece):
        root = fit(40 + (piece.tonic + chord.root - 40) % 12, 38, 52)
        for step, symbol in enumerate(steps):
            if symbol == ".":
                continue
            gap = next((i for i in range(1, 17) if step + i >= 16 or steps[step + i] != "."), 1)
            for interval in (0, 7, 12):
                beat = start + step * piece.beats_per_bar / 16
                notes.append((beat, 0.23 * gap, root + interval, 0.95 if symbol == "X" else 0.75))
    return notes


def arpeggio(rate: float, span: int) -> Pattern:
    """Make a pattern of broken chords: a note every `rate` beats over `span` chord tones."""

    def pattern(piece: Piece, instrument: Instrument, rng: np.random.Generator) -> list[BeatNote]:
        shape = str(rng.choice(["up", "down", "updown", "random", "alberti"]))
        centre = centre_of(instrument, 55, 80, rng)
        gaps = rng.random(piece.beats_per_bar * 8) < 0.15
        notes: list[BeatNote] = []
        count = 0
        for start, chord in bars(piece):
            tones = voicing(piece, chord, centre, span, instrument.low, instrument.high)
            order = {
                "up": tones,
                "down": tones[::-1],
                "updown": tones + tones[-2:0:-1],
                "random": [int(p) for p in rng.permutation(tones)],
                "alberti": [tones[0], tones[-1], tones[len(tones) // 2], tones[-1]],
            }[shape]
            for step in range(round(piece.beats_per_bar / rate)):
                if not gaps[step % len(gaps)] or shape == "alberti":
                    beat = start + step * rate
                    notes.append(
                        (
                            beat,
                            rate * (1.3 - 0.7 * piece.staccato),
                            order[count % len(order)],
                            0.75 if step % 4 == 0 else 0.6,
                        )
                    )
                count += 1
        return notes

    return pattern


def chords_tremolo(piece: Piece, instrument: Instrument, rng: np.random.Generator) -> list[BeatNote]:
    """One repeated note or cluster in running eighths or sixteenths: an ostinato."""
    rate = float(rng.choice([0.25, 0.5, 0.5]))
    centre = centre_of(instrument, 45, 70, rng)
    accents = rng.random(8) < 0.35
    accents[0] = True
    turn = rng.integers(0, 3, 8)
    notes: list[BeatNote] = []
    for start, chord in bars(piece):
        tones = voicing(piece, chord, centre, 3, instrument.low, instrument.high)
        for step in range(round(piece.beats_per_bar / rate)):
            pitch = tones[int(turn[step % 8]) % len(tones)]
            notes.append((start + step * rate, rate * 0.8, pitch, 0.9 if accents[step % 8] else 0.6))
    return notes
