"""The PCM of a track: all of it, or evenly spaced chunks."""

import numpy as np
from numpy.typing import NDArray

from muscaps.audio.blocks import Pcm


class KeptPcm:
    """The PCM of a track, all of it or evenly spaced chunks.

    How long a track is shows only at its end, whatever its header says. So every `stride`-th chunk is kept,
    and whenever four times too many have gathered, every other one of them goes and the stride doubles. What
    remains is at least twice what is wanted, to choose from evenly.
    """

    def __init__(self, chunk_samples: int | None = None, max_chunks: int | None = None) -> None:
        self.chunk_samples = chunk_samples or 0
        self.max_chunks = max_chunks or 0  # 0: all of the track
        self._pending = bytearray()
        self._kept: dict[int, bytes] = {}  # by which chunk of the track it is, ascending
        self._stride = 1
        self._num_chunks = 0
        self.peak = 0

    def append(self, pcm: Pcm) -> None:
        if len(pcm) == 0:
            return
        self.peak = max(self.peak, int(pcm.max()), -int(pcm.min()))
        self._pending += pcm.tobytes()
        if self.max_chunks:
            self._cut()

    def skip_to(self, index: int) -> None:
        """Pass over chunks that are not decoded, up to the one that comes next."""
        self._num_chunks = index

    def _cut(self) -> None:
        chunk_bytes = 2 * self.chunk_samples
        num_ready = len(self._pending) // chunk_bytes
        for start in range(0, num_ready * chunk_bytes, chunk_bytes):
            if self._num_chunks % self._stride == 0:
                self._kept[self._num_chunks] = bytes(self._pending[start : start + chunk_bytes])
                if len(self._kept) > 4 * self.max_chunks:
                    self._kept = dict(list(self._kept.items())[::2])
                    self._stride *= 2
            self._num_chunks += 1
        del self._pending[: num_ready * chunk_bytes]

    def finish(self) -> tuple[Pcm, tuple[int, ...] | None, float]:
        """The PCM, which chunks it holds (None: the whole track) and their share of the track."""
        if self._num_chunks <= self.max_chunks or not self.max_chunks:
            whole = bytearray().join([*self._kept.values(), self._pending]) if self._kept else self._pending
            return np.frombuffer(whole, np.int16), None, 1.0
        wanted = middles(self._num_chunks, self.max_chunks)
        nearest = (wanted + self._stride // 2) // self._stride * self._stride
        indices = np.minimum(nearest, max(self._kept)).tolist()
        pcm = np.frombuffer(bytearray().join([self._kept[index] for index in indices]), np.int16)
        return pcm, tuple(indices), len(indices) / self._num_chunks


def middles(num_chunks: int, max_chunks: int) -> NDArray[np.int_]:
    """The chunk in the middle of each of max_chunks equal parts of a track."""
    parts = 2 * np.arange(max_chunks) + 1
    return parts * num_chunks // (2 * max_chunks)
