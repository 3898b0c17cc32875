"""What each player plays: basses, accompaniments, melodies and drum grooves laid over chords.

Conventions: positions and lengths are in beats from the start of the piece, pitches are MIDI numbers,
velocities 0 to 1. A pattern is a function (piece, instrument, rng) -> notes in beats.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from muscaps.corpus.harmony import Chord
from muscaps.corpus.instruments import Instrument
from muscaps.corpus.voices import Note

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
        """Beats to seconds, with swing and a player's unevenness."""
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


def _fit(pitch: int, low: int, high: int) -> int:
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


def _root(piece: Piece, chord: Chord, instrument: Instrument) -> int:
    floor = max(instrument.low, 28)
    return _fit(floor + (piece.tonic + chord.root - floor) % 12, instrument.low, max(instrument.high, floor + 11))


def _centre(instrument: Instrument, low: int, high: int, rng: np.random.Generator) -> int:
    """A pitch to play around: within `low` and `high` as far as the instrument's range allows."""
    first = max(instrument.low + 6, low)
    return int(rng.integers(first, max(first + 1, min(instrument.high - 7, high) + 1)))


def _bars(piece: Piece) -> list[tuple[int, Chord]]:
    return [(bar * piece.beats_per_bar, chord) for bar, chord in enumerate(piece.chords)]


def _grid_bass(steps: str, intervals: dict[str, int], length: float) -> Pattern:
    """A bass from a bar of sixteenths: a digit-like symbol picks an interval above the root, '.' rests."""

    def pattern(piece: Piece, instrument: Instrument, rng: np.random.Generator) -> list[BeatNote]:
        notes: list[BeatNote] = []
        for start, chord in _bars(piece):
            root = _root(piece, chord, instrument)
            for step, symbol in enumerate(steps):
                beat = step * piece.beats_per_bar / len(steps)
                if symbol == ".":
                    continue
                pitch = _fit(root + intervals[symbol], instrument.low, instrument.high + 7)
                short = length * (1 - 0.4 * piece.staccato)
                notes.append((start + beat, short, pitch, 0.85 if beat % 1 == 0 else 0.72))
        return notes

    return pattern


_STEPS = {"r": 0, "5": 7, "8": 12, "3": 4, "7": 10, "4": 5, "b": -5, "6": 9, "2": 2}


def bass_walking(piece: Piece, instrument: Instrument, rng: np.random.Generator) -> list[BeatNote]:
    """Quarter notes that walk from root to root."""
    notes: list[BeatNote] = []
    for start, chord in _bars(piece):
        root = _root(piece, chord, instrument)
        following = _root(piece, piece.chord_at(start + piece.beats_per_bar), instrument)
        tones = [root + step for step in chord.intervals] + [root + 12, root + 9]
        for beat in range(piece.beats_per_bar):
            if beat == 0:
                pitch = root
            elif beat == piece.beats_per_bar - 1:
                pitch = following + int(rng.choice([-1, 1, 2]))
            else:
                pitch = int(rng.choice(tones))
            notes.append((start + beat, 0.9, _fit(pitch, instrument.low, instrument.high), 0.8))
            if rng.random() < 0.12:
                notes.append((start + beat + 0.5, 0.4, _fit(pitch, instrument.low, instrument.high), 0.6))
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
    for start, chord in _bars(piece):
        root = _root(piece, chord, instrument)
        for step, interval, length in riff:
            pitch = _fit(root + interval, instrument.low, instrument.high + 5)
            notes.append((start + step / 4, length, pitch, 0.9 if step % 4 == 0 else 0.7))
    return notes


def bass_drone(piece: Piece, instrument: Instrument, rng: np.random.Generator) -> list[BeatNote]:
    """The root held for bars."""
    notes: list[BeatNote] = []
    for start, chord in _bars(piece):
        notes.append((start, piece.beats_per_bar * 0.98, _root(piece, chord, instrument), 0.75))
    return notes


def chords_sustained(piece: Piece, instrument: Instrument, rng: np.random.Generator) -> list[BeatNote]:
    """A chord held through each bar."""
    centre = _centre(instrument, 52, 72, rng)
    size = int(rng.choice([2, 3, 3, 4]))
    notes: list[BeatNote] = []
    for start, chord in _bars(piece):
        for pitch in voicing(piece, chord, centre, size, instrument.low, instrument.high):
            notes.append((start, piece.beats_per_bar * 0.99, pitch, 0.62))
    return notes


