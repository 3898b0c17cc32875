"""Mono blocks of any rate to 16-bit PCM at one rate."""

import numpy as np
import soxr

from muscaps.audio.blocks import PCM_SCALE, Waveform
from muscaps.audio.kept_chunks import KeptPcm


class Resampler:
    """Resamples mono blocks, whose rate may change, to PCM at one rate."""

    def __init__(self, sample_rate: int, kept: KeptPcm) -> None:
        self._target = sample_rate
        self._source = sample_rate
        self._stream: soxr.ResampleStream | None = None
        self.kept = kept

    def push(self, mono: Waveform, sample_rate: int) -> None:
        if sample_rate != self._source:
            self.finish()
            self._source = sample_rate
            if sample_rate != self._target:
                self._stream = soxr.ResampleStream(sample_rate, self._target, 1, "float32", "HQ")
        self._keep(mono if self._stream is None else self._stream.resample_chunk(mono))

    def finish(self) -> None:
        if self._stream is not None:
            self._keep(self._stream.resample_chunk(np.empty(0, np.float32), last=True))
            self._stream = None

    def _keep(self, mono: Waveform) -> None:
        scaled = mono * np.float32(PCM_SCALE)
        np.rint(scaled, out=scaled)
        np.clip(scaled, -PCM_SCALE, PCM_SCALE - 1, out=scaled)
        self.kept.append(scaled.astype(np.int16))
