"""`muscaps benchmark`: the rates of the parts, of the whole job and of a plain program on this machine.

Conventions:

- Seconds are wall-clock seconds. A rate is that of all workers together.
- The parts of the job (decode, features, search) are measured separately, with as many workers as the job has. Their
  medians are used. Half of the rounds run before the whole job and half after it, so that a machine that becomes slower
  affects both.
- Start-up, until the first worker captions, is reported separately and is in no rate. Decoding during start-up is added
  to the time of the job as if it had been done afterwards.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipeline.bench.config import BenchmarkConfig
from pipeline.bench.hardware import describe_machine
from pipeline.bench.parts import PartWorkers
from pipeline.bench.rates import part_rates, rates
from pipeline.bench.reference import time_reference
from pipeline.bench.search_batches import search_rates
from pipeline.bench.whole_job import JobRun, job_result, run_job
from pipeline.captioning.checkpoint_transfer import local_checkpoint
from pipeline.catalogue import Catalogue, read_catalogue
from pipeline.cluster.session import ray_session

_SIZE_KEYS = ("captioned", "seconds", "seconds_per_track", "efficiency", "peak_memory_bytes")

Report = Callable[[str], None]
"""Called with the current step, in words."""


def benchmark(config: BenchmarkConfig, report: Report = lambda step: None) -> dict[str, Any]:
    """Measure the parts, the whole job and the plain program, and compute the ceiling of the job from the parts.

    Args:
        config: Configuration of the benchmark.
        report: Called with the current step, in words.

    Returns:
        The measurements as JSON values; `efficiency` is job / ceiling, `speedup_over_reference` is job / reference.

    Raises:
        CatalogueError: The catalogue cannot be used.
        CheckpointError: The checkpoint cannot be read.
        ValueError: No track can be decoded.
        RuntimeError: The job failed.
    """
    catalogue = read_catalogue(config.catalogue)
    with local_checkpoint(config.checkpoint) as directory:
        result, on_gpu = _measure_on_ray(config, catalogue, directory, report)
        report("beam search by batch size")
        result["search_captions_per_second"] = search_rates(directory, config.options, config.repeats, on_gpu=on_gpu)
        if config.reference_words:
            report("the plain program")
            reference = time_reference(config, catalogue, directory)
            result["reference"] = reference
            result["speedup_over_reference"] = round(
                result["job"]["real_time_factor"] / (reference["audio_seconds"] / reference["seconds_per_track"]), 1
            )
    return result


def _measure_on_ray(
    config: BenchmarkConfig, catalogue: Catalogue, directory: Path, report: Report
) -> tuple[dict[str, Any], bool]:
    """Measure the parts and the whole job; return the result and whether GPUs were used."""
    report("starting Ray")
    started = time.perf_counter()
    with ray_session(config.address):
        ray_seconds = time.perf_counter() - started
        report("loading the checkpoint in every worker")
        workers = PartWorkers(config, catalogue, directory)
        num_before = (config.repeats + 1) // 2
        report("decode, features and search, measured separately")
        rounds = [workers.measure() for _ in range(num_before)]
        workers.stop()
        runs = []
        for count in config.num_tracks:
            report(f"the whole job, {min(count, catalogue.num_tracks)} tracks")
            runs.append(run_job(config, directory, count))
        if config.repeats > num_before:
            report("decode, features and search, second half of the rounds")
            workers.start()
            rounds += [workers.measure() for _ in range(config.repeats - num_before)]
            workers.stop()
    return _result(config, workers, rounds, runs, ray_seconds), workers.num_gpus > 0


def _result(
    config: BenchmarkConfig,
    workers: PartWorkers,
    rounds: list[dict[str, float]],
    runs: list[JobRun],
    ray_seconds: float,
) -> dict[str, Any]:
    parts = part_rates(rounds, workers.totals, workers.arithmetic)
    jobs = [job_result(run, parts, on_gpu=workers.num_gpus > 0) for run in runs]
    job = jobs[-1]
    result: dict[str, Any] = {
        "machine": describe_machine(workers.num_gpus),
        "checkpoint": workers.model_id,
        "beam_size": config.options.beam_size,
        "effort": config.effort,
        "precision": config.precision,
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "parts": parts,
        "ceiling": rates(job["captioned"], job["audio_seconds"], job["ceiling_seconds"]),
        "job": job | {"ray_start_seconds": round(ray_seconds, 2)},
        "efficiency": job["efficiency"],
    }
    if len(jobs) > 1:
        result["by_size"] = [{name: one[name] for name in _SIZE_KEYS} for one in jobs]
    return result
