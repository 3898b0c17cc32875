"""Scales, chords and chord progressions.

Conventions: a pitch class is 0 to 11 above the tonic; a chord is its root (semitones above the tonic) and the
intervals above that root.
"""

import re
from dataclasses import dataclass

SCALES: dict[str, tuple[int, ...]] = {
    "major": (0, 2, 4, 5, 7, 9, 11),
    "minor": (0, 2, 3, 5, 7, 8, 10),
    "harmonic minor": (0, 2, 3, 5, 7, 8, 11),
    "dorian": (0, 2, 3, 5, 7, 9, 10),
    "phrygian": (0, 1, 3, 5, 7, 8, 10),
    "lydian": (0, 2, 4, 6, 7, 9, 11),
    "mixolydian": (0, 2, 4, 5, 7, 9, 10),
    "major pentatonic": (0, 2, 4, 7, 9),
    "minor pentatonic": (0, 3, 5, 7, 10),
    "blues": (0, 3, 5, 6, 7, 10),
    "whole tone": (0, 2, 4, 6, 8, 10),
}

_QUALITIES: dict[str, tuple[int, ...]] = {
    "": (0, 4, 7),
    "m": (0, 3, 7),
    "7": (0, 4, 7, 10),
    "m7": (0, 3, 7, 10),
    "maj7": (0, 4, 7, 11),
    "mmaj7": (0, 3, 7, 11),
    "m9": (0, 3, 7, 10, 14),
    "maj9": (0, 4, 7, 11, 14),
    "mmaj9": (0, 3, 7, 10, 14),
    "9": (0, 4, 7, 10, 14),
    "m6": (0, 3, 7, 9),
    "6": (0, 4, 7, 9),
    "dim": (0, 3, 6),
    "mdim": (0, 3, 6),
    "mdim7": (0, 3, 6, 9),
    "dim7": (0, 3, 6, 9),
    "aug": (0, 4, 8),
    "sus4": (0, 5, 7),
    "sus2": (0, 2, 7),
    "5": (0, 7, 12),
    "msus4": (0, 5, 7),
    "m5": (0, 7, 12),
}
_ROMAN = {"i": 0, "ii": 2, "iii": 4, "iv": 5, "v": 7, "vi": 9, "vii": 11}
_CHORD = re.compile(r"^(b|#)?([iIvV]+)(.*)$")


@dataclass(frozen=True, kw_only=True)
class Chord:
    """A chord relative to the tonic."""

    root: int
    """Semitones above the tonic, 0 to 11."""
    intervals: tuple[int, ...]
    """Semitones above the root, ascending from 0."""

    @property
    def pitch_classes(self) -> tuple[int, ...]:
        """Its tones, semitones above the tonic modulo 12."""
        return tuple((self.root + step) % 12 for step in self.intervals)


def parse_chord(symbol: str) -> Chord:
    """Read a Roman numeral such as `bVII`, `ii7`, `Imaj7` or `viidim`; lower case is minor.

    Raises:
        ValueError: The symbol is not such a numeral.
    """
    match = _CHORD.match(symbol)
    if match is None or match[2].lower() not in _ROMAN:
        raise ValueError(f"{symbol!r} is no Roman numeral chord")
    accidental, numeral, suffix = match[1], match[2], match[3]
    quality = ("m" if numeral.islower() else "") + suffix
    if quality not in _QUALITIES:
        raise ValueError(f"{symbol!r} has an unknown chord quality {suffix!r}")
    shift = {"b": -1, "#": 1, None: 0}[accidental]
    return Chord(root=(_ROMAN[numeral.lower()] + shift) % 12, intervals=_QUALITIES[quality])


PROGRESSIONS: dict[str, tuple[tuple[str, ...], ...]] = {
    # kind -> (major ones, minor ones); one chord a bar
    "pop": (
        ("I V vi IV", "vi IV I V", "I IV V I", "I vi IV V", "I V IV V", "IV I V vi", "I iii IV V", "I IV vi V"),
        ("i bVI bIII bVII", "i bVII bVI V", "i iv bVI V", "i bVI iv V", "i i bVI bVII", "i bIII bVII iv"),
    ),
    "dance": (
        ("I IV I V", "vi IV I V", "IV V vi I", "I I IV IV", "I bVII IV I"),
        ("i i bVI bVII", "i bVI bIII bVII", "i i i bVII", "i iv i bVII", "i i i i", "i bIII iv bVI"),
    ),
    "modal": (
        ("I I I I", "I bVII I bVII", "I IV I IV", "I II I II"),
        ("i i i i", "i bVII i bVII", "i bII i bII", "i IV i IV"),
    ),
    "blues": (
        ("I7 I7 IV7 I7 V7 IV7 I7 V7", "I7 IV7 I7 V7", "I7 I7 IV7 IV7"),
        ("i7 i7 iv7 i7 V7 iv7 i7 V7", "i7 iv7 i7 V7"),
    ),
    "jazz": (
        ("ii7 V7 Imaj7 vi7", "Imaj7 vi7 ii7 V7", "Imaj7 IV7 iii7 VI7 ii7 V7 Imaj7 V7", "I6 bIIIdim7 ii7 V7"),
        ("i7 iv7 bVII7 bIIImaj7", "i6 i6 iidim V7", "i6 bVI7 iidim V7", "i7 bVI7 V7 i7"),
    ),
    "functional": (
        ("I V7 I I", "I I V7 V7 V7 V7 I I", "I IV V7 I", "I vi ii V7", "I IV I V7", "I V I IV I V V7 I", "I II7 V7 I"),
        ("i V7 i i", "i i V7 V7 V7 V7 i i", "i iv V7 i", "i bVI iv V7", "i V7 i bVII bIII bVII V7 i"),
    ),
    "comic": (
        (
            "I VI7 II7 V7",
            "I I V7 I",
            "I bVI I V7",
            "I #Idim7 ii7 V7",
            "I IV #ivdim7 V7",
            "I III7 VI7 II7 V7 V7 I V7",
            "I bII I V7",
        ),
        ("i V7 i V7", "i bII7 i V7", "i iv #ivdim7 V7", "i bVI7 V7 i", "i bvi i V7"),
    ),
    "epic": (
        ("I V vi IV", "I bVII IV I", "I bVI bVII I", "IV V vi I"),
        ("i bVI bIII bVII", "i iv i V", "i bVI iv bVII", "i bVII bVI bVII", "i bIII bVI V", "i bVI i bvi"),
    ),
    "dark": (
        ("I bII I bII", "I bvi I bvi"),
        ("i bVI i bVI", "i bII i bII", "i bvi i bvi", "i #ivdim i V", "i i bVI V", "i bv i bii", "i iv i #ivdim7"),
    ),
    "dreamy": (
        (
            "Imaj7 IVmaj7",
            "IVmaj7 iii7 ii7 Imaj7",
            "Imaj7 bVIImaj7",
            "Imaj9 vi7 IVmaj7 Vsus4",
            "Isus2 IVmaj7 vi7 IVmaj7",
        ),
        ("i7 bVImaj7", "i7 iv7 bVImaj7 bVII", "i9 bVImaj7 bIIImaj7 bVII", "i7 IV7"),
    ),
    "funk": (
        ("I7 I7 IV7 I7", "I9 I9 I9 IV9", "I7 bVII7 IV7 I7"),
        ("i7 IV7", "i9 i9 i9 IV9", "i7 i7 bVII7 i7", "i7 iv7"),
    ),
}
"""Progressions by kind, those in major and those in minor."""
