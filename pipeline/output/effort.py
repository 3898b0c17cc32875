"""How much of a track a caption is made from, and which finished captions are enough for a run.

Conventions: an effort is a number of evenly spaced chunks. A caption of at least the effort that a run asks for is
finished work; a caption of less is made again. Captions of releases without the column `effort` were made from 20
chunks and count as thorough.
"""

from collections.abc import Mapping
from typing import Literal, get_args

Effort = Literal["quick", "balanced", "thorough"]
EFFORTS: tuple[Effort, ...] = get_args(Effort)
"""From the least to the most."""
EFFORT_CHUNKS: Mapping[Effort, int] = {"quick": 5, "balanced": 7, "thorough": 20}
"""Chunks of a track, chosen with `tests/benchmark/effort_truth.py`; 20 chunks of 3 s are a minute."""
DEFAULT_EFFORT: Effort = "balanced"
"""The least whose captions are as true as those of 20 chunks, within one standard error (docs/speed.md)."""


def check_effort(effort: str) -> None:
    """Raise ValueError for an unknown effort."""
    if effort not in EFFORTS:
        raise ValueError(f"effort must be {', '.join(EFFORTS[:-1])} or {EFFORTS[-1]}, not {effort!r}")


def effort_of(num_chunks: int) -> Effort:
    """Return the most effort that a maximum number of chunks reaches; quick if it reaches none."""
    reached = [effort for effort in EFFORTS if num_chunks >= EFFORT_CHUNKS[effort]]
    return reached[-1] if reached else EFFORTS[0]


def at_least(effort: Effort) -> tuple[Effort, ...]:
    """Return the efforts whose captions are enough for a run that asks for `effort`."""
    return EFFORTS[EFFORTS.index(effort) :]
