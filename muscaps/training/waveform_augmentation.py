"""Waveforms made less like the training data: for extractors whose spectrogram is not the one `augmentation` changes.

One filter (room, equaliser and band limits together) is applied by Fourier transform; compression, noise and gain
follow in the order that a recording passes them. Tempo and pitch stay, because captions name them.

Conventions: waveforms are mono float32 in [-1, 1] at 16 kHz; everything drawn comes from one seed.
"""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from muscaps.training.augmentation import FEATURE_AUGMENTATION, AugmentationConfig

SAMPLE_RATE = 16_000
_LOWEST_HERTZ = 60.0  # equaliser curves are drawn in octaves above it
_OCTAVES = math.log2(SAMPLE_RATE / 2 / _LOWEST_HERTZ)

Waveform = npt.NDArray[np.float32]


def disturbed_waveform(
    waveform: Waveform, seed: Sequence[int], config: AugmentationConfig = FEATURE_AUGMENTATION
) -> Waveform:
    """Disturb a whole track in one way, as one recording of it would.

    Args:
        waveform: Mono signal, (samples,).
        seed: What the disturbance is drawn from.
        config: How far it goes; second clips, tempo, pitch and masks do not apply.

    Returns:
        A signal of the same length, clipped to [-1, 1].
    """
    generator = np.random.default_rng(list(seed))
    level = math.sqrt(float(np.mean(waveform**2))) + 1e-6
    result = _filtered(waveform, generator, config)
    result *= level / (math.sqrt(float(np.mean(result**2))) + 1e-9)
    if generator.random() < config.dynamics_probability:
        drive = generator.uniform(1.0, 5.0) / max(float(np.abs(result).max()), 1e-6)
        result = np.tanh(drive * result) / drive
    if generator.random() < config.noise_probability:
        result += level * 10 ** (generator.uniform(-55, -20) / 20) * _coloured_noise(len(result), generator)
    result *= 10 ** (generator.uniform(*config.gain_db) / 20)
    return np.clip(result, -1, 1).astype(np.float32)


def _filtered(
    waveform: Waveform, generator: np.random.Generator, config: AugmentationConfig
) -> npt.NDArray[np.float64]:
    """Apply room, equaliser and band limits."""
    room = _room(generator) if generator.random() < config.room_probability else np.ones(1)
    size = 1 << (len(waveform) + len(room) - 2).bit_length()
    hertz = np.fft.rfftfreq(size, 1 / SAMPLE_RATE)
    decibels = _equaliser(np.log2(np.maximum(hertz, _LOWEST_HERTZ) / _LOWEST_HERTZ) / _OCTAVES, generator, config)
    spectrum = np.fft.rfft(waveform, size) * 10 ** (decibels / 20)
    if len(room) > 1:
        spectrum *= np.fft.rfft(room, size)
    filtered: npt.NDArray[np.float64] = np.fft.irfft(spectrum, size)[: len(waveform)]
    return filtered


def _room(generator: np.random.Generator) -> npt.NDArray[np.float64]:
    """Return an impulse response: the direct sound, then noise that falls by 60 dB in the reverberation time."""
    seconds = math.exp(generator.uniform(math.log(0.3), math.log(2.5)))
    count = round(min(seconds, 1.5) * SAMPLE_RATE)
    tail = generator.standard_normal(count) * np.exp(-math.log(1000) * np.arange(count) / (seconds * SAMPLE_RATE))
    tail *= 10 ** (generator.uniform(-18, 0) / 20) / math.sqrt(float(np.sum(tail**2)))
    return np.concatenate([np.ones(1), tail])


def _equaliser(
    place: npt.NDArray[np.float64], generator: np.random.Generator, config: AugmentationConfig
) -> npt.NDArray[np.float64]:
    """Return a curve in decibels over places from 0 (60 Hz) to 1 (8 kHz) on a logarithmic axis."""
    curve = np.zeros_like(place)
    if generator.random() < config.equaliser_probability:
        curve += generator.normal(0, 5) * (place - 0.5) * 2
        for _ in range(2):
            width = generator.uniform(0.05, 0.2)
            curve += generator.normal(0, 4) * np.exp(-0.5 * ((place - generator.uniform(0, 1)) / width) ** 2)
    if generator.random() < config.band_limit_probability:
        if generator.random() < 0.7:
            curve -= np.clip((place - generator.uniform(0.6, 0.98)) * generator.uniform(70, 600), 0, 70)
        else:
            curve -= np.clip((generator.uniform(0.02, 0.25) - place) * generator.uniform(100, 600), 0, 40)
    return curve


def _coloured_noise(count: int, generator: np.random.Generator) -> npt.NDArray[np.float64]:
    """Return noise of mean square 1 whose spectrum falls by 0 to 9 dB an octave."""
    size = 1 << (count - 1).bit_length()
    spectrum = np.fft.rfft(generator.standard_normal(size))
    octaves = np.log2(np.maximum(np.fft.rfftfreq(size, 1 / SAMPLE_RATE), _LOWEST_HERTZ) / _LOWEST_HERTZ)
    noise = np.fft.irfft(spectrum * 10 ** (-generator.uniform(0, 9) * octaves / 20), size)[:count]
    scaled: npt.NDArray[np.float64] = noise / math.sqrt(float(np.mean(noise**2)))
    return scaled
