"""Time-frequency front ends: log-mel for musicnn, harmonic filters for Harmonic CNN (paper section III-B).

Conventions: waveforms are mono float32 in [-1, 1] at 16 kHz; spectrograms are power in decibels without a
`top_db` floor, so a frame's value never depends on the loudest frame of its chunk.
"""

import math
from typing import Any

import torch
import torchaudio
from torch import Tensor, nn

SAMPLE_RATE = 16_000
N_FFT = 512  # 512 / 16 000 Hz = 32 ms windows
HOP_LENGTH = 256  # 256 / 16 000 Hz = 16 ms between frames
N_MELS = 96
MIN_POWER = 1e-10  # -100 dB, the floor torchaudio's AmplitudeToDB puts under silence


def _decibels(power: Tensor) -> Tensor:
    return 10.0 * torch.log10(power.clamp(min=MIN_POWER))


def mel_spectrogram(**options: Any) -> torchaudio.transforms.MelSpectrogram:
    """Return the power mel spectrogram that both musicnn networks start from; `options` are torchaudio's."""
    return torchaudio.transforms.MelSpectrogram(
        sample_rate=SAMPLE_RATE,
        n_fft=N_FFT,
        hop_length=HOP_LENGTH,
        f_min=0.0,
        f_max=SAMPLE_RATE / 2,
        n_mels=N_MELS,
        **options,
    )


class LogMel(nn.Module):
    """Waveform to 96 log-mel bands, the input of musicnn."""

    def __init__(self) -> None:
        super().__init__()
        self.mel = mel_spectrogram()

    def forward(self, waveform: Tensor) -> Tensor:
        """Turn (batch, samples) into decibels, (batch, 1, mels, frames)."""
        decibels: Tensor = _decibels(self.mel(waveform))
        return decibels.unsqueeze(1)


class HarmonicSpectrogram(nn.Module):
    """Waveform to six stacked harmonics of 128 bands, through triangles whose common Q is learned.

    Won et al., "Data-Driven Harmonic Filters for Audio Representation Learning", ICASSP 2020 (paper [30]):
    bands start at C1, two per semitone; a band around f0 is (0.1079 f0 + 24.7) / Q hertz wide.
    """

    NUM_HARMONICS = 6
    NUM_BANDS = 128
    BANDS_PER_OCTAVE = 24  # two per semitone
    LOWEST_HERTZ = 440.0 * 2 ** ((24 - 69) / 12)  # C1, MIDI note 24: 32.7 Hz
    BANDWIDTH_SLOPE = 0.1079
    BANDWIDTH_OFFSET = 24.7  # Hz

    def __init__(self) -> None:
        super().__init__()
        self.power = torchaudio.transforms.Spectrogram(n_fft=N_FFT, hop_length=HOP_LENGTH, power=2.0)
        fundamental = self.LOWEST_HERTZ * 2 ** (
            torch.arange(self.NUM_BANDS, dtype=torch.float64) / self.BANDS_PER_OCTAVE
        )
        harmonics = torch.arange(1, self.NUM_HARMONICS + 1, dtype=torch.float64)
        centres = (harmonics[:, None] * fundamental[None, :]).flatten()
        self.centre_hertz: Tensor
        self.bin_hertz: Tensor
        self.register_buffer("centre_hertz", centres.float(), persistent=False)
        self.register_buffer("bin_hertz", torch.linspace(0, SAMPLE_RATE / 2, N_FFT // 2 + 1), persistent=False)
        self.quality = nn.Parameter(torch.ones(1))

    def filters(self) -> Tensor:
        """Return the triangles, (bins, harmonics * bands), peak 1."""
        width = (self.BANDWIDTH_SLOPE * self.centre_hertz + self.BANDWIDTH_OFFSET) / self.quality
        offset = (self.bin_hertz[:, None] - self.centre_hertz[None, :]) * (2 / width)[None, :]
        return (1 - offset.abs()).clamp(min=0.0)

    def forward(self, waveform: Tensor) -> Tensor:
        """Turn (batch, samples) into decibels, (batch, harmonics, bands, frames)."""
        power = self.power(waveform)  # (batch, bins, frames)
        bands = torch.matmul(self.filters().T, power)  # (batch, harmonics * bands, frames)
        return _decibels(bands.view(-1, self.NUM_HARMONICS, self.NUM_BANDS, bands.shape[-1]))


def num_frames(num_samples: int) -> int:
    """Frames of a centred STFT over `num_samples` samples."""
    return math.floor(num_samples / HOP_LENGTH) + 1
