"""`muscaps caption` and `muscaps retry`."""

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from jobs.options import (
    BeamOption,
    CatalogueArgument,
    CheckpointOption,
    JsonOption,
    OutputArgument,
    PrecisionOption,
    WorkersPerGpuOption,
)
from jobs.outcomes import DONE, DRAINED, FAILED, FAILED_TRACKS, explained
from jobs.progress import duration, set_up_logging, shown_progress
from jobs.recipes import retry_failed

if TYPE_CHECKING:
    import pyarrow as pa

    from pipeline.captioning import CaptioningConfig, RunSummary


def register(app: typer.Typer) -> None:
    """Add the commands to the app."""
    for command in (caption, retry):
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
        summary = run_captioning(
            retry_failed(catalogue, output, checkpoint=checkpoint, address=address, gpus=gpus), quiet=as_json
        )
    _tell(summary, as_json)


def run_captioning(
    config: "CaptioningConfig", *, quiet: bool, on_results: "Callable[[pa.Table], None] | None" = None
) -> "RunSummary":
    """Run a captioning job with progress on stderr."""
    from pipeline.captioning import caption_catalogue

    set_up_logging(quiet=quiet)
    with shown_progress(quiet=quiet) as show:
        return caption_catalogue(config, on_progress=show, on_results=on_results)


def _tell(summary: "RunSummary", as_json: bool) -> None:
    """Say what a run did, and exit accordingly."""

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
