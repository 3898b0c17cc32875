"""Rates of the parts, and the ceiling."""

import pytest

from pipeline.bench.rates import PARTS, Arithmetic, PartTotals, ceiling_seconds, part_rates


def test_the_ceiling_adds_parts_that_share_the_cores_and_overlaps_the_others():
    parts = {
        "decode": {"real_time_factor": 1000.0},
        "features": {"real_time_factor": 500.0},
        "search": {"tracks_per_second": 10.0},
    }
    assert ceiling_seconds(parts, 10_000.0, 50, on_gpu=False) == pytest.approx(10 + 20 + 5)
    assert ceiling_seconds(parts, 10_000.0, 50, on_gpu=True) == pytest.approx(25)


def test_rates_are_medians_over_rounds():
    totals = dict.fromkeys(PARTS, PartTotals(num_workers=2, num_tracks=10, audio_seconds=600.0, num_chunks=200))
    rounds = [{"decode": seconds, "features": 2.0, "search": 1.0} for seconds in (9.0, 4.0, 5.0)]
    parts = part_rates(rounds, totals, Arithmetic(flops_per_second=4e9, flops_per_chunk=1e7))
    assert parts["num_rounds"] == 3
    assert parts["decode"] == {
        "tracks_per_second": 2.0,
        "real_time_factor": 120.0,
        "num_workers": 2,
        "num_tracks": 10,
        "worker_seconds_per_track": 1.0,
        "seconds_range": [4.0, 9.0],
    }
    assert parts["features"]["chunks_per_second"] == 100.0
    assert parts["features"]["chunks_per_second_per_worker"] == 50.0
    assert parts["features"]["matmul_peak_fraction"] == 0.25
