"""From parts to a mastered clip: levels, effects, room, equaliser, compression, codec.

Conventions: mono float32 in [-1, 1] after mastering; levels in dB; bands are those of `BAND_EDGES_HZ`.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from muscaps.corpus.synthesis.notes import Signal

BAND_EDGES_HZ = (40.0, 200.0, 700.0, 2200.0, 5000.0, 8000.0)
BAND_WEIGHTS = np.array([0.25, 0.8, 1.3, 1.5, 1.0])
"""Weight of a band's energy in loudness, after the roll-off of loudness curves."""
AUDIBLE_SHARE = 0.04
AUDIBLE_BAND_SHARE = 0.35
_FRAME = 2048


@dataclass(frozen=True, kw_only=True)
class Mastering:
    """How the mix is finished."""

    tilt_db_per_octave: float
    bells: tuple[tuple[float, float, float], ...]
    """Equaliser bands: centre in Hz, gain in dB, width in octaves."""
    low_cut_hz: float
    high_cut_hz: float
    reverb_s: float
    """Time for the room to fall by 60 dB."""
    reverb_db: float
    """Level of the room below the mix."""
    compression: float
    """0 none, 1 level flattened entirely."""
    drive: float
    """Into the limiter."""
    noise_db: float
    peak: float
    mp3: bool


def random_mastering(rng: np.random.Generator, *, electronic: bool, acoustic_solo: bool) -> Mastering:
    """Draw a master: loud and bright for electronic music, roomier for acoustic."""
    num_bells = int(rng.integers(0, 4))
    return Mastering(
        tilt_db_per_octave=float(rng.normal(-0.8, 0.9)),
        bells=tuple(
            (
                float(np.exp(rng.uniform(np.log(80), np.log(7000)))),
                float(rng.normal(0, 3.0)),
                float(rng.uniform(0.5, 2)),
            )
            for _ in range(num_bells)
        ),
        low_cut_hz=float(rng.choice([20, 20, 25, 30, 50, 90])),
        high_cut_hz=float(
            rng.choice([8000, 8000, 8000, 8000, 6500, 5000, 4000], p=[0.3, 0.2, 0.15, 0.15, 0.1, 0.06, 0.04])
        ),
        reverb_s=float(np.exp(rng.uniform(np.log(0.3), np.log(1.5 if electronic else 3.0)))),
        reverb_db=float(rng.uniform(-34, -14 if electronic else -9)),
        compression=float(rng.beta(1.5, 3.5) if electronic else rng.beta(1, 5)),
        drive=float(rng.gamma(1.5, 0.45) if electronic else rng.gamma(1, 0.25)),
        noise_db=float(rng.uniform(-95, -58)),
        peak=float(rng.uniform(0.25, 0.6) if acoustic_solo and rng.random() < 0.5 else rng.uniform(0.4, 1.0)),
        mp3=bool(rng.random() < 0.2),
    )


