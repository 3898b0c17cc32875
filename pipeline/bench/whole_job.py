"""The whole job, as `muscaps caption` runs it, and the comparison of its time with the ceiling."""

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.bench.config import BenchmarkConfig
from pipeline.bench.hardware import GpuUtilization
from pipeline.bench.rates import ceiling_seconds, rates
from pipeline.captioning import CaptioningConfig, RunSummary, caption_catalogue


@dataclass(frozen=True, kw_only=True)
class JobRun:
    """One measured run of the whole job."""

    summary: RunSummary
    startup_seconds: float
    """Time until the first worker began to caption its first batch."""
    seconds: float
    """Time from then to the end."""
    early_audio_seconds: float
    """Length of the tracks that were decoded during start-up, on cores that were otherwise idle."""
    gpu_utilization: float | None
    """Mean utilization of the GPUs, 0 to 1; None if not measured."""


def run_job(config: BenchmarkConfig, directory: Path, num_tracks: int) -> JobRun:
    """Caption tracks as `muscaps caption` does, with a temporary folder as output."""
    arrivals: list[tuple[float, pa.Table]] = []

    def record(rows: pa.Table) -> None:
        costs = ["feature_seconds", "search_seconds", "decoded_at", "decoded_duration_s"]
        arrivals.append((time.time(), rows.select(costs)))

    with tempfile.TemporaryDirectory(prefix="muscaps-bench-") as output, GpuUtilization() as gpus:
        began = time.time()
        summary = caption_catalogue(
            CaptioningConfig(
                catalogue=config.catalogue,
                output=output,
                checkpoint=str(directory),
                options=config.options,
                effort=config.effort,
                precision=config.precision,
                limit=num_tracks,
                max_error_rate=1.0,
                address=config.address,
                gpus=config.gpus,
                workers_per_gpu=config.workers_per_gpu,
            ),
            on_results=record,
        )
        ended = time.time()
    if not summary.captioned or not arrivals:
        raise RuntimeError(f"the job captioned no tracks: {summary.reason or summary.failures_by_reason}")
    # The first worker began when its first batch was finished, minus the time of that batch.
    first, rows = arrivals[0]
    start = max(began, first - sum(pc.sum(rows[f"{name}_seconds"]).as_py() or 0.0 for name in ("feature", "search")))
    decoded = pa.concat_tables([rows for _, rows in arrivals])
    early = decoded.filter(pc.less(decoded["decoded_at"], start))
    return JobRun(
        summary=summary,
        startup_seconds=start - began,
        seconds=ended - start,
        early_audio_seconds=pc.sum(early["decoded_duration_s"]).as_py() or 0.0,
        gpu_utilization=gpus.utilization_since(start),
    )


def job_result(run: JobRun, parts: dict[str, Any], *, on_gpu: bool) -> dict[str, Any]:
    """Compare a run with the ceiling; return JSON values."""
    summary, total = run.summary, sum(run.summary.stage_seconds.values())
    # Tracks that were decoded during start-up count as if they had been decoded afterwards.
    startup_decode_seconds = run.early_audio_seconds / parts["decode"]["real_time_factor"]
    seconds = run.seconds + startup_decode_seconds
    ceiling = ceiling_seconds(parts, summary.audio_seconds, summary.captioned, on_gpu=on_gpu)
    return rates(summary.captioned, summary.audio_seconds, seconds) | {
        "captioned": summary.captioned,
        "failed": summary.failed,
        "audio_seconds": summary.audio_seconds,
        "startup_seconds": round(run.startup_seconds, 2),
        "seconds": round(seconds, 2),
        "startup_decode_seconds": round(startup_decode_seconds, 2),
        "seconds_per_track": round(seconds / summary.captioned, 4),
        "ceiling_seconds": ceiling,
        "efficiency": round(ceiling / seconds, 3),
        "stage_seconds": summary.stage_seconds,
        "stage_shares": {name: round(value / total, 3) for name, value in summary.stage_seconds.items()},
        "peak_memory_bytes": summary.peak_memory_bytes,
        "gpu_utilization": run.gpu_utilization,
    }
