"""Speech and noise that the score for music is trained on: spoken by espeak-ng, and computed with NumPy.

Nothing of it is recorded, so that its licence is no question. Every sound has a seed and is the same each time; speech
needs the program `espeak-ng` (Debian package of the same name).

Conventions: mono waveforms, (samples,) float32 in [-1, 1], 16 kHz, `SECONDS` long.
"""

import io
import shutil
import subprocess
from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt
import soundfile
import torch
from torchaudio.functional import resample

from muscaps.training.waveform_augmentation import disturbed_waveform

Waveform = npt.NDArray[np.float32]
Samples = npt.NDArray[np.float64]

SAMPLE_RATE = 16_000
SECONDS = 12
NUM_SAMPLES = SECONDS * SAMPLE_RATE
LANGUAGES = (
    "af", "ar", "bg", "bn", "ca", "cs", "cy", "da", "de", "el", "en-gb", "en-us", "en-gb-scotland", "eo", "es", "et",
    "eu", "fa", "fi", "fr-fr", "ga", "hi", "hr", "hu", "id", "is", "it", "ko", "la", "lt", "lv", "ms", "nb", "nl", "pl",
    "pt", "pt-br", "ro", "ru", "sk", "sl", "sq", "sr", "sv", "sw", "ta", "tr", "uk", "vi", "cmn-latn-pinyin",
)  # fmt: skip
VARIANTS = (
    "", "f1", "f2", "f3", "f4", "f5", "m1", "m2", "m3", "m4", "m5", "m6", "m7", "m8", "whisper", "whisperf", "klatt",
    "klatt2", "klatt3", "klatt4", "adam", "anika", "benjamin", "belinda", "caleb", "david", "Andrea", "Annie", "Denis",
    "Diogo", "Gene", "linda", "max", "Michael", "norbert", "pablo", "paul", "rob", "sandro", "shelby", "steph",
    "travis", "victor", "zac", "grandma", "grandpa", "aunty", "boris", "iven", "marcelo",
)  # fmt: skip
_CONSONANTS, _VOWELS = "bdfghklmnprstvz", "aeiou"


def require_espeak() -> None:
    """Raise ValueError where `espeak-ng` is not installed."""
    if shutil.which("espeak-ng") is None:
        raise ValueError("espeak-ng is not on the PATH: apt install espeak-ng")


def speech(count: int, seed: int = 0) -> Iterator[Waveform]:
    """Yield one voice after the other that reads invented words, clean and disturbed in turns."""
    require_espeak()
    for number in range(count):
        rng = np.random.default_rng([seed, 1, number])
        waveform = _spoken(rng, LANGUAGES[number % len(LANGUAGES)])
        yield disturbed_waveform(waveform, [seed, 1, number]) if number % 2 else waveform


def noise(count: int, seed: int = 0) -> Iterator[Waveform]:
    """Yield the kinds of noise in turns."""
    kinds = list(KINDS.values())
    for number in range(count):
        rng = np.random.default_rng([seed, 2, number])
        yield _scaled(kinds[number % len(kinds)](rng), rng)


def _spoken(rng: np.random.Generator, language: str) -> Waveform:
    variant = str(rng.choice(VARIANTS))
    voice = f"{language}+{variant}" if variant else language
    options = ["-p", str(rng.integers(20, 80)), "-s", str(rng.integers(110, 220)), "-g", str(rng.integers(1, 25))]
    command = ["espeak-ng", "-v", voice, *options, "--stdout", _text(rng)]
    wave, rate = soundfile.read(io.BytesIO(subprocess.run(command, capture_output=True, check=True).stdout))
    at_model_rate = resample(torch.from_numpy(wave).float(), rate, SAMPLE_RATE).numpy()
    return _scaled(np.resize(at_model_rate, NUM_SAMPLES).astype(np.float64), rng)


def _text(rng: np.random.Generator) -> str:
    """Return invented sentences, enough for `SECONDS`."""
    words = []
    for _ in range(60):
        syllables = [rng.choice(list(_CONSONANTS)) + rng.choice(list(_VOWELS)) for _ in range(rng.integers(1, 5))]
        words.append("".join(syllables) + str(rng.choice(["", "", "", "", "n", "s", "r", ",", ".", "?"])))
    return " ".join(words)


def _scaled(wave: Samples, rng: np.random.Generator) -> Waveform:
    """Give a sound a peak between -30 and 0 dBFS."""
    peak = np.abs(wave).max() + 1e-9
    scaled: Waveform = (wave / peak * 10 ** (rng.uniform(-30, 0) / 20)).astype(np.float32)
    return scaled


def _coloured(rng: np.random.Generator, slope: float) -> Samples:
    """Noise whose power changes by 1 / f ** slope."""
    spectrum = np.fft.rfft(rng.standard_normal(NUM_SAMPLES))
    frequencies = np.fft.rfftfreq(NUM_SAMPLES, 1 / SAMPLE_RATE)
    return np.fft.irfft(spectrum / np.maximum(frequencies, 20) ** (slope / 2), NUM_SAMPLES)


