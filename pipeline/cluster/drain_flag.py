"""A flag in the cluster that makes the decode tasks of a run begin no further track."""

import contextlib
import math
import time
from dataclasses import dataclass

from pipeline.cluster import ray_internals


def drain(run_id: str) -> None:
    """Tell the decode tasks of a run to begin no further track."""
    with contextlib.suppress(Exception):  # a cluster that no longer answers needs no telling
        ray_internals.put_key(_drain_key(run_id), b"1")


@dataclass(frozen=True)
class DrainFlag:
    """Asks the cluster, at most once a second a process, whether a run is to begin no further track."""

    run_id: str

    def __call__(self) -> bool:
        now = time.monotonic()
        asked, answer = _drain_answers.get(self.run_id, (-math.inf, False))
        if not answer and now - asked > 1.0:
            try:
                answer = ray_internals.has_key(_drain_key(self.run_id))
            except Exception:  # an unreachable cluster ends the task by itself
                answer = False
            _drain_answers[self.run_id] = (now, answer)
        return answer


_drain_answers: dict[str, tuple[float, bool]] = {}


def _drain_key(run_id: str) -> bytes:
    return f"muscaps:{run_id}:drain".encode()
