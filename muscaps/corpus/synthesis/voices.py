"""A subtractive and FM synthesiser voice in numpy.

Conventions: mono float32 at `sample_rate`; a part starts at 0 s; cutoffs are in Hz; envelopes in seconds.
A subtractive voice reads band-limited wavetables indexed by how many harmonics its filter lets through, so a
filter sweep is a walk through the tables and nothing aliases.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from muscaps.corpus.synthesis.notes import Note, Signal

Waveform = Literal["saw", "square", "pulse", "narrow", "triangle", "sine", "organ"]

NUM_LEVELS = 28
TABLE_SAMPLES = 1024
MAX_HARMONIC = 300.0


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