def _band(rng: np.random.Generator, low: float, high: float) -> Samples:
    """Noise between two frequencies."""
    spectrum = np.fft.rfft(rng.standard_normal(NUM_SAMPLES))
    frequencies = np.fft.rfftfreq(NUM_SAMPLES, 1 / SAMPLE_RATE)
    return np.fft.irfft(spectrum * ((frequencies >= low) & (frequencies <= high)), NUM_SAMPLES)


def _slow(rng: np.random.Generator, changes_per_second: float) -> Samples:
    """A random level from 0 to 1 that changes slowly."""
    points = rng.uniform(0, 1, max(2, round(SECONDS * changes_per_second) + 1))
    return np.interp(np.linspace(0, len(points) - 1, NUM_SAMPLES), np.arange(len(points)), points)


def _hum(rng: np.random.Generator) -> Samples:
    """Mains hum: harmonics of 50 or 60 Hz above a little noise."""
    times = np.arange(NUM_SAMPLES) / SAMPLE_RATE
    base = rng.choice([50.0, 60.0])
    partials = sum(
        rng.uniform(0, 1) / order * np.sin(2 * np.pi * base * order * times + rng.uniform(0, 6))
        for order in range(1, 13)
    )
    mixed: Samples = partials + rng.uniform(0.01, 0.3) * _coloured(rng, 0.0)
    return mixed


def _tone(rng: np.random.Generator) -> Samples:
    """Test tones: steady, switched on and off, or a sweep."""
    times = np.arange(NUM_SAMPLES) / SAMPLE_RATE
    start, shape = 2 ** rng.uniform(6.5, 12), rng.integers(3)
    end = 2 ** rng.uniform(6.5, 12) if shape == 2 else start
    phase = 2 * np.pi * np.cumsum(np.linspace(start, end, NUM_SAMPLES)) / SAMPLE_RATE
    gate = ((times * rng.uniform(0.5, 3)) % 1 < 0.4) if shape == 1 else 1.0
    return np.sin(phase) * gate + rng.uniform(0, 0.02) * _coloured(rng, 0.0)


def _pulses(rng: np.random.Generator, per_second: float, decay_seconds: float) -> Samples:
    """Bursts of noise at random times."""
    hits = (rng.uniform(0, 1, NUM_SAMPLES) < per_second / SAMPLE_RATE) * rng.exponential(1.0, NUM_SAMPLES)
    decay = np.exp(-np.arange(NUM_SAMPLES) / (decay_seconds * SAMPLE_RATE))
    envelope = np.fft.irfft(np.fft.rfft(hits, 2 * NUM_SAMPLES) * np.fft.rfft(decay, 2 * NUM_SAMPLES))[:NUM_SAMPLES]
    return envelope * _coloured(rng, rng.uniform(0, 1.5))


def _wind(rng: np.random.Generator) -> Samples:
    return _coloured(rng, rng.uniform(1, 2)) * (0.1 + _slow(rng, rng.uniform(0.3, 3)) ** 2)


def _rain(rng: np.random.Generator) -> Samples:
    fine = _band(rng, rng.uniform(500, 2000), 8000)
    drops = _pulses(rng, rng.uniform(20, 400), 0.003)
    mixed: Samples = fine / fine.std() + rng.uniform(0.5, 3) * drops / (drops.std() + 1e-9)
    return mixed


def _machine(rng: np.random.Generator) -> Samples:
    """A machine: noise that a steady rate modulates, with a low hum."""
    times = np.arange(NUM_SAMPLES) / SAMPLE_RATE
    rate = 2 ** rng.uniform(3, 7)
    beat = np.maximum(0, np.sin(2 * np.pi * rate * times + 3 * _slow(rng, 1.0))) ** 2
    bed = _coloured(rng, rng.uniform(0.5, 2))
    mixed: Samples = bed / bed.std() * (0.2 + beat) + 0.1 * _hum(rng)
    return mixed


KINDS: dict[str, Callable[[np.random.Generator], Samples]] = {
    "white": lambda rng: _coloured(rng, 0.0),
    "pink": lambda rng: _coloured(rng, 1.0),
    "brown": lambda rng: _coloured(rng, 2.0),
    "band": lambda rng: _band(rng, low := rng.uniform(50, 3000), low * rng.uniform(1.3, 4)),
    "hum": _hum,
    "tone": _tone,
    "clicks": lambda rng: _pulses(rng, rng.uniform(0.5, 15), 0.004),
    "knocks": lambda rng: _pulses(rng, rng.uniform(0.3, 6), 0.05),
    "wind": _wind,
    "rain": _rain,
    "machine": _machine,
}
"""Kinds of noise by name."""
