"""Rates of the parts, and the ceiling of the whole job that follows from them."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

PARTS = ("decode", "features", "search")
"""The parts of the job that are measured separately."""


@dataclass(frozen=True, kw_only=True)
class PartTotals:
    """Amounts that all workers of a part process in one measurement."""

    num_workers: int
    """Number of workers."""
    num_tracks: int
    """Number of tracks of all workers."""
    audio_seconds: float
    """Length of those tracks."""
    num_chunks: int = 0
    """Number of chunks of those tracks; only for features."""


@dataclass(frozen=True, kw_only=True)
class Arithmetic:
    """The rate of the processors and the work of the audio network."""

    flops_per_second: float
    """FLOP per second of all processors in large matrix products."""
    flops_per_chunk: float
    """FLOP of the features of one chunk."""


def part_rates(
    rounds: Sequence[Mapping[str, float]], totals: Mapping[str, PartTotals], arithmetic: Arithmetic
) -> dict[str, Any]:
    """Convert measurements to rates, as JSON values.

    Args:
        rounds: Seconds of each part, one measurement per item; the median is used.
        totals: Amounts that the workers of each part process.
        arithmetic: Rate of matrix products, for comparison with the features.
    """
    parts: dict[str, Any] = {}
    for name in PARTS:
        seconds, total = [one[name] for one in rounds], totals[name]
        median = statistics.median(seconds)
        parts[name] = rates(total.num_tracks, total.audio_seconds, median) | {
            "num_workers": total.num_workers,
            "num_tracks": total.num_tracks,
            "worker_seconds_per_track": round(median * total.num_workers / total.num_tracks, 4),
            "seconds_range": [round(min(seconds), 3), round(max(seconds), 3)],
        }
    features = totals["features"]
    rate = features.num_chunks / statistics.median(one["features"] for one in rounds)
    parts["features"] |= {
        "chunks_per_second": round(rate, 1),
        "chunks_per_second_per_worker": round(rate / features.num_workers, 1),
        "gflop_per_chunk": round(arithmetic.flops_per_chunk / 1e9, 3),
        "matmul_gflop_per_second": round(arithmetic.flops_per_second / 1e9, 1),
        "matmul_peak_fraction": round(rate * arithmetic.flops_per_chunk / arithmetic.flops_per_second, 3),
    }
    return parts | {"num_rounds": len(rounds)}


def rates(num_tracks: float, audio_seconds: float, seconds: float) -> dict[str, float]:
    """Return tracks per second, and seconds of audio per second."""
    return {
        "tracks_per_second": round(num_tracks / seconds, 4),
        "real_time_factor": round(audio_seconds / seconds, 1),
    }


def ceiling_seconds(parts: Mapping[str, Any], audio_seconds: float, num_tracks: int, *, on_gpu: bool) -> float:
    """Return the minimum time of a job in seconds, computed from the rates of the parts.

    Without GPUs all parts share the cores, so that their times add up. With GPUs, decoding runs at the same time as the
    rest. Decoding and features are scaled by the length of the audio, the search by the number of tracks.

    Args:
        parts: The result of `part_rates`.
        audio_seconds: Total length of the tracks.
        num_tracks: Number of tracks.
        on_gpu: Whether features and search run on GPUs.
    """
    decode = audio_seconds / parts["decode"]["real_time_factor"]
    features = audio_seconds / parts["features"]["real_time_factor"]
    rest = features + num_tracks / parts["search"]["tracks_per_second"]
    return round(float(max(decode, rest) if on_gpu else decode + rest), 3)
