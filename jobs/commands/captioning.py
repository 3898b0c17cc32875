"""`muscaps caption` and `muscaps retry`."""

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from jobs.options import (
    AddressOption,
    BeamOption,
    CatalogueArgument,
    CheckpointOption,
    EffortOption,
    GpusOption,
    JsonOption,
    OutputArgument,
    PrecisionOption,
    WorkersPerGpuOption,
)
from jobs.outcomes import DONE, DRAINED, FAILED, FAILED_TRACKS, explained, resumable
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
    max_words: Annotated[
        int | None, typer.Option(metavar="N", min=3, help="Search for whole sentences of at most N words.")
    ] = None,
    max_chars: Annotated[
        int | None, typer.Option(metavar="N", min=20, help="Search for whole sentences of at most N characters.")
    ] = None,
    segments: Annotated[
        float | None, typer.Option(metavar="S", help="Also caption every segment of S seconds.")
    ] = None,
    alternatives: Annotated[int, typer.Option(metavar="K", help="Save the K next best hypotheses too.")] = 0,
    attention: Annotated[bool, typer.Option("--attention", help="Save attention weights.")] = False,
    save_features: Annotated[
        bool, typer.Option("--save-features", help="Save features, for search and training.")
    ] = False,
    min_tag_score: Annotated[
        float, typer.Option(metavar="P", help="Lowest score of a tag to save; exports apply their own, 0.5.")
    ] = 0.1,
    effort: EffortOption = None,
    max_chunks: Annotated[
        int | None, typer.Option(metavar="N", help="Maximum number of chunks per track, instead of --effort.")
    ] = None,
    decode_only_needed: Annotated[
        bool,
        typer.Option("--decode-only-needed", help="Decode only the chunks that are processed, also with thorough."),
    ] = False,
    precision: PrecisionOption = "float32",
    limit: Annotated[int | None, typer.Option(metavar="N", help="Caption at most N tracks.")] = None,
    max_error_rate: Annotated[
        float, typer.Option(metavar="R", help="Stop if a larger fraction of tracks fails.")
    ] = 0.2,
    max_runtime: Annotated[
        float | None, typer.Option(metavar="S", help="Stop after S seconds; finished tracks are written.")
    ] = None,
    match_by: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN",
            help="track_id or uri: what makes a captioned track the catalogue's. Default: track_id; files that OUTPUT "
            "holds under other ids are refused.",
        ),
    ] = None,
    group_by: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN",
            help="Caption one track for each value of COLUMN; its versions share the caption. Default: master_id, if "
            "the catalogue has it; none captions every track.",
        ),
    ] = None,
    address: AddressOption = None,
    gpus: GpusOption = None,
    workers_per_gpu: WorkersPerGpuOption = 2,
    as_json: JsonOption = False,
) -> None:
    """Caption every track of a catalogue.

    Tracks that OUTPUT holds for this model and beam size are skipped, so the same command continues an interrupted
    run. Ctrl-C and SIGTERM write the finished tracks. Exit status: 0 done, 1 failed, 2 wrong usage, 3 done with
    failed tracks, 75 interrupted.
    """
    with explained(), resumable():
        from muscaps.config import DecodingOptions
        from pipeline.captioning import CaptioningConfig

        config = CaptioningConfig(
            catalogue=catalogue,
            output=output,
            checkpoint=checkpoint,
            options=DecodingOptions(
                beam_size=beam_size,
                word_limit=max_words,
                char_limit=max_chars,
                num_alternatives=alternatives,
                attention=attention,
                segment_seconds=segments,
            ),
            save_features=save_features,
            min_tag_score=min_tag_score,
            effort=effort,  # type: ignore[arg-type]  # checked there
            max_chunks=max_chunks,
            decode_only_needed=decode_only_needed,
            match_by=match_by,  # type: ignore[arg-type]  # checked there
            group_by=group_by,
            precision=precision,  # type: ignore[arg-type]  # checked there
            limit=limit,
            max_error_rate=max_error_rate,
            max_runtime_s=max_runtime,
            address=address,
            gpus=gpus,
            workers_per_gpu=workers_per_gpu,
        )
        summary = run_captioning(config, quiet=as_json)
    _print_and_exit(summary, as_json)


def retry(
    catalogue: CatalogueArgument,
    output: OutputArgument,
    checkpoint: CheckpointOption = None,
    address: AddressOption = None,
    gpus: GpusOption = None,
    as_json: JsonOption = False,
) -> None:
    """Caption failed tracks again, with the last run's settings."""
    with explained(), resumable():
        summary = run_captioning(
            retry_failed(catalogue, output, checkpoint=checkpoint, address=address, gpus=gpus), quiet=as_json
        )
    _print_and_exit(summary, as_json)


def run_captioning(
    config: "CaptioningConfig", *, quiet: bool, on_results: "Callable[[pa.Table], None] | None" = None
) -> "RunSummary":
    """Run a captioning job with progress on stderr."""
    from pipeline.captioning import caption_catalogue

    set_up_logging(quiet=quiet)
    with shown_progress(quiet=quiet) as show:
        return caption_catalogue(config, on_progress=show, on_results=on_results)


def _print_and_exit(summary: "RunSummary", as_json: bool) -> None:
    """Print what a run did, and exit with its status."""

    if as_json:
        print(json.dumps({**asdict(summary), "real_time_factor": round(summary.real_time_factor, 2)}, indent=2))
    else:
        print("\n".join(_summary_lines(summary)))
    raise typer.Exit(exit_status(summary))


def exit_status(summary: "RunSummary") -> int:
    """Return the exit status of a run."""
    if summary.status == "drained":
        return DRAINED
    if summary.status not in ("done", "nothing_to_do"):
        return FAILED
    return FAILED_TRACKS if summary.failed or summary.already_failed else DONE


def _summary_lines(summary: "RunSummary") -> Iterator[str]:

    captions = f"{summary.output.rstrip('/')}/captions"
    if summary.status == "nothing_to_do":
        yield f"Nothing to do: {captions} has {summary.already_captioned:,} of {summary.num_tracks:,} tracks."
        if summary.already_failed:
            yield f"{summary.already_failed:,} failed; failures/ has the reasons, and `muscaps retry` repeats them."
        return
    yield (
        f"{summary.captioned:,} captioned, {summary.failed:,} failed, {summary.left:,} left of "
        f"{summary.to_do:,} tracks, in {duration(summary.wall_seconds)} "
        f"({summary.real_time_factor:.0f} times real time)"
    )
    if summary.shared:
        saved = "" if summary.saved_seconds is None else f", about {duration(summary.saved_seconds)} saved"
        yield f"{summary.shared:,} versions share the caption of another track{saved}; column shared_from names it"
    if summary.already_captioned or summary.already_failed:
        yield f"{summary.already_captioned:,} had a caption before, {summary.already_failed:,} cannot be retried"
    if summary.damaged:
        yield f"Captioned from what a damaged file holds: {summary.damaged:,}; column damage has the reasons"
    if summary.not_music:
        yield f"Probably speech or noise, not music: {summary.not_music:,}; column music_score is below 0.5"
    for reason, count in summary.failures_by_reason.items():
        yield f"  {reason}: {count:,}"
    if summary.failures_by_reason:
        yield f"`muscaps report {summary.output}` lists the failed tracks with their reasons"
    if summary.reason:
        yield f"Ended early: {summary.reason}; the same command does the remaining tracks"
    yield f"Captions: {captions}"
