"""What this machine could do, how near the whole job comes, and what a plain program would take.

Conventions: seconds are wall seconds; a rate counts all workers together. The parts of the job (decode,
features, search) are measured alone but with as many workers at once as the job has, alternating, and medians
are taken; half of the rounds run before the whole job and half after it, so that a machine that slows down
slows both. Start-up, until the first worker captions, is reported apart and belongs to no rate; what was decoded
meanwhile is added to the job's time as if it had been done afterwards.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from pipeline.bench.config import BenchmarkConfig
from pipeline.bench.hardware import describe_machine
from pipeline.bench.parts import PartWorkers, part_rates, rates
from pipeline.bench.reference import time_reference
from pipeline.bench.search_batches import search_by_batch
from pipeline.bench.whole_job import job_result, run_job
from pipeline.captioning.checkpoint_transfer import local_checkpoint
from pipeline.catalogue import read_catalogue
from pipeline.cluster.session import ray_session


def benchmark(config: BenchmarkConfig, say: Callable[[str], None] = lambda step: None) -> dict[str, Any]:
    """Measure the parts, the ceiling they set, the whole job and the plain program, in one run.

    Args:
        config: What to measure.
        say: Told what goes on.

    Returns:
        What was measured, ready for JSON; `efficiency` is job / ceiling, `speedup_over_reference` job / reference.

    Raises:
        CatalogueError: The catalogue cannot be used.
        CheckpointError: The checkpoint cannot be read.
        ValueError: There is no track that can be decoded.
        RuntimeError: The job failed.
    """
    catalogue = read_catalogue(config.catalogue)
    with local_checkpoint(config.checkpoint) as directory:
        say("starting Ray")
        began = time.perf_counter()
        with ray_session(config.address):
            ray_seconds = time.perf_counter() - began
            say("loading the checkpoint in every worker")
            workers = PartWorkers(config, catalogue, directory)
            before = (config.repeats + 1) // 2
            say("decode, features and search, each alone")
            rounds = [workers.measure() for _ in range(before)]
            workers.stop()
            runs = []
            for count in config.num_tracks:
                say(f"the whole job, {min(count, catalogue.num_tracks)} tracks")
                runs.append(run_job(config, directory, count))
            say("decode, features and search once more")
            workers.start()
            rounds += [workers.measure() for _ in range(config.repeats - before)]
            workers.stop()
            on_gpu = workers.num_gpus > 0
        parts = part_rates(rounds, workers.totals, workers.pace)
        jobs = [job_result(run, parts, on_gpu) for run in runs]
        job = jobs[-1]
        found: dict[str, Any] = {
            "machine": describe_machine(workers.num_gpus),
            "checkpoint": workers.model_id,
            "beam_size": config.options.beam_size,
            "precision": config.precision,
            "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "parts": parts,
            "ceiling": rates(job["captioned"], job["audio_seconds"], job["ceiling_seconds"]),
            "job": job | {"ray_start_seconds": round(ray_seconds, 2)},
            "efficiency": job["efficiency"],
        }
        if len(jobs) > 1:
            found["by_size"] = [
                {
                    name: one[name]
                    for name in ("captioned", "seconds", "seconds_per_track", "efficiency", "peak_memory_bytes")
                }
                for one in jobs
            ]
        say("beam search by batch size")
        found["search_by_batch"] = search_by_batch(directory, config.options, config.repeats, on_gpu=on_gpu)
        if config.reference_words:
            say("the plain program")
            reference = time_reference(config, catalogue, directory)
            found["reference"] = reference
            found["speedup_over_reference"] = round(
                job["times_real_time"] / (reference["audio_seconds"] / reference["seconds_per_track"]), 1
            )
    return found
