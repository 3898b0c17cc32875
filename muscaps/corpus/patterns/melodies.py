"""Melodies, runs and fanfares."""

import numpy as np

from muscaps.corpus.instruments import Instrument
from muscaps.corpus.patterns.piece import BeatNote, Pattern, Piece, bars, centre_of, fit, scale_pitches, voicing

_RHYTHMS = {
    # beats of one 4-beat bar, from sparse to busy
    0: ((0.0,), (0.0, 2.0), (0.0, 3.0), (1.0,)),
    1: ((0.0, 1.0, 2.0), (0.0, 1.5, 2.0, 3.0), (0.0, 2.0, 3.0), (0.0, 1.0, 2.5)),
    2: (
        (0.0, 0.5, 1.0, 2.0, 3.0),
        (0.0, 1.0, 1.5, 2.0, 3.0, 3.5),
        (0.5, 1.0, 2.0, 2.5, 3.0),
        (0.0, 0.75, 1.5, 2.0, 3.0),
    ),
    3: (
        (0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5),
        (0.0, 0.25, 0.5, 1.0, 1.5, 2.0, 2.25, 2.5, 3.0, 3.5),
        (0.0, 0.5, 0.75, 1.0, 1.5, 2.0, 2.5, 2.75, 3.0),
        (0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 2.5, 3.0, 3.25, 3.5, 3.75),
    ),
}


def melody(*, low: int | None = None, chromatic: float = 0.0, doubled: bool = False, calm: bool = False) -> Pattern:
    """A tune from a two-bar motif, repeated with changes; chord tones on the beat, steps between."""

    def pattern(piece: Piece, instrument: Instrument, rng: np.random.Generator) -> list[BeatNote]:
        level = int(np.clip(round(piece.density * 3 + rng.normal(0, 0.5)) - (1 if calm else 0), 0, 3))
        centre = centre_of(instrument, 60, 82, rng)
        if low is not None:
            centre = low
        pitches = scale_pitches(piece, max(instrument.low, centre - 12), min(instrument.high, centre + 14))
        motifs = []
        for _ in range(2):
            rhythm = _RHYTHMS[level][int(rng.integers(len(_RHYTHMS[level])))]
            motifs.append((rhythm, rng.choice([-2, -1, -1, 0, 1, 1, 2, 3, -3], size=len(rhythm))))
        notes: list[BeatNote] = []
        here = min(range(len(pitches)), key=lambda i: abs(pitches[i] - centre))
        for bar, (start, chord) in enumerate(bars(piece)):
            if bar % 4 == 3 and rng.random() < 0.3:
                rhythm, moves = _RHYTHMS[0][0], np.zeros(1, dtype=int)
            else:
                rhythm, moves = motifs[bar % 2]
            wanted = {(piece.tonic + tone) % 12 for tone in chord.pitch_classes}
            inside = [beat for beat in rhythm if beat < piece.beats_per_bar]
            for position, beat in enumerate(inside):
                here = int(np.clip(here + int(moves[position]), 0, len(pitches) - 1))
                pull = (len(pitches) // 2 - here) * 0.12
                if rng.random() < abs(pull):
                    here += 1 if pull > 0 else -1
                pitch = pitches[here]
                if beat % 1 == 0:
                    pitch = min(range(pitch - 3, pitch + 4), key=lambda p: (p % 12 not in wanted, abs(p - pitch)))
                following = inside[position + 1] if position + 1 < len(inside) else piece.beats_per_bar
                length = max(0.12, (following - beat) * (0.97 - 0.6 * piece.staccato))
                velocity = 0.9 if beat % 1 == 0 else 0.78
                if chromatic and rng.random() < chromatic:
                    notes.append((start + beat - 0.08, 0.1, pitch - 1, 0.7))
                notes.append((start + beat, length, pitch, velocity))
                if doubled:
                    notes.append((start + beat, length, fit(pitch + 12, instrument.low, instrument.high), velocity))
        return [(max(0.0, b), length, p, v) for b, length, p, v in notes]

    return pattern


def chromatic_runs(piece: Piece, instrument: Instrument, rng: np.random.Generator) -> list[BeatNote]:
    """Chromatic scales up and down between rests: slapstick and chases."""
    notes: list[BeatNote] = []
    base = int(np.clip(67, instrument.low + 2, instrument.high - 14))
    for start, _ in bars(piece):
        if rng.random() < 0.7:
            direction = int(rng.choice([-1, 1]))
            first = base if direction > 0 else base + 12
            for step in range(8):
                notes.append((start + step * 0.25, 0.2, first + direction * step, 0.8))
            notes.append((start + 2, 0.4, first + direction * 8, 0.9))
    return notes


def fanfare(piece: Piece, instrument: Instrument, rng: np.random.Generator) -> list[BeatNote]:
    """Brass figures: dotted and triplet calls on chord tones."""
    rhythms = ((0, 1.5, 2, 3), (0, 0.75, 1, 2), (0, 1 / 3, 2 / 3, 1, 2), (0, 2, 2.5, 3), (0, 3))
    rhythm = rhythms[int(rng.integers(len(rhythms)))]
    centre = int(np.clip(62, instrument.low + 4, instrument.high - 8))
    size = int(rng.choice([1, 2, 3]))
    notes: list[BeatNote] = []
    for start, chord in bars(piece):
        tones = voicing(piece, chord, centre, 4, instrument.low, instrument.high)
        for position, beat in enumerate(rhythm):
            if beat >= piece.beats_per_bar:
                continue
            following = rhythm[position + 1] if position + 1 < len(rhythm) else piece.beats_per_bar
            first = int(rng.integers(0, max(1, len(tones) - size + 1)))
            for pitch in tones[first : first + size]:
                notes.append((start + beat, (following - beat) * (0.95 - 0.4 * piece.staccato), pitch, 0.9))
    return notes
