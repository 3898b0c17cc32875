"""Commands that check and maintain an output: `muscaps verify` and `compact`."""

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from jobs.options import (
    CatalogueArgument,
    JsonOption,
    OutputArgument,
)
from jobs.outcomes import DONE, FAILED, explained
from jobs.progress import set_up_logging

if TYPE_CHECKING:
    from pipeline.output.verification import Verification


def register(app: typer.Typer) -> None:
    """Add the commands to the app."""
    app.command()(verify)
    app.command()(compact)


def verify(
    catalogue: CatalogueArgument,
    output: OutputArgument,
    model: Annotated[
        str | None, typer.Option(metavar="ID", help="model_id to check; default: that of the last run.")
    ] = None,
    beam_size: Annotated[
        int | None, typer.Option(metavar="N", help="Beam size to check; default: that of the last run.")
    ] = None,
    match_by: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN",
            help="track_id, or uri to count files that are captioned under another id; default: as the last run.",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Check that every track is there exactly once.

    Exit status: 0 if so, 1 if not.
    """

    set_up_logging(quiet=True)
    with explained():
        from muscaps.config import DecodingOptions
        from pipeline.output.verification import verify as compare

        options = DecodingOptions(beam_size=beam_size) if beam_size is not None else None
        if match_by not in (None, "track_id", "uri"):
            raise ValueError(f"--match-by must be track_id or uri, not {match_by!r}")
        found = compare(catalogue, output, model_id=model, options=options, match_by=match_by)
    if as_json:
        print(json.dumps({**asdict(found), "complete": found.is_complete}, indent=2))
    else:
        print(
            f"{found.num_tracks:,} tracks: {found.captioned:,} captioned, {found.failed:,} failed, "
            f"{found.missing:,} missing, {found.doubled:,} doubled (model {found.model_id}, beam {found.beam_size})"
        )
        for track_id in found.examples:
            print(f"  {track_id}", file=sys.stderr)
        for line in _other_rows(found):
            print(line)
        print("complete" if found.is_complete else "NOT complete: `muscaps caption` captions what is missing")
    raise typer.Exit(DONE if found.is_complete else FAILED)


def _other_rows(found: "Verification") -> Iterator[str]:
    """Describe versions, and the rows that the catalogue does not name."""
    if found.shared:
        yield f"{found.shared:,} of the captioned tracks share the caption of another track"
    if found.not_in_catalogue:
        names = ", ".join(found.not_in_catalogue_examples)
        yield f"{found.not_in_catalogue:,} captioned tracks are not in the catalogue: {names}"
    if found.doubled_files:
        yield f"{found.doubled_files:,} files of the catalogue have a second caption under such an id"
    if found.missing_under_id:
        yield (
            f"{found.missing_under_id:,} missing tracks have a caption under such an id; "
            "--match-by uri counts them as captioned"
        )


def compact(
    output: OutputArgument,
    target_mb: Annotated[int, typer.Option(metavar="MB", min=1, help="Maximum size of a merged file.")] = 128,
    as_json: JsonOption = False,
) -> None:
    """Merge small Parquet files.

    The command can be interrupted and repeated at any time.
    """

    set_up_logging(quiet=as_json)
    with explained():
        from pipeline.output.compaction import compact as merge

        summary = merge(output, target_bytes=target_mb * 2**20)
    if as_json:
        print(json.dumps(asdict(summary)))
    else:
        print(f"{summary.files_before:,} files before, {summary.files_after:,} after")
        if summary.rows_dropped:
            print(f"{summary.rows_dropped:,} duplicate rows were removed")
