"""A clip from a number: arrangement or excerpt -> parts -> audio, truth, tags and captions.

Clip `index` of seed `seed` depends on these two, the settings and the score files only, never on what was rendered
before it, so clips may be rendered in any order and by any number of processes.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from muscaps.corpus import mixing
from muscaps.corpus.arrangement import Arrangement, Part, arrange
from muscaps.corpus.captions import describe
from muscaps.corpus.clip_facts import facts_of_clip
from muscaps.corpus.instruments import INSTRUMENTS
from muscaps.corpus.soundfont import play_program
from muscaps.corpus.synthesis.drum_machine import play_drums, play_riser, random_drum_machine
from muscaps.corpus.synthesis.notes import Signal
from muscaps.corpus.synthesis.patches import random_patch
from muscaps.corpus.synthesis.voices import play
from muscaps.corpus.truth import (
    MixedPart,
    Truth,
    audible_instruments,
    choose_feels,
    count_onsets,
    energy_class,
    facts_of_part,
    mood_of,
    register_of,
    tempo_class,
)

MIN_SECONDS = 3.0
NUM_CAPTIONS = 5
"""Captions per clip at most."""
SPLIT_SHARES = {"train": 0.88, "validation": 0.06, "test": 0.06}
"""A source's split is drawn by these; all clips of a source share it."""


@dataclass(frozen=True, kw_only=True)
class ClipSpec:
    """What to render."""

    index: int
    seed: int = 0
    seconds: float = 12.0
    sample_rate: int = 16_000
    soundfonts: tuple[str, ...] = ()
    """Paths; without any, every instrument is a synthesiser voice."""
    scores: tuple[str, ...] = ()
    """MIDI and MusicXML files to cut excerpts from."""
    score_share: float = 0.12
    """Share of clips cut from scores, where there are any."""
    licences: tuple[tuple[str, str], ...] = ()
    """(score path, licence) where known."""

    def __post_init__(self) -> None:
        if self.seconds < MIN_SECONDS:
            raise ValueError(f"seconds must be at least {MIN_SECONDS}, not {self.seconds}")
        if self.index < 0 or self.seed < 0:
            raise ValueError(f"index and seed must not be negative, not {self.index} and {self.seed}")
        if not 0 <= self.score_share <= 1:
            raise ValueError(f"score_share must lie between 0 and 1, not {self.score_share}")


@dataclass(frozen=True, kw_only=True)
class Clip:
    """A rendered clip."""

    clip_id: str
    pcm: NDArray[np.int16]
    """Mono, (samples,)."""
    sample_rate: int
    captions: tuple[str, ...]
    """Distinct sentences, the first the one to use when only one is wanted."""
    truth: Truth
    split: str
    source: str
    licence: str
    soundfont: str

    @property
    def row(self) -> dict[str, object]:
        """Columns for the table of pairs, all but the audio's address."""
        truth = self.truth
        return {
            "track_id": self.clip_id,
            "caption": self.captions[0],
            "captions": list(self.captions),
            "tags": truth.tags,
            "split": self.split,
            "duration_s": len(self.pcm) / self.sample_rate,
            "families": list(truth.families),
            "instruments": list(truth.instruments),
            "style": truth.style,
            "bpm": truth.bpm,
            "tempo": truth.tempo,
            "mode": truth.mode,
            "energy": truth.energy,
            "mood": truth.mood,
            "feels": list(truth.feels),
            "solo": truth.solo,
            "drum_hits": truth.drum_hits,
            "register": truth.register,
            "nouns": list(truth.nouns),
            "parts": [asdict(part) for part in truth.parts],
            "beats_per_bar": truth.beats_per_bar,
            "swing": truth.swing,
            "density": truth.density,
            "staccato": truth.staccato,
            "electronic": truth.electronic,
            "source": self.source,
            "licence": self.licence,
            "soundfont": self.soundfont,
        }


def split_of(source: str) -> str:
    """The split of a source, by a hash of its name."""
    import hashlib

    place = int.from_bytes(hashlib.sha256(source.encode()).digest()[:4], "big") / 2**32
    for name, share in SPLIT_SHARES.items():
        if place < share:
            return name
        place -= share
    return "train"