def _rhythm_chords(steps: str, length: float, strum: float = 0.0, size: int = 3) -> Pattern:
    def pattern(piece: Piece, instrument: Instrument, rng: np.random.Generator) -> list[BeatNote]:
        centre = _centre(instrument, 54, 70, rng)
        notes: list[BeatNote] = []
        for start, chord in _bars(piece):
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
    return _rhythm_chords(str(rng.choice(rhythms)), 0.3)(piece, instrument, rng)


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
    for start, chord in _bars(piece):
        root = _fit(40 + (piece.tonic + chord.root - 40) % 12, 38, 52)
        for step, symbol in enumerate(steps):
            if symbol == ".":
                continue
            gap = next((i for i in range(1, 17) if step + i >= 16 or steps[step + i] != "."), 1)
            for interval in (0, 7, 12):
                beat = start + step * piece.beats_per_bar / 16
                notes.append((beat, 0.23 * gap, root + interval, 0.95 if symbol == "X" else 0.75))
    return notes


def _arpeggio(rate: float, span: int) -> Pattern:
    def pattern(piece: Piece, instrument: Instrument, rng: np.random.Generator) -> list[BeatNote]:
        shape = str(rng.choice(["up", "down", "updown", "random", "alberti"]))
        centre = _centre(instrument, 55, 80, rng)
        gaps = rng.random(piece.beats_per_bar * 8) < 0.15
        notes: list[BeatNote] = []
        count = 0
        for start, chord in _bars(piece):
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
    centre = _centre(instrument, 45, 70, rng)
    accents = rng.random(8) < 0.35
    accents[0] = True
    turn = rng.integers(0, 3, 8)
    notes: list[BeatNote] = []
    for start, chord in _bars(piece):
        tones = voicing(piece, chord, centre, 3, instrument.low, instrument.high)
        for step in range(round(piece.beats_per_bar / rate)):
            pitch = tones[int(turn[step % 8]) % len(tones)]
            notes.append((start + step * rate, rate * 0.8, pitch, 0.9 if accents[step % 8] else 0.6))
    return notes


def _scale_pitches(piece: Piece, low: int, high: int) -> list[int]:
    return [p for p in range(low, high + 1) if (p - piece.tonic) % 12 in piece.scale]


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


def _melody(*, low: int | None = None, chromatic: float = 0.0, doubled: bool = False, calm: bool = False) -> Pattern:
    """A tune from a two-bar motif, repeated with changes; chord tones on the beat, steps between."""

    def pattern(piece: Piece, instrument: Instrument, rng: np.random.Generator) -> list[BeatNote]:
        level = int(np.clip(round(piece.density * 3 + rng.normal(0, 0.5)) - (1 if calm else 0), 0, 3))
        centre = _centre(instrument, 60, 82, rng)
        if low is not None:
            centre = low
        pitches = _scale_pitches(piece, max(instrument.low, centre - 12), min(instrument.high, centre + 14))
        motifs = []
        for _ in range(2):
            rhythm = _RHYTHMS[level][int(rng.integers(len(_RHYTHMS[level])))]
            motifs.append((rhythm, rng.choice([-2, -1, -1, 0, 1, 1, 2, 3, -3], size=len(rhythm))))
        notes: list[BeatNote] = []
        here = min(range(len(pitches)), key=lambda i: abs(pitches[i] - centre))
        for bar, (start, chord) in enumerate(_bars(piece)):
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
                    notes.append((start + beat, length, _fit(pitch + 12, instrument.low, instrument.high), velocity))
        return [(max(0.0, b), length, p, v) for b, length, p, v in notes]

    return pattern


def chromatic_runs(piece: Piece, instrument: Instrument, rng: np.random.Generator) -> list[BeatNote]:
    """Chromatic scales up and down between rests: slapstick and chases."""
    notes: list[BeatNote] = []
    base = int(np.clip(67, instrument.low + 2, instrument.high - 14))
    for start, _ in _bars(piece):
        if rng.random() < 0.7:
            direction = int(rng.choice([-1, 1]))
            first = base if direction > 0 else base + 12
            for step in range(8):
                notes.append((start + step * 0.25, 0.2, first + direction * step, 0.8))
            notes.append((start + 2, 0.4, first + direction * 8, 0.9))
    return notes


