"""Random synthesiser patches for each role in an arrangement."""

from dataclasses import replace

import numpy as np

from muscaps.corpus.synthesis.voices import Patch, Waveform


def random_patch(role: str, rng: np.random.Generator) -> Patch:
    """Draw a patch for a role: lead, chip, pad, pluck, arp, stab, brass, fm, bass, sub, acid, drone or riser.

    Raises:
        ValueError: No such role.
    """

    def between(low: float, high: float) -> float:
        return float(np.exp(rng.uniform(np.log(low), np.log(high))))

    waveforms: tuple[Waveform, ...] = ("saw", "saw", "square", "pulse")
    waveform: Waveform = waveforms[int(rng.integers(len(waveforms)))]
    patch = Patch(waveform=waveform, resonance=int(rng.choice([0, 0, 1, 2])))
    if role == "lead":
        unison = int(rng.choice([1, 2, 3, 5]))
        return replace(
            patch,
            unison=unison,
            detune_cents=between(6, 25),
            cutoff_hz=between(900, 6000),
            envelope_octaves=rng.uniform(0, 2),
            filter_decay_s=between(0.1, 0.6),
            attack_s=between(0.003, 0.03),
            sustain=rng.uniform(0.4, 0.9),
            release_s=between(0.05, 0.3),
            vibrato_cents=float(rng.choice([0, 0, 12, 25])),
            glide_s=float(rng.choice([0, 0, 0.03, 0.06])),
            drive=float(rng.choice([0, 0, 1, 3])),
        )
    if role == "chip":
        chips: tuple[Waveform, ...] = ("square", "pulse", "narrow", "triangle")
        return Patch(
            waveform=chips[int(rng.integers(4))],
            cutoff_hz=8000,
            attack_s=0.002,
            decay_s=between(0.08, 0.5),
            sustain=rng.uniform(0.1, 0.9),
            release_s=0.02,
            vibrato_cents=float(rng.choice([0, 0, 15, 30])),
            bit_depth=int(rng.choice([0, 4, 5, 6])),
        )
    if role == "pad":
        return replace(
            patch,
            unison=int(rng.choice([2, 3, 4])),
            detune_cents=between(8, 24),
            cutoff_hz=between(350, 3500),
            sweep_octaves=rng.uniform(0, 1.6),
            sweep_period_s=between(5, 20),
            sweep_phase=rng.random(),
            attack_s=between(0.08, 0.9),
            decay_s=1.0,
            sustain=0.9,
            release_s=between(0.3, 1.0),
            noise=float(rng.choice([0, 0, 0.02])),
            tremolo_hz=float(rng.choice([0, 0, 0, 4, 6])),
        )
    if role in ("pluck", "arp"):
        if rng.random() < 0.2:
            return replace(
                patch,
                fm_ratio=float(rng.choice([1, 2, 3, 3.5])),
                fm_index=between(1, 5),
                filter_decay_s=between(0.05, 0.3),
                attack_s=0.002,
                decay_s=between(0.1, 0.4),
                sustain=0.0,
                release_s=between(0.05, 0.2),
            )
        return replace(
            patch,
            unison=int(rng.choice([1, 1, 2, 3])),
            detune_cents=between(5, 18),
            cutoff_hz=between(300, 2200),
            resonance=int(rng.choice([0, 1, 2, 3])),
            envelope_octaves=rng.uniform(1, 3.5),
            filter_decay_s=between(0.04, 0.25),
            sweep_octaves=rng.uniform(0, 1.5),
            sweep_period_s=between(6, 24),
            sweep_phase=rng.random(),
            attack_s=0.002,
            decay_s=between(0.08, 0.4),
            sustain=float(rng.choice([0, 0, 0.3])),
            release_s=between(0.04, 0.25),
        )
    if role == "stab":
        return replace(
            patch,
            unison=int(rng.choice([3, 4, 5])),
            detune_cents=between(10, 30),
            cutoff_hz=between(1200, 6000),
            envelope_octaves=rng.uniform(0, 2),
            filter_decay_s=between(0.08, 0.3),
            attack_s=0.003,
            decay_s=between(0.15, 0.5),
            sustain=rng.uniform(0.1, 0.7),
            release_s=between(0.05, 0.2),
        )
    if role == "brass":
        return replace(
            patch,
            waveform="saw",
            unison=3,
            detune_cents=between(6, 16),
            cutoff_hz=between(500, 1500),
            envelope_octaves=rng.uniform(1, 2.2),
            filter_decay_s=between(0.3, 0.9),
            attack_s=between(0.02, 0.06),
            sustain=0.8,
            release_s=0.15,
        )
    if role == "fm":
        return replace(
            patch,
            fm_ratio=float(rng.choice([1.41, 2, 3, 3.5, 4, 7])),
            fm_index=between(0.8, 5),
            filter_decay_s=between(0.1, 0.8),
            attack_s=0.002,
            decay_s=between(0.3, 1.2),
            sustain=0.0,
            release_s=between(0.2, 0.7),
        )
    if role == "bass":
        return replace(
            patch,
            unison=int(rng.choice([1, 1, 2])),
            detune_cents=between(4, 14),
            cutoff_hz=between(180, 1200),
            resonance=int(rng.choice([0, 1, 2])),
            envelope_octaves=rng.uniform(0, 3),
            filter_decay_s=between(0.06, 0.35),
            decay_s=between(0.1, 0.5),
            sustain=rng.uniform(0.3, 0.9),
            release_s=0.05,
            sub=rng.uniform(0, 0.8),
            drive=float(rng.choice([0, 0, 1, 3])),
            glide_s=float(rng.choice([0, 0, 0.03])),
        )
    if role == "sub":
        return Patch(
            waveform="sine",
            attack_s=0.004,
            decay_s=between(0.4, 1.5),
            sustain=rng.uniform(0.2, 0.8),
            release_s=0.1,
            drive=float(rng.choice([0, 0.5, 2])),
            glide_s=float(rng.choice([0, 0, 0.05])),
        )
    if role == "acid":
        acids: tuple[Waveform, ...] = ("saw", "square")
        return Patch(
            waveform=acids[int(rng.integers(2))],
            cutoff_hz=between(200, 700),
            resonance=int(rng.choice([3, 4])),
            envelope_octaves=rng.uniform(1.5, 3.5),
            filter_decay_s=between(0.06, 0.25),
            sweep_octaves=rng.uniform(0.5, 1.5),
            sweep_period_s=between(6, 20),
            sweep_phase=rng.random(),
            decay_s=between(0.1, 0.4),
            sustain=0.4,
            release_s=0.03,
            drive=float(rng.choice([1, 3])),
            glide_s=float(rng.choice([0, 0.02, 0.04])),
        )
    if role == "drone":
        return replace(
            patch,
            unison=4,
            detune_cents=between(10, 40),
            cutoff_hz=between(150, 900),
            resonance=int(rng.choice([0, 1, 2])),
            sweep_octaves=rng.uniform(0.5, 2),
            sweep_period_s=between(4, 16),
            sweep_phase=rng.random(),
            attack_s=between(0.3, 2),
            sustain=1.0,
            release_s=1.0,
            sub=rng.uniform(0, 0.6),
            noise=float(rng.choice([0, 0.03, 0.08])),
        )
    if role == "riser":
        return Patch(
            waveform="sine",
            cutoff_hz=500,
            attack_s=between(1, 4),
            sustain=1.0,
            release_s=0.1,
            noise=1.0,
            fm_ratio=0.0,
        )
    raise ValueError(f"no synthesiser role {role!r}")
