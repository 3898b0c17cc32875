"""What is true of a clip: derived from what was drawn and from the audibility of each part in the mix.

Conventions: tempo classes are slow below 85, medium to 128 and fast above, in beats a minute; moods are bright, dark
or neutral; energies low, medium or high. A part that is inaudible in the mix is not named.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from muscaps.corpus.instruments import INSTRUMENTS, Instrument
from muscaps.corpus.synthesis.notes import Note

SLOW_BELOW_BPM = 85.0
FAST_ABOVE_BPM = 128.0
MIN_DRUM_HITS = 4


@dataclass(frozen=True, kw_only=True)
class Feel:
    """A mood that the mode of an arrangement suggests."""

    mood: str = ""
    """bright, dark or empty."""
    energy: str = ""
    """high, low or empty: what a clip must have to be called so."""


FEELS: dict[str, Feel] = {
    "bouncy": Feel(mood="bright", energy="high"),
    "bright": Feel(mood="bright"),
    "playful": Feel(mood="bright"),
    "humorous": Feel(mood="bright"),
    "uplifting": Feel(mood="bright"),
    "grooving": Feel(),
    "driving": Feel(energy="high"),
    "aggressive": Feel(mood="dark", energy="high"),
    "action": Feel(energy="high"),
    "epic": Feel(energy="high"),
    "dark": Feel(mood="dark"),
    "suspenseful": Feel(mood="dark"),
    "mysterious": Feel(mood="dark"),
    "melancholic": Feel(mood="dark"),
    "calm": Feel(energy="low"),
    "dreamy": Feel(energy="low"),
}
"""Feels by name. They are stored with a clip; captions and tags do not use them, see `clip_facts`."""


@dataclass(frozen=True, kw_only=True)
class MixedPart:
    """A part in the mix."""

    instrument: str
    share: float
    """Of the mix's weighted energy, 0 to 1."""
    audible: bool
    num_notes: int


@dataclass(frozen=True, kw_only=True)
class PartFacts:
    """What is known of one part of a rendered clip: what it plays, how, and when."""

    instrument: str
    role: str
    pattern: str
    """Name of the arrangement pattern; empty for a part of a score."""
    share: float
    """Of the mix's weighted energy, 0 to 1."""
    audible: bool
    num_notes: int
    mean_note_s: float
    """Mean length of a note in seconds."""
    mean_pitch: float
    """Mean MIDI number; 0 without notes."""
    voices: float
    """Mean number of notes that start together."""
    start_s: float
    """Start of the first note."""
    end_s: float
    """End of the last note."""


def facts_of_part(
    *, instrument: str, role: str, pattern: str, share: float, audible: bool, notes: Sequence[Note]
) -> PartFacts:
    """Summarise a part's notes."""
    return PartFacts(
        instrument=instrument,
        role=role,
        pattern=pattern,
        share=round(share, 4),
        audible=audible,
        num_notes=len(notes),
        mean_note_s=round(float(np.mean([note.duration_s for note in notes])), 4) if notes else 0.0,
        mean_pitch=round(float(np.mean([note.pitch for note in notes])), 2) if notes else 0.0,
        voices=round(len(notes) / max(1, count_onsets([note.start_s for note in notes])), 2),
        start_s=round(min((note.start_s for note in notes), default=0.0), 3),
        end_s=round(max((note.start_s + note.duration_s for note in notes), default=0.0), 3),
    )


@dataclass(frozen=True, kw_only=True)
class Truth:
    """Everything a caption or a tag may say about a clip."""

    instruments: tuple[str, ...]
    """Audible instruments, the most prominent first."""
    families: tuple[str, ...]
    """Their families, the most prominent first."""
    tempo: str
    bpm: float
    mode: str
    """major, minor or unclear."""
    energy: str
    mood: str
    """bright, dark or neutral, as the mode suggests."""
    feels: tuple[str, ...]
    """Moods that the mode suggests."""
    style: str
    nouns: tuple[str, ...]
    solo: bool
    drum_hits: int
    register: str
    """low, middle or high: where the pitched notes lie."""
    parts: tuple[PartFacts, ...] = ()
    """Every part, inaudible ones too, in the order of the arrangement."""
    beats_per_bar: int = 4
    swing: float = 0.0
    density: float = 0.5
    staccato: float = 0.5
    electronic: bool = False

    @property
    def tags(self) -> list[str]:
        """Tags for training a tagger: families, instruments, tempo, mode, energy, style and texture.

        Moods are no tags: what the mode suggests is at chance on real music.
        """
        tags = [*self.families]
        tags += [name for name in self.instruments if name not in tags]
        tags += [f"{self.tempo} tempo", f"{self.energy} energy"]
        tags += [self.mode] if self.mode != "unclear" else []
        tags += [f"style {self.style}", "solo" if self.solo else "ensemble", f"{self.register} register"]
        tags += [] if "drums" in self.families else ["no drums"]
        return tags