def piano_stride(piece: Piece, instrument: Instrument, rng: np.random.Generator) -> list[BeatNote]:
    """Left hand of stage and silent-film piano: bass note, then chord."""
    notes: list[BeatNote] = []
    centre = int(rng.integers(52, 62))
    for start, chord in _bars(piece):
        root = _fit(36 + (piece.tonic + chord.root) % 12, 33, 48)
        for beat in range(piece.beats_per_bar):
            short = 0.55 - 0.3 * piece.staccato
            if beat == 0 or (beat == 2 and piece.beats_per_bar == 4):
                pitch = root if beat == 0 else _fit(root + int(rng.choice([7, -5, 12])), 33, 50)
                notes.append((start + beat, short, pitch, 0.8))
                if rng.random() < 0.3:
                    notes.append((start + beat, short, _fit(pitch - 12, 28, 50), 0.7))
            else:
                for pitch in voicing(piece, chord, centre, 3, 45, 70):
                    notes.append((start + beat, short, pitch, 0.62))
    return notes


def piano_boogie(piece: Piece, instrument: Instrument, rng: np.random.Generator) -> list[BeatNote]:
    """Left hand of boogie and shuffle."""
    notes: list[BeatNote] = []
    line = (0, 4, 7, 9, 10, 9, 7, 4) if rng.random() < 0.5 else (0, 7, 9, 7, 0, 7, 9, 7)
    for start, chord in _bars(piece):
        root = _fit(36 + (piece.tonic + chord.root) % 12, 33, 48)
        minor = 3 in chord.intervals
        for step in range(piece.beats_per_bar * 2):
            interval = line[step % 8]
            notes.append((start + step / 2, 0.42, root + (3 if minor and interval == 4 else interval), 0.75))
    return notes


def piano_broken(piece: Piece, instrument: Instrument, rng: np.random.Generator) -> list[BeatNote]:
    """Left hand in wide broken chords."""
    notes: list[BeatNote] = []
    rate = float(rng.choice([0.5, 0.5, 1.0]))
    for start, chord in _bars(piece):
        root = _fit(36 + (piece.tonic + chord.root) % 12, 36, 50)
        third = chord.intervals[1]
        shape = [root, root + 7, root + 12, root + 12 + third, root + 19, root + 12 + third, root + 12, root + 7]
        for step in range(round(piece.beats_per_bar / rate)):
            notes.append((start + step * rate, rate * 1.8, shape[step % 8], 0.58))
    return notes


def swells(piece: Piece, instrument: Instrument, rng: np.random.Generator) -> list[BeatNote]:
    """Low, close or dissonant notes held for two bars: unease."""
    notes: list[BeatNote] = []
    for bar in range(0, piece.num_bars, 2):
        root = _fit(
            max(instrument.low, 36) + (piece.tonic + piece.chords[bar].root) % 12, instrument.low, instrument.high
        )
        for interval in (0, int(rng.choice([1, 6, 7, 12, 13, 3]))):
            pitch = _fit(root + interval, instrument.low, instrument.high)
            notes.append((bar * piece.beats_per_bar, piece.beats_per_bar * 2, pitch, 0.7))
    return notes


def sparse_notes(piece: Piece, instrument: Instrument, rng: np.random.Generator) -> list[BeatNote]:
    """Single notes left to ring, far apart."""
    pitches = _scale_pitches(piece, max(instrument.low, min(50, instrument.high - 12)), min(instrument.high, 90))
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


def fanfare(piece: Piece, instrument: Instrument, rng: np.random.Generator) -> list[BeatNote]:
    """Brass figures: dotted and triplet calls on chord tones."""
    rhythms = ((0, 1.5, 2, 3), (0, 0.75, 1, 2), (0, 1 / 3, 2 / 3, 1, 2), (0, 2, 2.5, 3), (0, 3))
    rhythm = rhythms[int(rng.integers(len(rhythms)))]
    centre = int(np.clip(62, instrument.low + 4, instrument.high - 8))
    size = int(rng.choice([1, 2, 3]))
    notes: list[BeatNote] = []
    for start, chord in _bars(piece):
        tones = voicing(piece, chord, centre, 4, instrument.low, instrument.high)
        for position, beat in enumerate(rhythm):
            if beat >= piece.beats_per_bar:
                continue
            following = rhythm[position + 1] if position + 1 < len(rhythm) else piece.beats_per_bar
            first = int(rng.integers(0, max(1, len(tones) - size + 1)))
            for pitch in tones[first : first + size]:
                notes.append((start + beat, (following - beat) * (0.95 - 0.4 * piece.staccato), pitch, 0.9))
    return notes