def _fallback_voice(family: str) -> str:
    return {"bass": "bass", "strings": "pad", "choir": "pad", "mallets": "fm", "brass": "brass"}.get(family, "pluck")


def _play_part(
    part: Part, spec: ClipSpec, soundfont: str, electronic: bool, bpm: float, rng: np.random.Generator
) -> Signal:
    """A part's sound with its own effects, (samples,), unlevelled."""
    instrument = INSTRUMENTS[part.instrument]
    rate = spec.sample_rate
    num_samples = round(spec.seconds * rate)
    if instrument.voice == "machine" or (instrument.kit and not soundfont):
        sound = play_drums(random_drum_machine(rng), part.notes, num_samples, rate, rng)
    elif instrument.voice == "riser":
        return play_riser(part.notes, num_samples, rate, rng)
    elif instrument.voice or not soundfont:
        patch = random_patch(instrument.voice or _fallback_voice(instrument.family), rng)
        sound = play(patch, part.notes, num_samples, rate, rng)
    else:
        program = instrument.programs[int(rng.integers(len(instrument.programs)))]
        sound = play_program(program, part.notes, num_samples, rate, Path(soundfont), kit=instrument.kit)
    if part.instrument == "distorted guitar":
        sound = mixing.distort(sound, float(rng.uniform(3, 25)), rate)
    elif instrument.family in ("guitar", "bass", "piano") and rng.random() < 0.08:
        sound = mixing.distort(sound, float(rng.uniform(1, 3)), rate)
    if instrument.family == "synth" and part.role in ("lead", "arp", "counter", "chords") and rng.random() < 0.45:
        beats = float(rng.choice([0.25, 0.5, 0.75, 0.75, 1.0]))
        sound = mixing.delay(sound, beats * 60 / bpm, rng.uniform(0.2, 0.6), rng.uniform(0.15, 0.5), rate)
    wide = (
        0.35
        if instrument.family == "synth"
        else 0.12
        if instrument.name in ("electric piano", "electric guitar", "electric organ")
        else 0.0
    )
    if rng.random() < wide:
        sound = mixing.chorus(sound, rng.uniform(0.001, 0.005), rng.uniform(0.1, 2), rate)
    return sound


def _mix(
    arrangement: Arrangement, spec: ClipSpec, soundfont: str, rng: np.random.Generator
) -> tuple[Signal, list[MixedPart]]:
    kicks = [
        note.start_s
        for part in arrangement.parts
        if part.role == "drums"
        for note in part.notes
        if note.pitch in (35, 36)
    ]
    pumping = arrangement.electronic and len(kicks) > 6 and rng.random() < 0.4
    depth, recovery_s = float(rng.uniform(0.3, 0.9)), float(rng.uniform(0.12, 0.35))
    sounds: list[Signal] = []
    energies: list[NDArray[np.float64]] = []
    for part in arrangement.parts:
        sound = _play_part(part, spec, soundfont, arrangement.electronic, arrangement.bpm, rng)
        if pumping and part.role != "drums":
            sound = mixing.pump(sound, kicks, depth, recovery_s, spec.sample_rate)
        energy = mixing.band_energies(sound, spec.sample_rate)
        level = mixing.loudness(energy)
        gain = 10 ** ((part.level_db - level) / 20) if np.isfinite(level) else 0.0
        sounds.append((sound * gain).astype(np.float32))
        energies.append(energy * gain**2)
    mixed = [
        MixedPart(instrument=part.instrument, share=share, audible=audible, num_notes=len(part.notes))
        for part, (share, audible) in zip(arrangement.parts, mixing.audibility(energies), strict=True)
    ]
    kept = [  # inaudible parts are left out, so that no clip holds an instrument that its tags deny
        sound for sound, part in zip(sounds, mixed, strict=True) if part.audible
    ]
    return np.sum(kept or sounds, axis=0).astype(np.float32), mixed


