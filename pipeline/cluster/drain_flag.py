"""A flag in the cluster that stops the decode tasks of a run from beginning another track."""

import contextlib
import math
import time
from dataclasses import dataclass

from pipeline.cluster import ray_internals

READ_SECONDS = 1.0
"""How often a process reads the flag."""


def set_drain_flag(run_id: str) -> None:
    """Stop the decode tasks of a run from beginning another track."""
    with contextlib.suppress(Exception):  # a cluster that no longer answers has no tasks to stop
        ray_internals.put_key(_key(run_id), b"1")


@dataclass(frozen=True)
class DrainFlag:
    """Whether a run is being drained; a process reads the flag at most once a second."""

    run_id: str

    def __call__(self) -> bool:
        now = time.monotonic()
        read_at, is_set = _last_reads.get(self.run_id, (-math.inf, False))
        if not is_set and now - read_at > READ_SECONDS:
            try:
                is_set = ray_internals.has_key(_key(self.run_id))
            except Exception:  # an unreachable cluster ends the task by itself
                is_set = False
            _last_reads[self.run_id] = (now, is_set)
        return is_set


_last_reads: dict[str, tuple[float, bool]] = {}
"""Run -> when this process last read its flag, and what it was."""


def _key(run_id: str) -> bytes:
    return f"muscaps:{run_id}:drain".encode()