PATTERNS: dict[str, Pattern] = {
    "bass whole": bass_drone,
    "bass roots": _grid_bass("r...", _STEPS, 3.5),
    "bass fifths": _grid_bass("r.5.", _STEPS, 0.8),
    "bass oompah": _grid_bass("r.b.", _STEPS, 0.6),
    "bass waltz": _grid_bass("r..", _STEPS, 0.8),
    "bass eighths": _grid_bass("r.r.r.r.r.r.r.r.", _STEPS, 0.45),
    "bass octaves": _grid_bass("r.8.r.8.r.8.r.8.", _STEPS, 0.4),
    "bass sixteenths": _grid_bass("rrrrrrrrrrrrrrrr", _STEPS, 0.22),
    "bass gallop": _grid_bass("r.rrr.rrr.rrr.rr", _STEPS, 0.22),
    "bass offbeat": _grid_bass("..r...r...r...r.", _STEPS, 0.4),
    "bass rolling": _grid_bass(".rrr.rrr.rrr.rrr", _STEPS, 0.22),
    "bass reggae": _grid_bass("r.....r.5.3.....", _STEPS, 0.6),
    "bass ska": _grid_bass("r...3...5...6...", _STEPS, 0.8),
    "bass funk": _grid_bass("r..r....r.8..7.5", _STEPS, 0.3),
    "bass tumbao": _grid_bass("...r..5....8..5.", _STEPS, 0.6),
    "bass bossa": _grid_bass("r.....5.5.....r.", _STEPS, 0.9),
    "bass 808": _grid_bass("r......r..r.....", _STEPS, 1.6),
    "bass breakbeat": _grid_bass("r.....r...5.r...", _STEPS, 0.9),
    "bass walking": bass_walking,
    "bass riff": bass_random_sixteenths,
    "sustained": chords_sustained,
    "offbeats": _rhythm_chords("..x...x...x...x.", 0.25),
    "backbeats": _rhythm_chords("....x.......x...", 0.4),
    "quarters": _rhythm_chords("X.x.X.x.", 0.8),
    "block quarters": _rhythm_chords("xxxx", 0.7),
    "waltz chords": _rhythm_chords(".xx", 0.5),
    "strum": _rhythm_chords("X.x.x.xxx.x.x.xx", 0.4, strum=0.02, size=5),
    "slow strum": _rhythm_chords("X...x..x", 0.9, strum=0.04, size=5),
    "bossa comp": _rhythm_chords("x..x..x...x..x..", 0.35),
    "montuno": _rhythm_chords("x.xx.x.x.x.xx.x.", 0.25, size=4),
    "scratch": _rhythm_chords("..x..x.x..x..x.x", 0.15),
    "house piano": _rhythm_chords("x..x..x..x..x.x.", 0.3, size=4),
    "stabs": chords_stabs,
    "power": chords_power,
    "arp 8": _arpeggio(0.5, 5),
    "arp 16": _arpeggio(0.25, 6),
    "arp triplet": _arpeggio(1 / 3, 5),
    "arp slow": _arpeggio(1.0, 6),
    "ostinato": chords_tremolo,
    "melody": _melody(),
    "calm melody": _melody(calm=True),
    "low melody": _melody(low=48),
    "comic melody": _melody(chromatic=0.25),
    "octave melody": _melody(doubled=True, chromatic=0.1),
    "runs": chromatic_runs,
    "stride": piano_stride,
    "boogie": piano_boogie,
    "broken": piano_broken,
    "swells": swells,
    "sparse": sparse_notes,
    "riser": riser,
    "fanfare": fanfare,
}
"""Every pattern by name."""

KICK, SNARE, CLAP, HAT, OPEN, RIDE, CRASH, RIM, LOW_TOM, MID_TOM, HIGH_TOM = 36, 38, 39, 42, 46, 51, 49, 37, 43, 47, 50
SHAKER, TAMBOURINE, COWBELL, CONGA, LOW_CONGA, BONGO, TRIANGLE, WOODBLOCK, GRAN_CASSA, CLAVES = (
    70,
    54,
    56,
    63,
    64,
    60,
    81,
    76,
    35,
    75,
)

