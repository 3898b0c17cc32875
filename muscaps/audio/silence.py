"""How much of a track is audible.

A track is silent if almost nothing of it is louder than `AUDIBLE_DBFS`: digital silence, dither, the noise of an
open input, a constant offset, a single click in a silent file. A caption of such a track would be made up. The
loudest 0.1 s of 267 real tracks lay between -34 and 0 dBFS, 20 dB and more above the threshold.
"""

import numpy as np

from muscaps.audio.blocks import PCM_SCALE, Pcm

AUDIBLE_DBFS = -55.0
"""Level from which a block counts as audible: RMS around its mean, in dB below full scale."""
AUDIBLE_RMS = PCM_SCALE * 10 ** (AUDIBLE_DBFS / 20)  # 58.3 steps of 16-bit audio
BLOCKS_PER_SECOND = 10  # a block is 0.1 s, shorter than a note
MIN_AUDIBLE_SECONDS = 0.5
"""A track with as much audible time is not silent, however long it is."""
MIN_AUDIBLE_SHARE = 0.05
"""Nor is a track of which this share is audible, so that short samples of one beat pass."""
MIN_AUDIBLE_SHARE_OF_CHUNK = 1 / 6
"""A last chunk with less audible sound than this, 0.5 s of 3 s, is left out."""


class LevelMeter:
    """Counts the audible blocks of mono 16-bit PCM."""

    def __init__(self, sample_rate: int) -> None:
        self._block_samples = max(1, sample_rate // BLOCKS_PER_SECOND)
        self._rest = np.empty(0, np.int16)
        self._audible = self._blocks = 0
        self.peak = 0

    def add(self, pcm: Pcm) -> None:
        """Add PCM, (samples,)."""
        if not len(pcm):
            return
        self.peak = max(self.peak, int(pcm.max()), -int(pcm.min()))
        if len(self._rest):
            pcm = np.concatenate([self._rest, pcm])
        num_blocks = len(pcm) // self._block_samples
        whole = num_blocks * self._block_samples
        self._rest = pcm[whole:].copy()
        self._count(pcm[:whole].reshape(num_blocks, self._block_samples))

    def _count(self, blocks: Pcm) -> None:
        samples = blocks.astype(np.float32)
        power = np.einsum("bs,bs->b", samples, samples) / self._block_samples - samples.mean(axis=1) ** 2
        self._audible += int((power >= AUDIBLE_RMS**2).sum())
        self._blocks += len(blocks)

    @property
    def audible_seconds(self) -> float:
        """Seconds louder than `AUDIBLE_DBFS`; a rest shorter than a block does not count."""
        return self._audible / BLOCKS_PER_SECOND

    @property
    def audible_share(self) -> float:
        """Fraction louder than `AUDIBLE_DBFS`, 0 to 1; less than a block is judged by its peak."""
        return self._audible / self._blocks if self._blocks else float(self.peak >= AUDIBLE_RMS)

    @property
    def is_decided(self) -> bool:
        """Whether the track is audible whatever follows; what follows need not be added then."""
        return self.audible_seconds >= MIN_AUDIBLE_SECONDS

    @property
    def is_silent(self) -> bool:
        """Whether too little is audible to describe."""
        if not self._blocks:
            return self.peak < AUDIBLE_RMS
        return not self.is_decided and self._audible < MIN_AUDIBLE_SHARE * self._blocks


def num_chunks_before_silence(pcm: Pcm, chunk_samples: int, sample_rate: int) -> int:
    """Return how many chunks are left without the almost silent ones at the end; at least one.

    Args:
        pcm: Mono signal, (samples,).
        chunk_samples: Samples per chunk.
        sample_rate: Rate of the signal in Hz.
    """
    num_chunks = len(pcm) // chunk_samples
    while num_chunks > 1:
        meter = LevelMeter(sample_rate)
        meter.add(pcm[(num_chunks - 1) * chunk_samples : num_chunks * chunk_samples])
        if meter.audible_share >= MIN_AUDIBLE_SHARE_OF_CHUNK:
            break
        num_chunks -= 1
    return max(1, num_chunks)
