"""Random synthesiser patches for each role in an arrangement."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from muscaps.corpus.synthesis.voices import Patch, Waveform


def random_patch(role: str, rng: np.random.Generator) -> Patch:
    """Draw a patch for a role, one of `_DRAW`.

    Raises:
        ValueError: No such role.
    """
    waveforms: tuple[Waveform, ...] = ("saw", "saw", "square", "pulse")
    waveform: Waveform = waveforms[int(rng.integers(len(waveforms)))]
    patch = Patch(waveform=waveform, resonance=int(rng.choice([0, 0, 1, 2])))
    if role not in _DRAW:
        raise ValueError(f"no synthesiser role {role!r}")
    return _DRAW[role](patch, rng)


def _between(rng: np.random.Generator, low: float, high: float) -> float:
    """Draw a number whose logarithm is uniform."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def _lead(patch: Patch, rng: np.random.Generator) -> Patch:
    """Draw a patch for a melody in the foreground."""
    unison = int(rng.choice([1, 2, 3, 5]))
    return replace(
        patch,
        unison=unison,
        detune_cents=_between(rng, 6, 25),
        cutoff_hz=_between(rng, 900, 6000),
        envelope_octaves=rng.uniform(0, 2),
        filter_decay_s=_between(rng, 0.1, 0.6),
        attack_s=_between(rng, 0.003, 0.03),
        sustain=rng.uniform(0.4, 0.9),
        release_s=_between(rng, 0.05, 0.3),
        vibrato_cents=float(rng.choice([0, 0, 12, 25])),
        glide_s=float(rng.choice([0, 0, 0.03, 0.06])),
        drive=float(rng.choice([0, 0, 1, 3])),
    )


def _chip(_patch: Patch, rng: np.random.Generator) -> Patch:
    """Draw a patch for a melody as of an early game console."""
    chips: tuple[Waveform, ...] = ("square", "pulse", "narrow", "triangle")
    return Patch(
        waveform=chips[int(rng.integers(4))],
        cutoff_hz=8000,
        attack_s=0.002,
        decay_s=_between(rng, 0.08, 0.5),
        sustain=rng.uniform(0.1, 0.9),
        release_s=0.02,
        vibrato_cents=float(rng.choice([0, 0, 15, 30])),
        bit_depth=int(rng.choice([0, 4, 5, 6])),
    )


def _pad(patch: Patch, rng: np.random.Generator) -> Patch:
    """Draw a patch for sustained chords."""
    return replace(
        patch,
        unison=int(rng.choice([2, 3, 4])),
        detune_cents=_between(rng, 8, 24),
        cutoff_hz=_between(rng, 350, 3500),
        sweep_octaves=rng.uniform(0, 1.6),
        sweep_period_s=_between(rng, 5, 20),
        sweep_phase=rng.random(),
        attack_s=_between(rng, 0.08, 0.9),
        decay_s=1.0,
        sustain=0.9,
        release_s=_between(rng, 0.3, 1.0),
        noise=float(rng.choice([0, 0, 0.02])),
        tremolo_hz=float(rng.choice([0, 0, 0, 4, 6])),
    )


def _pluck(patch: Patch, rng: np.random.Generator) -> Patch:
    """Draw a patch for short notes, by frequency modulation in one of five."""
    if rng.random() < 0.2:
        return replace(
            patch,
            fm_ratio=float(rng.choice([1, 2, 3, 3.5])),
            fm_index=_between(rng, 1, 5),
            filter_decay_s=_between(rng, 0.05, 0.3),
            attack_s=0.002,
            decay_s=_between(rng, 0.1, 0.4),
            sustain=0.0,
            release_s=_between(rng, 0.05, 0.2),
        )
    return replace(
        patch,
        unison=int(rng.choice([1, 1, 2, 3])),
        detune_cents=_between(rng, 5, 18),
        cutoff_hz=_between(rng, 300, 2200),
        resonance=int(rng.choice([0, 1, 2, 3])),
        envelope_octaves=rng.uniform(1, 3.5),
        filter_decay_s=_between(rng, 0.04, 0.25),
        sweep_octaves=rng.uniform(0, 1.5),
        sweep_period_s=_between(rng, 6, 24),
        sweep_phase=rng.random(),
        attack_s=0.002,
        decay_s=_between(rng, 0.08, 0.4),
        sustain=float(rng.choice([0, 0, 0.3])),
        release_s=_between(rng, 0.04, 0.25),
    )


def _stab(patch: Patch, rng: np.random.Generator) -> Patch:
    """Draw a patch for short chords."""
    return replace(
        patch,
        unison=int(rng.choice([3, 4, 5])),
        detune_cents=_between(rng, 10, 30),
        cutoff_hz=_between(rng, 1200, 6000),
        envelope_octaves=rng.uniform(0, 2),
        filter_decay_s=_between(rng, 0.08, 0.3),
        attack_s=0.003,
        decay_s=_between(rng, 0.15, 0.5),
        sustain=rng.uniform(0.1, 0.7),
        release_s=_between(rng, 0.05, 0.2),
    )