GROOVES: dict[str, dict[int, str]] = {
    # a bar as equal steps: X accent, x normal, o ghost
    "rock": {KICK: "X.......X.x.....", SNARE: "....X.......X...", HAT: "x.x.x.x.x.x.x.x."},
    "rock ride": {KICK: "X.....x.X.......", SNARE: "....X.......X..o", RIDE: "x.x.x.x.x.x.x.x."},
    "half time": {KICK: "X.....x.........", SNARE: "........X.......", HAT: "x.x.x.x.x.x.x.x."},
    "metal": {KICK: "XxXxXxXxXxXxXxXx", SNARE: "....X.......X...", CRASH: "X.......x.......", RIDE: "x...x...x...x..."},
    "punk": {KICK: "X...X...X...X...", SNARE: "..X...X...X...X.", HAT: "x.x.x.x.x.x.x.x."},
    "disco": {KICK: "X...X...X...X...", SNARE: "....X.......X...", OPEN: "..x...x...x...x.", HAT: "x.o.x.o.x.o.x.o."},
    "house": {KICK: "X...X...X...X...", CLAP: "....X.......X...", OPEN: "..x...x...x...x.", SHAKER: "o.ooo.ooo.ooo.oo"},
    "techno": {KICK: "X...X...X...X...", HAT: "..x...x...x...x.", RIDE: "..o...o...o...o.", CLAP: "............X..."},
    "techno busy": {
        KICK: "X...X...X...X..x",
        HAT: "xoxoxoxoxoxoxoxo",
        RIM: "...x..x....x..x.",
        CLAP: "....X.......X...",
    },
    "electro": {
        KICK: "X.....x...X.....",
        SNARE: "....X.......X...",
        HAT: "xxxxxxxxxxxxxxxx",
        COWBELL: "..x...x.....x...",
    },
    "breakbeat": {KICK: "X.x.......x.....", SNARE: "....X..o.o..X..o", HAT: "x.x.x.x.x.x.x.x."},
    "drum and bass": {
        KICK: "X.........X.....",
        SNARE: "....X.......X...",
        HAT: "x.xxx.x.x.xxx.x.",
        SHAKER: "..o...o...o...o.",
    },
    "trap": {KICK: "X......x..X.....", CLAP: "........X.......", HAT: "x.x.x.xxx.x.xxxx"},
    "hip hop": {KICK: "X..x......X.....", SNARE: "....X.......X...", HAT: "x.x.x.x.x.x.x.xx"},
    "funk": {KICK: "X.x...x...x..x..", SNARE: "....X..o.o..X..o", HAT: "xxxxxxxxxxxxxxxx"},
    "chip": {KICK: "X...x...X...x...", SNARE: "....X.......X...", HAT: "x.x.x.x.x.x.x.x."},
    "minimal": {KICK: "X.......X.......", HAT: "..x...x...x...x."},
    "shuffle": {KICK: "X.....X.....", SNARE: "...X.....X..", RIDE: "x.xx.xx.xx.x"},
    "swing": {RIDE: "x..x.xx..x.x", HAT: "...x.....x..", KICK: "o..o..o..o.."},
    "swing brushes": {SNARE: "o.oo.oo.oo.o", HAT: "...x.....x.."},
    "ska": {KICK: "X...X...X...X...", SNARE: "....X.......X...", HAT: "..x...x...x...x."},
    "reggae": {KICK: "........X.......", RIM: "........X.......", HAT: "x.x.x.x.x.x.x.x."},
    "bossa": {KICK: "x..xx..xx..xx..x", RIM: "x..x..x...x..x..", HAT: "x.x.x.x.x.x.x.x."},
    "latin": {
        CONGA: "..x...xx..x...xx",
        LOW_CONGA: "......x.......x.",
        COWBELL: "x.x.x.x.x.x.x.x.",
        CLAVES: "x..x..x...x.x...",
    },
    "samba": {
        KICK: "x..xX..xx..xX..x",
        SHAKER: "XxxxXxxxXxxxXxxx",
        SNARE: "x.xx.xx.x.xx.xx.",
        TAMBOURINE: "..x...x...x...x.",
    },
    "congas": {CONGA: "x..xx.x.x..xx.x.", LOW_CONGA: "..x....x..x....x", SHAKER: "x.x.x.x.x.x.x.x."},
    "tribal": {
        LOW_TOM: "X..x..X.X..x..X.",
        MID_TOM: "..x..x....x..x.x",
        GRAN_CASSA: "X.......X.......",
        SHAKER: "x.x.x.x.x.x.x.x.",
    },
    "polka": {KICK: "X...X...", SNARE: "..x...x.", HAT: "..x...x."},
    "march": {GRAN_CASSA: "X...X...", SNARE: "x.xxx.xxx.xxxxxx", CRASH: "X..............."},
    "circus": {GRAN_CASSA: "X...X...", SNARE: "..x...x.", 57: "x...x...", WOODBLOCK: "x.xx..x."},
    "country": {KICK: "X...X...X...X...", SNARE: "..x...x...x...xx"},
    "waltz": {KICK: "X.....", SNARE: "..x.x.", HAT: "..x.x."},
    "waltz light": {TRIANGLE: "x.....", HAT: "..x.x."},
    "epic": {
        GRAN_CASSA: "X.....X.X.......",
        LOW_TOM: "X..X..X.X..X.X.X",
        SNARE: "....x.......x.xx",
        CRASH: "X...............",
    },
    "action": {
        LOW_TOM: "XxxXxxXxXxxXxxXx",
        MID_TOM: "..x..x....x..x..",
        GRAN_CASSA: "X.......X.....X.",
        RIM: "x.x.x.x.x.x.x.x.",
    },
    "suspense": {GRAN_CASSA: "X...............", RIM: "..x.....x.x....."},
    "pulse": {GRAN_CASSA: "X...x...X...x..."},
    "sprinkle": {TRIANGLE: "x.......x.......", SHAKER: "..x...x...x...x."},
    "woodblocks": {WOODBLOCK: "x...x.x.x...x...", 77: "..x.......x.....", TRIANGLE: "........x......."},
}
"""Drum grooves by name: General MIDI percussion keys and their steps."""