def band_energies(signal: Signal, sample_rate: int) -> NDArray[np.float64]:
    """Weighted energy by time and band, (frames, bands)."""
    num_frames = max(1, len(signal) // _FRAME)
    padded = np.zeros(num_frames * _FRAME, dtype=np.float32)
    padded[: min(len(signal), len(padded))] = signal[: len(padded)]
    spectrum = np.abs(np.fft.rfft(padded.reshape(num_frames, _FRAME) * np.hanning(_FRAME).astype(np.float32))) ** 2
    edges = (np.array(BAND_EDGES_HZ) * _FRAME / sample_rate).astype(int)
    bands = np.stack([spectrum[:, low:high].sum(1) for low, high in zip(edges[:-1], edges[1:], strict=True)], axis=1)
    result: NDArray[np.float64] = bands * BAND_WEIGHTS
    return result


def loudness(energies: NDArray[np.float64]) -> float:
    """Level in dB over the frames in which a part sounds."""
    frames = energies.sum(1)
    top = float(frames.max())
    if top <= 0:
        return -np.inf
    return float(10 * np.log10(frames[frames > top * 1e-3].mean() + 1e-20))


def audibility(parts: Sequence[NDArray[np.float64]]) -> list[tuple[float, bool]]:
    """Return each part's share of the mix and whether it is audible.

    A part is audible when it holds `AUDIBLE_SHARE` of the weighted energy, averaged over the frames of the clip, or
    dominates a band that matters.

    Args:
        parts: Energies from `band_energies`, (frames, bands) each, at mix level.
    """
    stack = np.stack(parts)  # (parts, frames, bands)
    total = stack.sum(0) + 1e-12
    loud = total.sum(1) > total.sum(1).max() * 1e-3
    frame_shares = (stack.sum(2) / total.sum(1))[:, loud]  # (parts, loud frames)
    band_total = total[loud].sum(0)
    results = []
    for part, shares in zip(stack, frame_shares, strict=True):
        energy_share = float(part.sum() / total.sum())
        share = 0.5 * energy_share + 0.5 * float(shares.mean())
        in_bands = part[loud].sum(0) / band_total
        matters = band_total / band_total.sum() > 0.02
        often = float((shares > 0.03).mean()) > 0.1
        audible = (share >= AUDIBLE_SHARE or bool((in_bands[matters] > AUDIBLE_BAND_SHARE).any())) and often
        results.append((share, audible))
    return results


def delay(signal: Signal, seconds: float, feedback: float, wet: float, sample_rate: int) -> Signal:
    """Echoes, each `feedback` times the last."""
    out = signal.copy()
    step = max(1, int(seconds * sample_rate))
    gain = wet
    for echo in range(1, 7):
        if echo * step >= len(signal) or gain < 0.02:
            break
        out[echo * step :] += gain * signal[: -echo * step]
        gain *= feedback
    return out


def chorus(signal: Signal, depth_s: float, rate_hz: float, sample_rate: int) -> Signal:
    """The signal with a copy whose delay wavers; the mono image of stereo wideners and phasers."""
    time = np.arange(len(signal))
    lag = (depth_s * (1.2 + np.sin(2 * np.pi * rate_hz * time / sample_rate))) * sample_rate
    copy = np.interp(time - lag, time, signal).astype(np.float32)
    result: Signal = (0.7 * (signal + 0.8 * copy)).astype(np.float32)
    return result


def distort(signal: Signal, drive: float, sample_rate: int) -> Signal:
    """An amplifier and its loudspeaker: saturation, then a gentle roll-off above 4 kHz."""
    level = float(np.abs(signal).max()) or 1.0
    loud = np.tanh(signal / level * drive)
    spectrum = np.fft.rfft(loud)
    hz = np.fft.rfftfreq(len(loud), 1 / sample_rate)
    spectrum *= 1 / (1 + (hz / 4200) ** 4) * (hz / (hz + 70))
    return np.fft.irfft(spectrum, len(loud)).astype(np.float32)


def pump(signal: Signal, kicks_s: Sequence[float], depth: float, recovery_s: float, sample_rate: int) -> Signal:
    """Side-chain ducking: quiet on every kick, back within `recovery_s`."""
    gain = np.ones(len(signal), dtype=np.float32)
    length = int(recovery_s * sample_rate)
    dip = (1 - depth * (1 - np.linspace(0, 1, length)) ** 1.5).astype(np.float32)
    for kick in kicks_s:
        start = int(kick * sample_rate)
        if 0 <= start < len(gain):
            piece = dip[: len(gain) - start]
            gain[start : start + len(piece)] = np.minimum(gain[start : start + len(piece)], piece)
    result: Signal = signal * gain
    return result


def room(signal: Signal, reverb_s: float, rng: np.random.Generator, sample_rate: int) -> Signal:
    """The signal's reverberation: noise that decays, darker with time, after a short pre-delay."""
    from scipy.signal import fftconvolve

    length = int(min(2.0, reverb_s) * sample_rate)
    time = np.arange(length) / sample_rate
    noise = rng.standard_normal(length).astype(np.float32)
    dark = np.convolve(noise, np.ones(6) / 6, mode="same")
    late = np.minimum(1, time / reverb_s * 1.5)
    response = ((1 - late) * noise + late * dark) * np.exp(-6.9 * time / reverb_s)
    response[: int(rng.uniform(0.002, 0.03) * sample_rate)] = 0
    response /= np.sqrt(np.sum(response**2)) + 1e-9
    wet: Signal = fftconvolve(signal, response.astype(np.float32))[: len(signal)].astype(np.float32)
    return wet


def _equalise(signal: Signal, settings: Mastering, sample_rate: int) -> Signal:
    spectrum = np.fft.rfft(signal)
    hz = np.maximum(np.fft.rfftfreq(len(signal), 1 / sample_rate), 1.0)
    octaves = np.log2(hz / 800)
    gain_db = np.clip(settings.tilt_db_per_octave * octaves, -9, 9)
    for centre, gain, width in settings.bells:
        gain_db = gain_db + gain * np.exp(-0.5 * ((np.log2(hz / centre)) / (width / 2)) ** 2)
    gain_db = gain_db - 10 * np.log10(1 + (settings.low_cut_hz / hz) ** 4)
    if settings.high_cut_hz < 8000:
        gain_db = gain_db - 10 * np.log10(1 + (hz / settings.high_cut_hz) ** 12)
    return np.fft.irfft(spectrum * 10 ** (gain_db / 20), len(signal)).astype(np.float32)


def _compress(signal: Signal, amount: float, sample_rate: int) -> Signal:
    block = sample_rate // 50
    num_blocks = len(signal) // block
    levels = np.sqrt(np.mean(signal[: num_blocks * block].reshape(num_blocks, block) ** 2, axis=1)) + 1e-6
    smooth = np.empty_like(levels)
    state = float(levels.max())
    for index, level in enumerate(levels):
        state += (level - state) * (0.6 if level > state else 0.12)
        smooth[index] = state
    reference = float(np.median(smooth)) + 1e-6
    gains = np.clip((np.maximum(smooth, reference * 0.05) / reference) ** -amount, 0.2, 4)
    curve = np.interp(np.arange(len(signal)), (np.arange(num_blocks) + 0.5) * block, gains)
    result: Signal = (signal * curve).astype(np.float32)
    return result


def master(signal: Signal, settings: Mastering, rng: np.random.Generator, sample_rate: int) -> Signal:
    """Finish a mix.

    Returns:
        Mono audio in [-1, 1], as long as `signal`.
    """
    level = float(np.sqrt(np.mean(signal**2))) + 1e-9
    mixed = signal / level
    if settings.reverb_db > -28:
        wet = room(mixed, settings.reverb_s, rng, sample_rate)
        mixed = mixed + 10 ** (settings.reverb_db / 20) * wet / (float(np.sqrt(np.mean(wet**2))) + 1e-9)
    mixed = _equalise(mixed, settings, sample_rate)
    if settings.compression > 0.05:
        mixed = _compress(mixed, 0.7 * settings.compression, sample_rate)
    mixed = mixed / (float(np.percentile(np.abs(mixed[::7]), 99.7)) + 1e-9)
    if settings.drive > 0.1:
        mixed = np.tanh(mixed * (0.6 + settings.drive)) / np.tanh(0.6 + settings.drive)
    mixed = mixed / (float(np.abs(mixed).max()) + 1e-9) * settings.peak
    mixed = mixed + rng.standard_normal(len(mixed), dtype=np.float32) * 10 ** (settings.noise_db / 20)
    if settings.mp3:
        mixed = through_mp3(mixed.astype(np.float32), sample_rate)
    return np.clip(mixed, -1, 1).astype(np.float32)


def through_mp3(signal: Signal, sample_rate: int) -> Signal:
    """What is left after an MP3 encoder."""
    import soundfile

    buffer = io.BytesIO()
    soundfile.write(buffer, signal, sample_rate, format="MP3", subtype="MPEG_LAYER_III")
    buffer.seek(0)
    decoded, _ = soundfile.read(buffer, dtype="float32")
    out = np.zeros_like(signal)
    out[: min(len(out), len(decoded))] = decoded[: len(out)]
    return out
