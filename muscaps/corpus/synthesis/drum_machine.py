"""A drum machine and a noise riser."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from muscaps.corpus.synthesis.notes import Note, Signal


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
