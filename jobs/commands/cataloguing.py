"""Commands that fill an output and look after it: `muscaps caption`, `retry`, `verify`, `compact`, `status`."""

import json
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jobs.outcomes import DONE, DRAINED, FAILED, FAILED_TRACKS, explained

if TYPE_CHECKING:
    import pyarrow as pa

    from pipeline.captioning import CaptioningConfig, RunSummary

CatalogueArgument = Annotated[str, typer.Argument(help="CSV, TSV, JSONL, Parquet, folder or s3://")]
OutputArgument = Annotated[str, typer.Argument(help="Folder or s3:// prefix of the results.")]
CheckpointOption = Annotated[str | None, typer.Option(metavar="DIR", help="Model; default: the bundled one.")]
BeamOption = Annotated[int, typer.Option(metavar="N", help="Hypotheses kept; 1 is greedy.")]
PrecisionOption = Annotated[
    str, typer.Option(metavar="TYPE", help="float32; bfloat16 or, on a GPU, tf32 where the network is faster so.")
]
WorkersPerGpuOption = Annotated[int, typer.Option(metavar="N", help="Captioning workers that share a GPU.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


def register(app: typer.Typer) -> None:
    """Add the commands to the app."""
    for command in (caption, retry, verify, compact, status):
        app.command()(command)


def caption(
    catalogue: CatalogueArgument,
    output: OutputArgument,
    checkpoint: CheckpointOption = None,
    beam_size: BeamOption = 5,
    segments: Annotated[
        float | None, typer.Option(metavar="S", help="Also caption every stretch of S seconds.")
    ] = None,
    alternatives: Annotated[int, typer.Option(metavar="K", help="Other hypotheses to keep, best first.")] = 0,
    attention: Annotated[bool, typer.Option("--attention", help="Keep attention weights.")] = False,
    save_features: Annotated[
        bool, typer.Option("--save-features", help="Keep features, for search and training.")
    ] = False,
    max_chunks: Annotated[int, typer.Option(metavar="N", help="Chunks heard of a long track.")] = 600,
    decode_only_needed: Annotated[
        bool, typer.Option("--decode-only-needed", help="Seek to those chunks instead of decoding all.")
    ] = False,
    precision: PrecisionOption = "float32",
    limit: Annotated[int | None, typer.Option(metavar="N", help="Do at most N tracks.")] = None,
    max_error_rate: Annotated[float, typer.Option(metavar="R", help="Stop when more than this share fails.")] = 0.2,
    max_runtime: Annotated[float | None, typer.Option(metavar="S", help="Drain and end after S seconds.")] = None,
    address: Annotated[str | None, typer.Option(metavar="URL", help="Ray cluster; default: start one.")] = None,
    gpus: Annotated[int | None, typer.Option(metavar="N", help="GPUs to use; default: all.")] = None,
    workers_per_gpu: WorkersPerGpuOption = 2,
    as_json: JsonOption = False,
) -> None:
    """Caption every track of a catalogue; repeat it to do the rest.

    Tracks that OUTPUT holds for this model and beam are skipped; Ctrl-C and SIGTERM write what is finished.
    Exits 0 done, 1 failed, 2 wrong use, 3 done but some tracks failed, 75 interrupted.
    """
    with explained():
        from muscaps.config import DecodingOptions
        from pipeline.captioning import CaptioningConfig

        config = CaptioningConfig(
            catalogue=catalogue,
            output=output,
            checkpoint=checkpoint,
            options=DecodingOptions(
                beam_size=beam_size,
                num_alternatives=alternatives,
                attention=attention,
                segment_seconds=segments,
            ),
            save_features=save_features,
            max_chunks=max_chunks,
            decode_only_needed=decode_only_needed,
            precision=precision,  # type: ignore[arg-type]  # checked there
            limit=limit,
            max_error_rate=max_error_rate,
            max_runtime_s=max_runtime,
            address=address,
            gpus=gpus,
            workers_per_gpu=workers_per_gpu,
        )
        summary = run_captioning(config, quiet=as_json)
    _tell(summary, as_json)


def retry(
    catalogue: CatalogueArgument,
    output: OutputArgument,
    checkpoint: CheckpointOption = None,
    address: Annotated[str | None, typer.Option(metavar="URL", help="Ray cluster; default: start one.")] = None,
    gpus: Annotated[int | None, typer.Option(metavar="N", help="GPUs to use; default: all.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Try failed tracks again, with the settings of the last run."""
    with explained():
        from jobs.recipes import retry_failed

        summary = run_captioning(
            retry_failed(catalogue, output, checkpoint=checkpoint, address=address, gpus=gpus), quiet=as_json
        )
    _tell(summary, as_json)


def run_captioning(
    config: "CaptioningConfig", *, quiet: bool, on_results: "Callable[[pa.Table], None] | None" = None
) -> "RunSummary":
    """Run a captioning job with progress on stderr."""
    from jobs.progress import set_up_logging, shown_progress
    from pipeline.captioning import caption_catalogue

    set_up_logging(quiet=quiet)
    with shown_progress(quiet=quiet) as show:
        return caption_catalogue(config, on_progress=show, on_results=on_results)


def _tell(summary: "RunSummary", as_json: bool) -> None:
    """Say what a run did, and exit accordingly."""
    from dataclasses import asdict

    if as_json:
        print(json.dumps({**asdict(summary), "real_time_factor": round(summary.real_time_factor, 2)}, indent=2))
    else:
        print("\n".join(_in_words(summary)))
    raise typer.Exit(exit_status(summary))


def exit_status(summary: "RunSummary") -> int:
    """The exit status a run deserves."""
    if summary.status == "drained":
        return DRAINED
    if summary.status not in ("done", "nothing_to_do"):
        return FAILED
    return FAILED_TRACKS if summary.failed or summary.already_failed else DONE


def _in_words(summary: "RunSummary") -> Iterator[str]:
    from jobs.progress import duration

    captions = f"{summary.output.rstrip('/')}/captions"
    if summary.status == "nothing_to_do":
        yield f"Nothing to do: {captions} has {summary.already_captioned:,} of {summary.num_tracks:,} tracks"
        if summary.already_failed:
            yield f"and failures/ says why {summary.already_failed:,} failed; `muscaps retry` tries those again."
        return
    yield (
        f"{summary.captioned:,} captioned, {summary.failed:,} failed, {summary.left:,} left of "
        f"{summary.to_do:,} tracks, in {duration(summary.wall_seconds)} "
        f"({summary.real_time_factor:.0f} times real time)"
    )
    if summary.already_captioned or summary.already_failed:
        yield f"{summary.already_captioned:,} had a caption before, {summary.already_failed:,} had failed for good"
    if summary.damaged:
        yield f"{summary.damaged:,} of the files were damaged in part and captioned from the rest"
    for reason, count in summary.failures_by_reason.items():
        yield f"  {reason}: {count:,}"
    if summary.reason:
        yield f"Ended early: {summary.reason}; the same command does the rest"
    yield f"Captions: {captions}"


def verify(
    catalogue: CatalogueArgument,
    output: OutputArgument,
    model: Annotated[
        str | None, typer.Option(metavar="ID", help="Whose captions; default: the last run's model_id.")
    ] = None,
    beam_size: Annotated[int | None, typer.Option(metavar="N", help="Of which beam; default: the last run's.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Check that every track is there exactly once; exits 1 if not."""
    from dataclasses import asdict

    from jobs.progress import set_up_logging

    set_up_logging(quiet=True)
    with explained():
        from muscaps.config import DecodingOptions
        from pipeline.output.verification import verify as compare

        options = DecodingOptions(beam_size=beam_size) if beam_size is not None else None
        found = compare(catalogue, output, model_id=model, options=options)
    if as_json:
        print(json.dumps({**asdict(found), "complete": found.is_complete}, indent=2))
    else:
        print(
            f"{found.num_tracks:,} tracks: {found.captioned:,} captioned, {found.failed:,} failed, "
            f"{found.missing:,} missing, {found.doubled:,} doubled (model {found.model_id}, beam {found.beam_size})"
        )
        for track_id in found.examples:
            print(f"  {track_id}", file=sys.stderr)
        print("complete" if found.is_complete else "NOT complete: `muscaps caption` does what is missing")
    raise typer.Exit(DONE if found.is_complete else FAILED)


def compact(
    output: OutputArgument,
    target_mb: Annotated[int, typer.Option(metavar="MB", min=1, help="Size up to which files are merged.")] = 128,
    as_json: JsonOption = False,
) -> None:
    """Merge small Parquet files; may be interrupted and repeated."""
    from dataclasses import asdict

    from jobs.progress import set_up_logging

    set_up_logging(quiet=as_json)
    with explained():
        from pipeline.output.compaction import compact as merge

        summary = merge(output, target_bytes=target_mb * 2**20)
    if as_json:
        print(json.dumps(asdict(summary)))
    else:
        print(f"{summary.files_before:,} files before, {summary.files_after:,} after")
        if summary.rows_dropped:
            print(f"{summary.rows_dropped:,} rows were there twice and are now there once")


def status(
    output: OutputArgument,
    hourly_price: Annotated[
        float | None, typer.Option(metavar="P", min=0, help="Price of the cluster an hour, to tell what tracks cost.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show how far a run is: done, failed by reason, rate, time left, cost."""
    with explained():
        found = _status(output)
    if hourly_price is not None and found["tracks_per_second"]:
        found["cost_per_1000_tracks"] = round(1000 / found["tracks_per_second"] / 3600 * hourly_price, 4)
    if as_json:
        print(json.dumps(found, indent=2))
        return
    from jobs.progress import duration

    print(f"run {found['run_id']}: {found['state']}")
    print(f"{found['captioned']:,} captioned, {found['failed']:,} failed, {found['left']:,} left of {found['to_do']:,}")
    for reason, attempts in found["failures_by_reason"].items():
        print(f"  {attempts:,} x {reason}")
    if found["tracks_per_second"]:
        print(f"{found['tracks_per_second']:.3g} tracks/s over {duration(found['wall_seconds'])}")
    if found["seconds_left"] is not None:
        print(f"about {duration(found['seconds_left'])} left")
    if "cost_per_1000_tracks" in found:
        print(f"{found['cost_per_1000_tracks']:.4g} for 1,000 tracks at {hourly_price:g} an hour")


def _status(output: str) -> dict[str, Any]:
    """What the newest run's record and the lease say."""
    from pipeline.output import ledger

    record = ledger.last_run(output)
    if record is None:
        raise ValueError(f"{output}: no run has written there")
    holder = ledger.current_holder(output)
    state = record["status"]
    if state == "running":
        alive = (
            holder is not None
            and holder.run_id == record["run_id"]
            and not holder.is_gone()
            and holder.silent_seconds < ledger.LEASE_SECONDS
        )
        state = f"running on {holder.host}" if alive and holder is not None else "ended without a word (killed?)"
    done = record["captioned"] + record["failed"]
    seconds = record["wall_seconds"] - record["startup_seconds"]
    rate = done / seconds if seconds > 0 else 0.0
    running = state.startswith("running")
    return {
        "run_id": record["run_id"],
        "state": state,
        **{name: record[name] for name in ("to_do", "captioned", "failed", "left", "wall_seconds", "ended_at")},
        "failures_by_reason": record.get("failures_by_reason", {}),
        "tracks_per_second": round(rate, 4),
        "seconds_left": round(record["left"] / rate) if running and rate else None,
    }
