"""How many tracks make up a task and a batch."""

import pytest

from pipeline.captioning.dataset import (
    BLOCK_BYTES,
    GPU_BATCH_TRACKS,
    GPU_BLOCK_BYTES,
    TRACKS_PER_TASK,
    block_bytes,
    tracks_per_batch,
    tracks_per_task,
)


@pytest.mark.parametrize(
    ("num_tracks", "num_cpus", "expected"), [(1, 2, 1), (16, 2, 2), (60, 2, 7), (10_000, 2, TRACKS_PER_TASK)]
)
def test_every_core_gets_at_least_four_decode_tasks(num_tracks: int, num_cpus: int, expected: int) -> None:
    assert tracks_per_task(num_tracks, num_cpus) == expected


@pytest.mark.parametrize(
    ("num_tracks", "num_actors", "expected"), [(3, 2, 1), (80, 2, 10), (10_000, 2, GPU_BATCH_TRACKS)]
)
def test_every_actor_on_a_gpu_gets_at_least_four_batches(num_tracks: int, num_actors: int, expected: int) -> None:
    assert tracks_per_batch(num_tracks, num_actors) == expected


def test_an_isolated_round_processes_one_track_at_a_time() -> None:
    assert tracks_per_task(10_000, 2, isolated=True) == tracks_per_batch(10_000, 2, isolated=True) == 1


def test_gpus_get_larger_blocks() -> None:
    assert (block_bytes(0), block_bytes(2)) == (BLOCK_BYTES, GPU_BLOCK_BYTES)
