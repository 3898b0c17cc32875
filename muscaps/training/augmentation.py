"""Augmentation of log-mel spectrograms: changes that separate recordings from renderings.

All changes are computed on decibels, so that no spectrogram has to be computed again. A gain is a sum. An equaliser is
a curve over the bands. A change of pitch or tempo resamples an axis. A second clip, noise and a room add powers.

Conventions: a batch of spectrograms is (batch, frames, mels) in decibels; silence is -100. Random numbers of an example
are drawn from its own generator.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from muscaps.models.spectrograms import HOP_LENGTH, N_MELS, SAMPLE_RATE

SILENCE_DB = -100.0
_FRAME_SECONDS = HOP_LENGTH / SAMPLE_RATE  # 256 / 16 000 Hz = 16 ms


@dataclass(frozen=True, kw_only=True)
class AugmentationConfig:
    """Ranges and probabilities of the changes; a probability of 0 disables a change."""

    mix_probability: float = 0.25
    """Add a second clip. The example gets the additive tags of both clips; the other tags are left out of the loss."""
    mix_gain_db: tuple[float, float] = (-8.0, 2.0)
    """Level of the second clip relative to the first, in decibels."""
    max_tempo_change: float = 0.06
    """Maximum relative change of tempo."""
    max_pitch_semitones: float = 2.5
    """Maximum change of pitch in semitones."""
    gain_db: tuple[float, float] = (-14.0, 8.0)
    """Change of level in decibels."""
    equaliser_probability: float = 0.8
    """Tilt the spectrum, and raise or lower two broad bands."""
    band_limit_probability: float = 0.35
    """Attenuate treble or bass, as small speakers, codecs and old media do."""
    noise_probability: float = 0.4
    """Add coloured noise 20 to 55 dB below the music."""
    room_probability: float = 0.35
    """Add a reverberation of 0.3 to 2.5 s."""
    dynamics_probability: float = 0.4
    """Compress or expand the level over time by up to a third."""
    mask_probability: float = 0.5
    """Mask some frames and some bands (Park et al., "SpecAugment", 2019)."""

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if name.endswith("_probability") and not 0 <= value <= 1:
                raise ValueError(f"{name} must lie in 0 to 1, not {value}")
        if not 0 <= self.max_tempo_change < 0.5:
            raise ValueError(f"max_tempo_change must lie in 0 to 0.5, not {self.max_tempo_change}")


NO_AUGMENTATION = AugmentationConfig(
    mix_probability=0,
    max_tempo_change=0,
    max_pitch_semitones=0,
    gain_db=(0, 0),
    equaliser_probability=0,
    band_limit_probability=0,
    noise_probability=0,
    room_probability=0,
    dynamics_probability=0,
    mask_probability=0,
)

FEATURE_AUGMENTATION = AugmentationConfig(
    mix_probability=0, max_tempo_change=0, mask_probability=0, max_pitch_semitones=1
)
"""For whole tracks whose captions name tempo and register."""


def frames_needed(num_frames: int, config: AugmentationConfig) -> int:
    """Return the number of frames of an excerpt from which any change of tempo leaves `num_frames`."""
    return math.ceil((num_frames - 1) * (1 + config.max_tempo_change)) + 2


def _mel(hertz: np.ndarray) -> np.ndarray:
    return 2595.0 * np.log10(1.0 + hertz / 700.0)


def _hertz(mel: np.ndarray) -> np.ndarray:
    return 700.0 * (10.0 ** (mel / 2595.0) - 1.0)


def pitch_warps(semitones: np.ndarray) -> Tensor:
    """Return matrices, (shifts, mels, mels), that shift a spectrum along the mel bands; rows are source bands."""
    centres = np.linspace(0.0, _mel(np.array(SAMPLE_RATE / 2)), N_MELS + 2)[1:-1]
    step = centres[1] - centres[0]
    matrices = np.zeros((len(semitones), N_MELS, N_MELS), dtype=np.float32)
    target = np.arange(N_MELS)
    for matrix, shift in zip(matrices, semitones, strict=True):
        source = (_mel(_hertz(centres) / 2 ** (shift / 12)) - centres[0]) / step
        source = np.clip(source, 0, N_MELS - 1)
        low = np.minimum(source.astype(int), N_MELS - 2)
        matrix[low, target] += 1 - (source - low)
        matrix[low + 1, target] += source - low
    return torch.from_numpy(matrices)


class _Plan(NamedTuple):
    """The changes drawn for one example."""

    curve: np.ndarray
    """Equaliser and band limits in decibels, (mels,)."""
    noise: tuple[float, float, int] | None
    """Level relative to the music and tilt, both in decibels, and a seed."""
    room: tuple[float, float] | None
    """Reverberation time in seconds and level in decibels."""
    expansion: float
    """Relative change of the deviations of the level from its mean."""
    gain: float
    """Change of level in decibels."""
    masks: tuple[int, int, int, int] | None
    """Number of masked frames, their start, number of masked bands, their start; starts are taken modulo the size."""


class Augmenter:
    """Draws random changes and applies them to log-mel excerpts."""

    _SHIFTS = 21

    def __init__(self, config: AugmentationConfig, num_frames: int) -> None:
        """Prepare for results of `num_frames` frames."""
        self.config = config
        self.num_frames = num_frames
        self._shifts = np.linspace(-config.max_pitch_semitones, config.max_pitch_semitones, self._SHIFTS)
        self._warps = pitch_warps(self._shifts)
        self._bands = torch.arange(N_MELS, dtype=torch.float32)
        self._lag = (torch.arange(num_frames)[:, None] - torch.arange(num_frames)[None, :]).float()

    def resample(self, excerpts: Tensor, generators: list[np.random.Generator]) -> Tensor:
        """Change tempo and pitch.

        Args:
            excerpts: Decibels, (batch, frames_needed, mels).
            generators: One per example.

        Returns:
            Decibels, (batch, num_frames, mels).
        """
        config = self.config
        rates = [1 + g.uniform(-config.max_tempo_change, config.max_tempo_change) for g in generators]
        places = torch.arange(self.num_frames)[None, :] * torch.tensor(rates, dtype=torch.float32)[:, None]
        low = places.long()
        share = (places - low)[:, :, None]
        rows = torch.arange(len(excerpts))[:, None]
        stretched = excerpts[rows, low].lerp(excerpts[rows, low + 1], share)
        if config.max_pitch_semitones == 0:
            return stretched
        return stretched @ self._warps[[int(g.integers(self._SHIFTS)) for g in generators]]

    def mix(self, first: Tensor, second: Tensor, generators: list[np.random.Generator]) -> tuple[Tensor, Tensor]:
        """Add a second clip to some of the examples.

        Returns:
            Decibels with the shape of `first`, and True for examples with a second clip, (batch,).
        """
        chosen = torch.tensor([bool(g.random() < self.config.mix_probability) for g in generators])
        gains = torch.tensor([g.uniform(*self.config.mix_gain_db) for g in generators], dtype=torch.float32)
        if not chosen.any():
            return first, chosen
        # Levels are matched first, by at most 30 dB, so that rounding noise of a silent clip is not amplified.
        match = (_mean_level(first[chosen]) - _mean_level(second[chosen])).clamp(-30, 30)
        mixed = first.clone()
        mixed[chosen] = _add(first[chosen], second[chosen] + (match + gains[chosen])[:, None, None])
        return mixed, chosen

    def augment(self, spectrogram: Tensor, generators: list[np.random.Generator]) -> Tensor:
        """Apply room, noise, equaliser, band limits, dynamics, gain and masks, in the order of a recording chain."""
        plans = [self._draw(generator) for generator in generators]
        result = self._room(spectrogram, [plan.room for plan in plans])
        curves = torch.from_numpy(np.stack([plan.curve for plan in plans])).float()
        result = result + curves[:, None, :]
        result = self._noise(result, [plan.noise for plan in plans])
        level = result.mean(dim=2, keepdim=True)
        expansion = torch.tensor([plan.expansion for plan in plans], dtype=torch.float32)[:, None, None]
        result = result + (level - level.mean(dim=1, keepdim=True)) * expansion
        result = result + torch.tensor([plan.gain for plan in plans], dtype=torch.float32)[:, None, None]
        return self._mask(result.clamp(min=SILENCE_DB), [plan.masks for plan in plans])

    def _draw(self, g: np.random.Generator) -> _Plan:
        config = self.config
        bands = np.arange(N_MELS)
        curve = np.zeros(N_MELS)
        if g.random() < config.equaliser_probability:
            curve += g.normal(0, 5) * (bands / (N_MELS - 1) - 0.5) * 2
            for _ in range(2):
                curve += g.normal(0, 4) * np.exp(-0.5 * ((bands - g.uniform(0, N_MELS)) / g.uniform(4, 20)) ** 2)
        if g.random() < config.band_limit_probability:
            if g.random() < 0.7:
                curve -= np.clip((bands - g.uniform(35, 92)) * g.uniform(0.7, 6.0), 0, 70)
            else:
                curve -= np.clip((g.uniform(2, 14) - bands) * g.uniform(1.0, 6.0), 0, 40)
        noise = None
        if g.random() < config.noise_probability:
            noise = (g.uniform(-55, -20), g.normal(0, 10), int(g.integers(2**31)))
        room = None
        if g.random() < config.room_probability:
            room = (math.exp(g.uniform(math.log(0.3), math.log(2.5))), g.uniform(-18, 0))
        expansion = g.uniform(-0.33, 0.2) if g.random() < config.dynamics_probability else 0.0
        masks = None
        if g.random() < config.mask_probability:
            num_frames, frame, num_bands, band = (int(g.integers(limit)) for limit in (40, 10**6, 14, 10**6))
            masks = (num_frames, frame, num_bands, band)
        return _Plan(curve, noise, room, expansion, g.uniform(*config.gain_db), masks)

    def _room(self, spectrogram: Tensor, rooms: list[tuple[float, float] | None]) -> Tensor:
        """Add decaying copies of earlier frames; their energy falls by 60 dB in the reverberation time."""
        chosen = [index for index, room in enumerate(rooms) if room is not None]
        if not chosen:
            return spectrogram
        drawn = [room for room in rooms if room is not None]
        seconds, wet = torch.tensor(drawn, dtype=torch.float32).unbind(dim=1)
        decay = 6 * math.log(10) * _FRAME_SECONDS / seconds  # nepers of power per frame
        kernel = torch.exp(-decay[:, None, None] * self._lag.clamp(min=0)) * (self._lag > 0)
        kernel = kernel * (10 ** (wet / 10) * (1 - torch.exp(-decay)))[:, None, None]
        result = spectrogram.clone()
        result[chosen] = _add(spectrogram[chosen], _decibels(kernel @ _power(spectrogram[chosen])))
        return result

    def _noise(self, spectrogram: Tensor, noises: list[tuple[float, float, int] | None]) -> Tensor:
        chosen = [index for index, noise in enumerate(noises) if noise is not None]
        if not chosen:
            return spectrogram
        level, tilt, seeds = zip(*(noise for noise in noises if noise is not None), strict=True)
        shape = (self.num_frames, N_MELS)
        grain = np.stack([np.random.default_rng(seed).standard_normal(shape, dtype=np.float32) for seed in seeds])
        slope = torch.tensor(tilt, dtype=torch.float32)[:, None] * (self._bands / (N_MELS - 1) - 0.5)
        floor = _mean_level(spectrogram[chosen]) + torch.tensor(level, dtype=torch.float32)
        noise = floor[:, None, None] + slope[:, None, :] + 3.0 * torch.from_numpy(grain)
        result = spectrogram.clone()
        result[chosen] = _add(spectrogram[chosen], noise)
        return result

    def _mask(self, spectrogram: Tensor, masks: list[tuple[int, int, int, int] | None]) -> Tensor:
        for example, mask in zip(spectrogram, masks, strict=True):
            if mask is not None:
                frames, frame, bands, band = mask
                fill = example.mean()
                frame, band = frame % (self.num_frames - frames), band % (N_MELS - bands)
                example[frame : frame + frames] = fill
                example[:, band : band + bands] = fill
        return spectrogram


def _power(decibels: Tensor) -> Tensor:
    return torch.exp(decibels * (math.log(10) / 10))


def _decibels(power: Tensor) -> Tensor:
    return power.clamp(min=1e-10).log() * (10 / math.log(10))


def _add(first: Tensor, second: Tensor) -> Tensor:
    """Return the sum of two powers, in decibels."""
    return _decibels(_power(first) + _power(second))


def _mean_level(decibels: Tensor) -> Tensor:
    """Return the mean power in decibels, (batch, frames, mels) -> (batch,)."""
    return _decibels(_power(decibels).mean(dim=(1, 2)))


def augmented_chunks(
    spectrogram: Tensor, seed: Sequence[int], config: AugmentationConfig = FEATURE_AUGMENTATION
) -> Tensor:
    """Apply the same changes to all chunks of a track.

    Args:
        spectrogram: Log-mels of the track's chunks, (chunks, 1, mels, frames).
        seed: Seed of the augmentation.
        config: Ranges of the changes; second clips, tempo and masks are not used for a whole track.

    Returns:
        Decibels of the same shape.
    """
    frames = spectrogram.squeeze(1).transpose(1, 2)  # (chunks, frames, mels)
    augmenter = Augmenter(config, frames.shape[1])
    generators = [np.random.default_rng(list(seed)) for _ in frames]
    # One more frame, because `resample` interpolates between a frame and the next one.
    resampled = augmenter.resample(torch.cat([frames, frames[:, -1:]], dim=1), generators)
    return augmenter.augment(resampled, generators).transpose(1, 2).unsqueeze(1)
