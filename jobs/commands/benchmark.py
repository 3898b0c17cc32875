"""`muscaps bench`: the stages alone, the whole job, and a reference program."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from jobs.options import AddressOption, EffortOption, GpusOption, PrecisionOption, WorkersPerGpuOption
from jobs.outcomes import explained
from jobs.progress import set_up_logging

DEMO_TRACKS = Path(__file__).parents[1] / "demo_tracks"
"""Tracks from which the default catalogue is made."""


def register(app: typer.Typer) -> None:
    """Add the command to the app."""
    app.command()(bench)


def bench(
    catalogue: Annotated[
        str | None,
        typer.Argument(help="CSV, TSV, JSONL, Parquet, folder or s3://; default: medleys of the demo tracks."),
    ] = None,
    checkpoint: Annotated[str | None, typer.Option(metavar="DIR", help="Model; default: the bundled one.")] = None,
    tracks: Annotated[
        str,
        typer.Option(
            metavar="N[,N...]", help="Tracks of the whole job; several numbers: one job each, the last is reported."
        ),
    ] = "60",
    beam_size: Annotated[int, typer.Option(metavar="N", help="Beam size; 1 is greedy decoding.")] = 5,
    effort: EffortOption = None,
    precision: PrecisionOption = "float32",
    repeats: Annotated[int, typer.Option(metavar="N", help="Measurements of each part; the median is reported.")] = 5,
    reference_words: Annotated[
        int, typer.Option(metavar="N", help="Words on which the reference program is timed; 0: not at all.")
    ] = 2,
    address: AddressOption = None,
    gpus: GpusOption = None,
    workers_per_gpu: WorkersPerGpuOption = 2,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Measure the stages alone and the whole job.

    The ceiling is the rate of decoding, features and search without overhead; the efficiency is the job's rate
    divided by it. A reference program encodes the audio again for every word, as the published one does. Takes
    some minutes and leaves no files.
    """

    set_up_logging(quiet=True)
    with explained():
        from muscaps.config import DecodingOptions
        from pipeline.bench.benchmark import benchmark
        from pipeline.bench.config import BenchmarkConfig
        from pipeline.output.effort import DEFAULT_EFFORT

        counts = _counts(tracks)
        options = DecodingOptions(beam_size=beam_size)
        with _catalogue(catalogue, max(counts)) as location:
            config = BenchmarkConfig(
                catalogue=location,
                checkpoint=checkpoint,
                options=options,
                effort=effort or DEFAULT_EFFORT,  # type: ignore[arg-type]  # checked there
                precision=precision,  # type: ignore[arg-type]  # checked there
                num_tracks=counts,
                repeats=repeats,
                reference_words=reference_words,
                address=address,
                gpus=gpus,
                workers_per_gpu=workers_per_gpu,
            )
            found = benchmark(config, report=lambda step: typer.echo(f"{step} ...", err=True))
    print(json.dumps(found, indent=2) if as_json else "\n".join(_report_lines(found)))


def _counts(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise ValueError(f"--tracks takes numbers like 60 or 30,60,120, not {text!r}") from None


@contextlib.contextmanager
def _catalogue(given: str | None, num_tracks: int) -> Iterator[str]:
    """Give the user's catalogue, or a temporary one of three-minute medleys."""
    if given is not None:
        yield given
        return
    import tempfile

    from pipeline.bench.medleys import write_medleys

    with tempfile.TemporaryDirectory(prefix="muscaps-medleys-") as folder:
        typer.echo(f"writing {num_tracks} three-minute MP3 medleys of the demo tracks ...", err=True)
        yield str(write_medleys(sorted(DEMO_TRACKS.glob("*.opus")), Path(folder), num_tracks))


def _report_lines(found: dict[str, Any]) -> Iterator[str]:
    machine, parts, job = found["machine"], found["parts"], found["job"]
    gpus = f", {len(machine['gpus'])} x {machine['gpus'][0]}" if machine["gpus"] else ""
    yield f"{machine['processor']}, {machine['cores']} cores{gpus}"
    yield f"{found['checkpoint']}, beam {found['beam_size']}, {found['effort']}, {found['precision']}"
    decode, features = parts["decode"], parts["features"]
    workers = f"{decode['num_workers']} workers decode, {features['num_workers']} caption"
    yield f"{workers}; medians of {parts['num_rounds']} rounds"
    yield ""
    yield f"{'':16}{'tracks/s':>10}{'x real time':>14}"
    lines = [(name, parts[name]) for name in ("decode", "features", "search")]
    for name, rates in [*lines, ("ceiling", found["ceiling"]), ("whole job", job)]:
        yield f"{name:16}{rates['tracks_per_second']:>10.2f}{rates['real_time_factor']:>14,.0f}"
    yield ""
    yield f"efficiency      {found['efficiency']:.2f} of the ceiling, over {job['captioned']} tracks, without start-up"
    yield f"start-up        {job['ray_start_seconds']:.1f} s for Ray, {job['startup_seconds']:.1f} s for the workers"
    yield "time per stage  " + ", ".join(f"{name} {share:.1%}" for name, share in job["stage_shares"].items())
    memory = ", ".join(f"{name} {size / 2**20:,.0f} MiB" for name, size in job["peak_memory_bytes"].items())
    yield f"peak memory     {memory}"
    rate, peak = features["chunks_per_second_per_worker"], features["matmul_gflop_per_second"]
    yield (
        f"features        {rate:,.0f} chunks/s and worker, {features['gflop_per_chunk']:.2f} GFLOP each: "
        f"{features['matmul_peak_fraction']:.0%} of {peak:,.0f} GFLOP/s of large matrix products"
    )
    if job["gpu_utilization"] is not None:
        yield f"GPUs busy       {job['gpu_utilization']:.0%} of the time"
    for one in found.get("by_size", []):
        each = f"{one['seconds_per_track']:.3f} s per track, {one['efficiency']:.2f} of the ceiling"
        yield f"{one['captioned']:>5} tracks    {each}"
    rates = ", ".join(f"{rate:,.0f} at {size}" for size, rate in found["search_captions_per_second"].items())
    yield f"beam search     captions/s on one thread by batch size: {rates}"
    if "reference" in found:
        plain = found["reference"]
        yield (
            f"reference       {plain['seconds_per_track']:.0f} s per track (from {plain['num_timed_passes']} of "
            f"{plain['num_passes']} passes over it): the job is {found['speedup_over_reference']:,.0f} times as fast"
        )
