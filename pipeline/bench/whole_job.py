"""The whole job, run as `muscaps caption` runs it, and what it took beside the least it could have taken."""

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.bench.config import BenchmarkConfig
from pipeline.bench.hardware import GpuWatch
from pipeline.bench.parts import ceiling_seconds, rates
from pipeline.captioning import CaptioningConfig, RunSummary, caption_catalogue


@dataclass(frozen=True, kw_only=True)
class JobRun:
    """One run of the whole job."""

    summary: RunSummary
    startup_seconds: float
    """Until the first worker began to caption."""
    seconds: float
    """From there to the end."""
    early_audio_seconds: float
    """Length of the tracks that were decoded before: there were idle cores."""
    gpu_busy: float | None
    """Share of the time a GPU computed."""


def run_job(config: BenchmarkConfig, directory: Path, num_tracks: int) -> JobRun:
    """Caption tracks as `muscaps caption` does, into a folder that is thrown away."""
    arrivals: list[tuple[float, pa.Table]] = []

    def note(rows: pa.Table) -> None:
        costs = ["feature_seconds", "search_seconds", "decoded_at", "decoded_duration_s"]
        arrivals.append((time.time(), rows.select(costs)))

    with tempfile.TemporaryDirectory(prefix="muscaps-bench-") as output, GpuWatch() as gpus:
        began = time.time()
        summary = caption_catalogue(
            CaptioningConfig(
                catalogue=config.catalogue,
                output=output,
                checkpoint=str(directory),
                options=config.options,
                precision=config.precision,
                limit=num_tracks,
                max_error_rate=1.0,
                address=config.address,
                gpus=config.gpus,
                workers_per_gpu=config.workers_per_gpu,
            ),
            on_results=note,
        )
        ended = time.time()
    if not summary.captioned or not arrivals:
        raise RuntimeError(f"the job captioned nothing: {summary.reason or summary.failures_by_reason}")
    # The first worker began when its first batch came out, less the time that batch took.
    first, rows = arrivals[0]
    start = max(began, first - sum(pc.sum(rows[f"{name}_seconds"]).as_py() or 0.0 for name in ("feature", "search")))
    decoded = pa.concat_tables([rows for _, rows in arrivals])
    early = decoded.filter(pc.less(decoded["decoded_at"], start))
    return JobRun(
        summary=summary,
        startup_seconds=start - began,
        seconds=ended - start,
        early_audio_seconds=pc.sum(early["decoded_duration_s"]).as_py() or 0.0,
        gpu_busy=gpus.busy_since(start),
    )


def job_result(run: JobRun, parts: dict[str, Any], on_gpu: bool) -> dict[str, Any]:
    """What a run took, beside the least it could have taken."""
    summary, busy = run.summary, sum(run.summary.stage_seconds.values())
    # What start-up has decoded already is not work saved.
    seconds = run.seconds + run.early_audio_seconds / parts["decode"]["times_real_time"]
    ceiling = ceiling_seconds(parts, summary.audio_seconds, summary.captioned, on_gpu)
    return rates(summary.captioned, summary.audio_seconds, seconds) | {
        "captioned": summary.captioned,
        "failed": summary.failed,
        "audio_seconds": summary.audio_seconds,
        "startup_seconds": round(run.startup_seconds, 2),
        "seconds": round(seconds, 2),
        "of_them_for_what_was_decoded_during_startup": round(seconds - run.seconds, 2),
        "seconds_per_track": round(seconds / summary.captioned, 4),
        "ceiling_seconds": ceiling,
        "efficiency": round(ceiling / seconds, 3),
        "stage_seconds": summary.stage_seconds,
        "stage_shares": {name: round(value / busy, 3) for name, value in summary.stage_seconds.items()},
        "peak_memory_bytes": summary.peak_memory_bytes,
        "gpu_busy": run.gpu_busy,
    }