def _brass(patch: Patch, rng: np.random.Generator) -> Patch:
    """Draw a patch for chords like those of a brass section."""
    return replace(
        patch,
        waveform="saw",
        unison=3,
        detune_cents=_between(rng, 6, 16),
        cutoff_hz=_between(rng, 500, 1500),
        envelope_octaves=rng.uniform(1, 2.2),
        filter_decay_s=_between(rng, 0.3, 0.9),
        attack_s=_between(rng, 0.02, 0.06),
        sustain=0.8,
        release_s=0.15,
    )


def _fm(patch: Patch, rng: np.random.Generator) -> Patch:
    """Draw a patch for bells and electric pianos by frequency modulation."""
    return replace(
        patch,
        fm_ratio=float(rng.choice([1.41, 2, 3, 3.5, 4, 7])),
        fm_index=_between(rng, 0.8, 5),
        filter_decay_s=_between(rng, 0.1, 0.8),
        attack_s=0.002,
        decay_s=_between(rng, 0.3, 1.2),
        sustain=0.0,
        release_s=_between(rng, 0.2, 0.7),
    )


def _bass(patch: Patch, rng: np.random.Generator) -> Patch:
    """Draw a patch for a bass line."""
    return replace(
        patch,
        unison=int(rng.choice([1, 1, 2])),
        detune_cents=_between(rng, 4, 14),
        cutoff_hz=_between(rng, 180, 1200),
        resonance=int(rng.choice([0, 1, 2])),
        envelope_octaves=rng.uniform(0, 3),
        filter_decay_s=_between(rng, 0.06, 0.35),
        decay_s=_between(rng, 0.1, 0.5),
        sustain=rng.uniform(0.3, 0.9),
        release_s=0.05,
        sub=rng.uniform(0, 0.8),
        drive=float(rng.choice([0, 0, 1, 3])),
        glide_s=float(rng.choice([0, 0, 0.03])),
    )


def _sub(_patch: Patch, rng: np.random.Generator) -> Patch:
    """Draw a patch for a bass line almost without overtones."""
    return Patch(
        waveform="sine",
        attack_s=0.004,
        decay_s=_between(rng, 0.4, 1.5),
        sustain=rng.uniform(0.2, 0.8),
        release_s=0.1,
        drive=float(rng.choice([0, 0.5, 2])),
        glide_s=float(rng.choice([0, 0, 0.05])),
    )


def _acid(_patch: Patch, rng: np.random.Generator) -> Patch:
    """Draw a patch for a bass line with a resonant filter that opens and closes."""
    acids: tuple[Waveform, ...] = ("saw", "square")
    return Patch(
        waveform=acids[int(rng.integers(2))],
        cutoff_hz=_between(rng, 200, 700),
        resonance=int(rng.choice([3, 4])),
        envelope_octaves=rng.uniform(1.5, 3.5),
        filter_decay_s=_between(rng, 0.06, 0.25),
        sweep_octaves=rng.uniform(0.5, 1.5),
        sweep_period_s=_between(rng, 6, 20),
        sweep_phase=rng.random(),
        decay_s=_between(rng, 0.1, 0.4),
        sustain=0.4,
        release_s=0.03,
        drive=float(rng.choice([1, 3])),
        glide_s=float(rng.choice([0, 0.02, 0.04])),
    )


def _drone(patch: Patch, rng: np.random.Generator) -> Patch:
    """Draw a patch for one long low note."""
    return replace(
        patch,
        unison=4,
        detune_cents=_between(rng, 10, 40),
        cutoff_hz=_between(rng, 150, 900),
        resonance=int(rng.choice([0, 1, 2])),
        sweep_octaves=rng.uniform(0.5, 2),
        sweep_period_s=_between(rng, 4, 16),
        sweep_phase=rng.random(),
        attack_s=_between(rng, 0.3, 2),
        sustain=1.0,
        release_s=1.0,
        sub=rng.uniform(0, 0.6),
        noise=float(rng.choice([0, 0.03, 0.08])),
    )


def _riser(_patch: Patch, rng: np.random.Generator) -> Patch:
    """Draw a patch for noise that rises towards a new section."""
    return Patch(
        waveform="sine",
        cutoff_hz=500,
        attack_s=_between(rng, 1, 4),
        sustain=1.0,
        release_s=0.1,
        noise=1.0,
        fm_ratio=0.0,
    )


_DRAW: Mapping[str, Callable[[Patch, np.random.Generator], Patch]] = {
    "lead": _lead,
    "chip": _chip,
    "pad": _pad,
    "pluck": _pluck,
    "arp": _pluck,
    "stab": _stab,
    "brass": _brass,
    "fm": _fm,
    "bass": _bass,
    "sub": _sub,
    "acid": _acid,
    "drone": _drone,
    "riser": _riser,
}
"""What draws a role's patch from the common random start."""