def truth_of(arrangement: Arrangement, mixed: Sequence[MixedPart], seconds: float, rng: np.random.Generator) -> Truth:
    """Return the facts of a clip, given which parts are audible in its mix."""
    names, families, hits = audible_instruments(mixed)
    audible = [part for part, state in zip(arrangement.parts, mixed, strict=True) if state.audible]
    notes = [(INSTRUMENTS[part.instrument], note) for part in audible for note in part.notes]
    energy = energy_class(
        onsets_per_s=count_onsets([note.start_s for _, note in notes]) / seconds,
        drum_hits_per_s=hits / seconds,
        bpm=arrangement.bpm,
        staccato=arrangement.staccato,
        bias=arrangement.energy_bias,
    )
    pitched = any(not instrument.kit for instrument, _ in notes)
    mode = arrangement.mode if pitched else "unclear"
    feels = choose_feels(arrangement.feels, energy, mode, rng)
    return Truth(
        instruments=names,
        families=families,
        tempo=tempo_class(arrangement.bpm),
        bpm=arrangement.bpm,
        mode=mode,
        energy=energy,
        mood=mood_of(feels),
        feels=feels,
        style=arrangement.style,
        nouns=arrangement.nouns,
        solo=len(names) == 1 and INSTRUMENTS[names[0]].family not in ("synth", "drums"),
        drum_hits=hits,
        register=register_of(notes),
        parts=tuple(
            facts_of_part(
                instrument=part.instrument,
                role=part.role,
                pattern=part.pattern,
                share=state.share,
                audible=state.audible,
                notes=part.notes,
            )
            for part, state in zip(arrangement.parts, mixed, strict=True)
        ),
        beats_per_bar=arrangement.beats_per_bar,
        swing=round(arrangement.swing, 4),
        density=round(arrangement.density, 4),
        staccato=round(arrangement.staccato, 4),
        electronic=arrangement.electronic,
    )


def captions_of(truth: Truth, seconds: float, seed: int, index: int) -> list[str]:
    """Sentences about a clip; they depend on what is true of it and on its number, not on its audio."""
    return describe(facts_of_clip(truth, seconds), np.random.default_rng([seed, index, 1]), NUM_CAPTIONS)


def render_clip(spec: ClipSpec) -> Clip:
    """Render one clip.

    Raises:
        ValueError: A score cannot be read, or nothing in the clip is audible.
    """
    rng = np.random.default_rng([spec.seed, spec.index])
    soundfont = spec.soundfonts[int(rng.integers(len(spec.soundfonts)))] if spec.soundfonts else ""
    from_score = bool(rng.random() < spec.score_share) and bool(spec.scores)
    source = f"arrangement-{spec.seed}-{spec.index}"
    if from_score:
        from muscaps.corpus.scores import excerpt

        path = spec.scores[int(rng.integers(len(spec.scores)))]
        arrangement = excerpt(Path(path), spec.seconds, rng)
        licence = dict(spec.licences).get(path, "unknown")
        source = "/".join(Path(path).parts[-2:])
        arrangement = replace(arrangement, licence=licence, source=source)
    else:
        arrangement = arrange(spec.seconds, rng)
    signal, mixed = _mix(arrangement, spec, soundfont, rng)
    truth = truth_of(arrangement, mixed, spec.seconds, rng)
    if not truth.instruments:
        raise ValueError(f"clip {spec.index} of seed {spec.seed} has no audible part")
    settings = mixing.random_mastering(rng, electronic=arrangement.electronic, acoustic_solo=truth.solo)
    audio = mixing.master(signal, settings, rng, spec.sample_rate)
    captions = captions_of(truth, spec.seconds, spec.seed, spec.index)
    if not captions:
        raise ValueError(f"clip {spec.index} of seed {spec.seed} has too few facts for a caption")
    return Clip(
        clip_id=f"c{spec.seed}-{spec.index:06d}",
        pcm=(audio * 32767).astype(np.int16),
        sample_rate=spec.sample_rate,
        captions=tuple(captions),
        truth=truth,
        split=split_of(source),
        source=source,
        licence=arrangement.licence or "Apache-2.0",
        soundfont=Path(soundfont).name,
    )