def drum_notes(groove: str, piece: Piece, rng: np.random.Generator) -> list[BeatNote]:
    """Repeat a groove with dropped and added hits, fills and crashes."""
    lines = dict(GROOVES[groove])
    optional = [key for key in lines if key not in (KICK, SNARE, GRAN_CASSA)]
    if len(lines) > 2 and optional and rng.random() < 0.25:
        del lines[int(rng.choice(optional))]
    if groove not in ("swing", "swing brushes", "suspense", "pulse", "sprinkle") and rng.random() < 0.2:
        lines[int(rng.choice([SHAKER, TAMBOURINE, CONGA, COWBELL]))] = (
            "x.x.x.x.x.x.x.x." if rng.random() < 0.6 else "..x...x...x...x."
        )
    levels = {"X": 1.0, "x": 0.75, "o": 0.4}
    scale = {
        HAT: 0.7,
        OPEN: 0.65,
        RIDE: 0.65,
        SHAKER: 0.6,
        CRASH: 0.7,
        TAMBOURINE: 0.6,
        TRIANGLE: 0.7,
        57: 0.6,
        COWBELL: 0.6,
    }
    fills = rng.random() < 0.5
    notes: list[BeatNote] = []
    for bar in range(piece.num_bars):
        start = bar * piece.beats_per_bar
        last = fills and bar % 4 == 3
        for key, steps in lines.items():
            unit = piece.beats_per_bar / len(steps)
            for step, symbol in enumerate(steps):
                if symbol == "." or (last and step * unit >= piece.beats_per_bar - 1) or rng.random() < 0.015:
                    continue
                notes.append((start + step * unit, 0.2, key, levels[symbol] * scale.get(key, 1.0)))
        if last:
            toms = (SNARE, HIGH_TOM, MID_TOM, LOW_TOM) if SNARE in lines or LOW_TOM in lines else tuple(lines)
            for step in range(4):
                notes.append(
                    (start + piece.beats_per_bar - 1 + step / 4, 0.2, int(toms[step % len(toms)]), 0.7 + 0.08 * step)
                )
        if fills and bar % 4 == 0 and KICK in lines:
            notes.append((start, 0.5, CRASH, 0.6))
    return notes
