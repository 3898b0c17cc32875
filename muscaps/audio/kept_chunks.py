"""The PCM of a track: all of it, or evenly spaced chunks."""

import numpy as np
from numpy.typing import NDArray

from muscaps.audio.blocks import Pcm
from muscaps.audio.silence import LevelMeter


class KeptPcm:
    """The PCM of a track, all of it or evenly spaced chunks.

    The length of a track is known only at its end, because headers can be wrong. So every `stride`-th chunk is
    kept. When four times too many are kept, every other one is dropped and the stride doubles. At the end at least
    twice as many as needed remain, and evenly spaced ones are chosen from them.
    """

    def __init__(
        self, chunk_samples: int | None = None, max_chunks: int | None = None, *, sample_rate: int = 16_000
    ) -> None:
        self.chunk_samples = chunk_samples or 0
        self.max_chunks = max_chunks or 0  # 0: all of the track
        self._pending = bytearray()
        self._kept: dict[int, bytes] = {}  # by number of the chunk in the track, ascending
        self._stride = 1
        self._num_chunks = 0
        self.level = LevelMeter(sample_rate)

    def append(self, pcm: Pcm) -> None:
        if len(pcm) == 0:
            return
        if not self.level.is_decided:  # the rest of the track costs nothing
            self.level.add(pcm)
        self._pending += pcm.tobytes()
        if self.max_chunks:
            self._cut()

    def skip_to(self, index: int) -> None:
        """Skip chunks that are not decoded; the next one appended is number `index`."""
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
        """Return the PCM, the numbers of its chunks (None for the whole track) and the fraction of chunks kept."""
        if self._num_chunks <= self.max_chunks or not self.max_chunks:
            whole = bytearray().join([*self._kept.values(), self._pending]) if self._kept else self._pending
            return np.frombuffer(whole, np.int16), None, 1.0
        wanted = middles(self._num_chunks, self.max_chunks)
        nearest = (wanted + self._stride // 2) // self._stride * self._stride
        indices = np.minimum(nearest, max(self._kept)).tolist()
        pcm = np.frombuffer(bytearray().join([self._kept[index] for index in indices]), np.int16)
        return pcm, tuple(indices), len(indices) / self._num_chunks


def middles(num_chunks: int, max_chunks: int) -> NDArray[np.int_]:
    """Return the middle chunk of each of `max_chunks` equal parts of a track, (max_chunks,)."""
    parts = 2 * np.arange(max_chunks) + 1
    return parts * num_chunks // (2 * max_chunks)