def tempo_class(bpm: float) -> str:
    """Slow, medium or fast."""
    return "slow" if bpm < SLOW_BELOW_BPM else "fast" if bpm > FAST_ABOVE_BPM else "medium"


def energy_class(*, onsets_per_s: float, drum_hits_per_s: float, bpm: float, staccato: float, bias: float) -> str:
    """Low, medium or high, from how busy, percussive, fast and short-noted a clip is."""
    score = 0.28 * np.log2(max(0.3, onsets_per_s) / 4)
    score += 0.22 * (bpm - 105) / 40
    score += 0.28 * min(1.0, drum_hits_per_s / 4)
    score += 0.35 * (staccato - 0.45)
    score += 0.8 * bias
    return "high" if score > 0.24 else "low" if score < -0.22 else "medium"


def choose_feels(candidates: Sequence[str], energy: str, mode: str, rng: np.random.Generator) -> tuple[str, ...]:
    """Up to three feels that agree with the energy and with one another, the first of them deciding the mood."""
    fitting = [
        feel
        for feel in dict.fromkeys(candidates)
        if FEELS[feel].energy in ("", energy)
        and not (mode == "major" and FEELS[feel].mood == "dark" and len(candidates) > 2)
    ]
    if not fitting:
        return ()
    order = [fitting[i] for i in rng.permutation(len(fitting))]
    first = next((FEELS[feel].mood for feel in order if FEELS[feel].mood), "")
    agreeing = [feel for feel in order if FEELS[feel].mood in ("", first)]
    return tuple(agreeing[:3])


def mood_of(feels: Sequence[str]) -> str:
    """The mood the feels share: bright, dark or neutral."""
    return next((FEELS[feel].mood for feel in feels if FEELS[feel].mood), "neutral")


def count_onsets(starts_s: Sequence[float], window_s: float = 0.03) -> int:
    """Distinct onsets, those within `window_s` counted once."""
    ordered = np.sort(np.asarray(starts_s, dtype=np.float64))
    return int(1 + np.count_nonzero(np.diff(ordered) > window_s)) if len(ordered) else 0


def register_of(notes: Sequence[tuple[Instrument, Note]]) -> str:
    """Low, middle or high by the mean pitch of pitched notes, weighted by length."""
    pitched = [(note.pitch, note.duration_s) for instrument, note in notes if not instrument.kit]
    if not pitched:
        return "middle"
    pitches, weights = np.array(pitched).T
    mean = float(np.average(pitches, weights=weights))
    return "low" if mean < 53 else "high" if mean > 69 else "middle"


def audible_instruments(parts: Sequence[MixedPart]) -> tuple[tuple[str, ...], tuple[str, ...], int]:
    """Names and families of the audible parts, the most prominent first, and the number of audible drum hits."""
    shares: dict[str, float] = {}
    hits = 0
    for part in parts:
        instrument = INSTRUMENTS[part.instrument]
        if not part.audible or (instrument.kit and part.num_notes < MIN_DRUM_HITS):
            continue
        shares[part.instrument] = shares.get(part.instrument, 0.0) + part.share
        hits += part.num_notes if instrument.kit else 0
    names = tuple(sorted(shares, key=lambda name: -shares[name]))
    totals: dict[str, float] = {}
    for name in names:
        family = INSTRUMENTS[name].family
        totals[family] = totals.get(family, 0.0) + shares[name]
    return names, tuple(sorted(totals, key=lambda family: -totals[family])), hits
