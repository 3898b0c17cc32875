"""Synthesiser voices and drum machines in numpy: the electronic half of production music.

Conventions: mono float32 at `sample_rate`; a part starts at 0 s; cutoffs are in Hz; envelopes in seconds.
A subtractive voice reads band-limited wavetables indexed by how many harmonics its filter lets through, so a
filter sweep is a walk through the tables and nothing aliases.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

Signal = NDArray[np.float32]
Waveform = Literal["saw", "square", "pulse", "narrow", "triangle", "sine", "organ"]

NUM_LEVELS = 28
TABLE_SAMPLES = 1024
MAX_HARMONIC = 300.0


class Note(NamedTuple):
    """One sounding note."""

    start_s: float
    duration_s: float
    pitch: float
    """MIDI number; fractions are cents / 100. For a drum kit the General MIDI key."""
    velocity: float
    """Loudness, 0 to 1."""


@dataclass(frozen=True, kw_only=True)
class Patch:
    """Settings of one synthesiser voice."""

    waveform: Waveform = "saw"
    unison: int = 1
    """Detuned copies."""
    detune_cents: float = 0.0
    cutoff_hz: float = 4000.0
    resonance: int = 0
    """Peak at the cutoff, 0 to 4."""
    envelope_octaves: float = 0.0
    """How far the filter opens at the start of a note."""
    filter_decay_s: float = 0.2
    sweep_octaves: float = 0.0
    """Depth of a slow filter sweep over the whole part."""
    sweep_period_s: float = 8.0
    sweep_phase: float = 0.0
    attack_s: float = 0.005
    decay_s: float = 0.2
    sustain: float = 0.7
    release_s: float = 0.08
    vibrato_cents: float = 0.0
    vibrato_hz: float = 5.5
    sub: float = 0.0
    """Level of a sine an octave below."""
    noise: float = 0.0
    drive: float = 0.0
    """Saturation, 0 (none) and up."""
    fm_ratio: float = 0.0
    """Modulator over carrier frequency; 0 plays the wavetable instead."""
    fm_index: float = 0.0
    glide_s: float = 0.0
    tremolo_hz: float = 0.0
    bit_depth: int = 0
    """Quantisation in bits; 0 for none."""


@lru_cache(maxsize=64)
def _wavetables(waveform: Waveform, resonance: int) -> Signal:
    """Tables of one period, (NUM_LEVELS, TABLE_SAMPLES): level l passes MAX_HARMONIC^(l / (L - 1)) harmonics."""
    phases = np.arange(TABLE_SAMPLES) / TABLE_SAMPLES
    harmonics = np.arange(1, int(MAX_HARMONIC) + 1)
    if waveform == "saw":
        amplitudes = 1 / harmonics
    elif waveform == "square":
        amplitudes = np.where(harmonics % 2 == 1, 1 / harmonics, 0)
    elif waveform in ("pulse", "narrow"):
        width = 0.25 if waveform == "pulse" else 0.125
        amplitudes = np.sin(np.pi * harmonics * width) / harmonics
    elif waveform == "triangle":
        amplitudes = np.where(harmonics % 2 == 1, (-1.0) ** ((harmonics - 1) // 2) / harmonics**2, 0)
    elif waveform == "organ":
        amplitudes = np.zeros(len(harmonics))
        amplitudes[[0, 1, 2, 3, 5, 7]] = (1, 0.7, 0.5, 0.35, 0.25, 0.2)
    else:
        amplitudes = (harmonics == 1).astype(float)
    sines = np.sin(2 * np.pi * np.outer(harmonics, phases))
    tables = []
    for cutoff in MAX_HARMONIC ** (np.arange(NUM_LEVELS) / (NUM_LEVELS - 1)):
        ratio = harmonics / cutoff
        gain = 1 / np.sqrt(1 + ratio**6) + 0.9 * resonance * np.exp(-((np.log2(ratio) * 3.5) ** 2))
        gain[(ratio > 2.0)] = 0
        tables.append((amplitudes * gain) @ sines)
    stacked = np.stack(tables)
    result: Signal = (stacked / (np.abs(stacked[-1]).max() * (1 + 0.4 * resonance))).astype(np.float32)
    return result


def _envelope(patch: Patch, num_held: int, num_samples: int, sample_rate: int) -> Signal:
    """Attack, decay, sustain and release, (num_samples,), the key held for `num_held`."""
    time = np.arange(num_samples, dtype=np.float32) / sample_rate
    level = patch.sustain + (1 - patch.sustain) * np.exp(
        -np.maximum(0, time - patch.attack_s) / max(1e-3, patch.decay_s)
    )
    level *= np.minimum(1, time / max(1e-3, patch.attack_s))
    released = time[: num_samples - num_held]
    level[num_held:] *= np.exp(-released * 4 / max(5e-3, patch.release_s))
    fade = min(num_samples, 64)
    level[num_samples - fade :] *= np.linspace(1, 0, fade)
    return level.astype(np.float32)


def play(patch: Patch, notes: Sequence[Note], num_samples: int, sample_rate: int, rng: np.random.Generator) -> Signal:
    """Render `notes` with one patch.

    Returns:
        Mono audio, (num_samples,), unnormalised.
    """
    out = np.zeros(num_samples, dtype=np.float32)
    tables = _wavetables(patch.waveform, patch.resonance)
    detunes = np.linspace(-1, 1, patch.unison) * patch.detune_cents / 1200 if patch.unison > 1 else np.zeros(1)
    previous = None
    for note in notes:
        start = int(note.start_s * sample_rate)
        if start >= num_samples:
            continue
        held = max(32, int(note.duration_s * sample_rate))
        length = min(num_samples - start, held + int(1.3 * patch.release_s * sample_rate) + 64)
        held = min(held, length)
        time = np.arange(length, dtype=np.float32) / sample_rate
        frequency = 440 * 2 ** ((note.pitch - 69) / 12)
        bend: NDArray[np.floating] = np.zeros(1, dtype=np.float32)
        if patch.vibrato_cents:
            depth = patch.vibrato_cents / 1200 * np.minimum(1, time / 0.4)
            bend = depth * np.sin(2 * np.pi * patch.vibrato_hz * time)
        if patch.glide_s and previous is not None:
            bend = bend + (previous - note.pitch) / 12 * np.exp(-time / patch.glide_s)
        previous = note.pitch
        increments = (frequency / sample_rate * 2**bend).astype(np.float32)
        turns = np.cumsum(np.broadcast_to(increments, length), dtype=np.float64)
        if patch.fm_ratio:
            index = patch.fm_index * (0.15 + 0.85 * np.exp(-time / patch.filter_decay_s)) * (0.4 + 0.6 * note.velocity)
            index = np.minimum(index, 0.45 * sample_rate / frequency / max(1.0, patch.fm_ratio))
            sound = np.sin(2 * np.pi * turns + index * np.sin(2 * np.pi * turns * patch.fm_ratio))
        else:
            octaves = patch.envelope_octaves * (0.3 + 0.7 * note.velocity) * np.exp(-time / patch.filter_decay_s)
            if patch.sweep_octaves:
                position = (note.start_s + time) / patch.sweep_period_s + patch.sweep_phase
                octaves = octaves + patch.sweep_octaves * np.sin(2 * np.pi * position)
            harmonics = np.clip(
                patch.cutoff_hz / frequency * 2**octaves,
                1.0,
                max(1.0, min(MAX_HARMONIC, 0.25 * sample_rate / frequency)),
            )
            level = np.log(harmonics) * ((NUM_LEVELS - 1) / np.log(MAX_HARMONIC))
            floor = np.minimum(level.astype(np.int64), NUM_LEVELS - 2)
            share = (level - floor).astype(np.float32)
            flat = tables.ravel()
            sound = np.zeros(length, dtype=np.float32)
            for detune in detunes:
                offset = rng.random() if patch.unison > 1 else 0.0
                column = ((turns * 2**detune + offset) % 1.0 * TABLE_SAMPLES).astype(np.int64)
                column += floor * TABLE_SAMPLES
                low = flat[column]
                sound += low + share * (flat[column + TABLE_SAMPLES] - low)
            sound /= np.sqrt(len(detunes))
        if patch.sub:
            sound = sound + patch.sub * np.sin(np.pi * turns)
        if patch.noise:
            sound = sound + patch.noise * rng.standard_normal(length, dtype=np.float32)
        if patch.drive:
            sound = np.tanh(sound * (1 + patch.drive)) / np.tanh(1 + patch.drive)
        if patch.tremolo_hz:
            sound = sound * (0.6 + 0.4 * np.sin(2 * np.pi * patch.tremolo_hz * (note.start_s + time)))
        out[start : start + length] += (
            sound * _envelope(patch, held, length, sample_rate) * (0.25 + 0.75 * note.velocity)
        )
    if patch.bit_depth:
        steps = 2.0 ** (patch.bit_depth - 1)
        peak = float(np.abs(out).max()) or 1.0
        out = (np.round(out / peak * steps) / steps * peak).astype(np.float32)
    return out


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


@dataclass(frozen=True, kw_only=True)
class DrumMachine:
    """Settings of a drum machine."""

    kick_hz: float = 50.0
    kick_sweep: float = 4.0
    kick_decay_s: float = 0.25
    kick_click: float = 0.3
    snare_hz: float = 190.0
    snare_decay_s: float = 0.15
    snare_noise: float = 0.8
    hat_decay_s: float = 0.04
    hat_tone: float = 0.5
    drive: float = 0.0
    low_fi: bool = False


def random_drum_machine(rng: np.random.Generator) -> DrumMachine:
    """Draw a drum machine, from dull analogue boxes to hard club kits and console noise drums."""
    return DrumMachine(
        kick_hz=rng.uniform(42, 65),
        kick_sweep=rng.uniform(2, 7),
        kick_decay_s=float(rng.choice([0.12, 0.2, 0.3, 0.5])),
        kick_click=rng.uniform(0, 0.6),
        snare_hz=rng.uniform(160, 250),
        snare_decay_s=rng.uniform(0.07, 0.22),
        snare_noise=rng.uniform(0.5, 1.2),
        hat_decay_s=rng.uniform(0.02, 0.07),
        hat_tone=rng.uniform(0, 0.9),
        drive=float(rng.choice([0, 0.5, 2])),
        low_fi=bool(rng.random() < 0.1),
    )


def _drum_hit(machine: DrumMachine, key: int, sample_rate: int, rng: np.random.Generator) -> Signal:
    """One hit of a General MIDI percussion key, (samples,)."""

    def clock(seconds: float) -> NDArray[np.float64]:
        return np.arange(int(seconds * sample_rate)) / sample_rate

    def metal(time: NDArray[np.float64], tone: float) -> NDArray[np.float64]:
        noise = rng.standard_normal(len(time))
        bright = np.diff(noise, prepend=0.0)
        ring = sum(
            (np.sign(np.sin(2 * np.pi * hz * time)) for hz in (3270.0, 4050.0, 5420.0, 6310.0)), np.zeros(len(time))
        )
        return (1 - tone) * bright + tone * 0.35 * ring

    if key in (35, 36):
        time = clock(min(1.0, machine.kick_decay_s * 4))
        sweep = machine.kick_hz * (1 + machine.kick_sweep * np.exp(-time / 0.025))
        body = np.sin(2 * np.pi * np.cumsum(sweep) / sample_rate) * np.exp(-time / machine.kick_decay_s)
        click = machine.kick_click * rng.standard_normal(len(time)) * np.exp(-time / 0.004)
        hit = 1.4 * body + click
    elif key in (38, 40):
        time = clock(machine.snare_decay_s * 5)
        tone = np.sin(2 * np.pi * machine.snare_hz * (1 + 0.5 * np.exp(-time / 0.01)) * time) * np.exp(-time / 0.06)
        noise = rng.standard_normal(len(time)) * np.exp(-time / machine.snare_decay_s)
        hit = 0.7 * tone + 0.5 * machine.snare_noise * noise
    elif key == 39:
        time = clock(0.35)
        bursts = sum(
            (np.exp(-np.maximum(0, time - at) / 0.012) * (time >= at) for at in (0, 0.011, 0.023)), np.zeros(len(time))
        )
        noise = rng.standard_normal(len(time))
        hit = 0.6 * np.diff(noise, prepend=0.0) * (bursts * 0.6 + np.exp(-time / 0.09) * (time > 0.02))
    elif key in (42, 44):
        time = clock(machine.hat_decay_s * 5)
        hit = 0.45 * metal(time, machine.hat_tone) * np.exp(-time / machine.hat_decay_s)
    elif key == 46:
        time = clock(0.5)
        hit = 0.45 * metal(time, machine.hat_tone) * np.exp(-time / 0.16)
    elif key in (49, 51, 52, 55, 57):
        time = clock(1.4 if key != 51 else 0.5)
        hit = 0.5 * metal(time, 0.2) * np.exp(-time / (0.5 if key != 51 else 0.15))
    elif key in (41, 43, 45, 47, 48, 50):
        time = clock(0.5)
        pitch = {41: 80, 43: 95, 45: 115, 47: 140, 48: 165, 50: 190}[key]
        hit = np.sin(2 * np.pi * np.cumsum(pitch * (1 + np.exp(-time / 0.04))) / sample_rate) * np.exp(-time / 0.16)
    elif key == 56:
        time = clock(0.3)
        hit = (
            0.4
            * (np.sign(np.sin(2 * np.pi * 540 * time)) + np.sign(np.sin(2 * np.pi * 800 * time)))
            * np.exp(-time / 0.06)
        )
    elif key == 37:
        time = clock(0.08)
        hit = 0.6 * (np.sin(2 * np.pi * 1700 * time) + 0.3 * rng.standard_normal(len(time))) * np.exp(-time / 0.012)
    elif key in (60, 61, 62, 63, 64):
        time = clock(0.3)
        pitch = {60: 330, 61: 240, 62: 310, 63: 260, 64: 200}[key]
        hit = 0.8 * np.sin(2 * np.pi * pitch * (1 + 0.15 * np.exp(-time / 0.01)) * time) * np.exp(-time / 0.07)
    else:
        time = clock(0.12)
        hit = 0.4 * np.diff(rng.standard_normal(len(time)), prepend=0.0) * np.exp(-((time - 0.02) ** 2) / 0.0012)
    if machine.drive:
        hit = np.tanh(hit * (1 + machine.drive)) / np.tanh(1 + machine.drive)
    if machine.low_fi:
        hit = np.repeat(hit[::3], 3)[: len(hit)]
    fade = min(48, len(hit))
    hit[-fade:] *= np.linspace(1, 0, fade)
    return np.asarray(hit, dtype=np.float32)


def play_drums(
    machine: DrumMachine, notes: Sequence[Note], num_samples: int, sample_rate: int, rng: np.random.Generator
) -> Signal:
    """Render drum hits; a note's pitch is its General MIDI percussion key.

    Returns:
        Mono audio, (num_samples,).
    """
    out = np.zeros(num_samples, dtype=np.float32)
    hits: dict[int, Signal] = {}
    for note in notes:
        key = int(note.pitch)
        if key not in hits:
            hits[key] = _drum_hit(machine, key, sample_rate, rng)
        start = int(note.start_s * sample_rate)
        if not 0 <= start < num_samples:
            continue
        hit = hits[key][: num_samples - start]
        out[start : start + len(hit)] += hit * (0.15 + 0.85 * note.velocity)
    return out


def play_riser(notes: Sequence[Note], num_samples: int, sample_rate: int, rng: np.random.Generator) -> Signal:
    """Render noise that swells and brightens over each note: risers, sweeps and impacts.

    Returns:
        Mono audio, (num_samples,).
    """
    out = np.zeros(num_samples, dtype=np.float32)
    for note in notes:
        start = int(note.start_s * sample_rate)
        length = min(num_samples - start, int(note.duration_s * sample_rate))
        if start < 0 or length < 64:
            continue
        ramp = np.linspace(0, 1, length)
        noise = rng.standard_normal(length)
        dull = np.cumsum(noise - noise.mean())
        dull /= np.abs(dull).max()
        bright = np.diff(noise, prepend=0.0) / 3
        swell = ramp**2 if note.velocity < 0.75 else (1 - ramp) ** 3
        mixed = (1 - ramp) * dull + ramp * bright if note.velocity < 0.75 else bright * 0.6 + dull * 0.4
        out[start : start + length] += (mixed * swell * note.velocity).astype(np.float32)
    return out
