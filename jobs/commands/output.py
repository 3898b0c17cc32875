"""Commands that check and maintain an output: `muscaps verify`, `compact` and `status`."""

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jobs.options import (
    CatalogueArgument,
    JsonOption,
    OutputArgument,
)
from jobs.outcomes import DONE, FAILED, explained
from jobs.progress import duration, set_up_logging

if TYPE_CHECKING:
    from pipeline.output.verification import Verification

MAX_DAMAGED_SHOWN = 10
"""Damaged tracks that `muscaps status` prints; with --json it prints all that the record names."""


def register(app: typer.Typer) -> None:
    """Add the commands to the app."""
    app.command()(verify)
    app.command()(compact)
    app.command()(status)


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
    """Describe the rows that the catalogue does not name."""
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


def status(
    output: OutputArgument,
    hourly_price: Annotated[
        float | None,
        typer.Option(metavar="P", min=0, help="Price of the cluster per hour, for the cost per 1,000 tracks."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show the progress of a run: counts, rate, time left, cost."""
    with explained():
        found = _status(output)
    if hourly_price is not None and found["tracks_per_second"]:
        found["cost_per_1000_tracks"] = round(1000 / found["tracks_per_second"] / 3600 * hourly_price, 4)
    if as_json:
        print(json.dumps(found, indent=2))
        return

    print(f"run {found['run_id']}: {found['state']}")
    print(f"{found['captioned']:,} captioned, {found['failed']:,} failed, {found['left']:,} left of {found['to_do']:,}")
    for reason, attempts in found["failures_by_reason"].items():
        print(f"  {attempts:,} x {reason}")
    if found["damaged"]:
        print(f"{found['damaged']:,} captioned from damaged files; column damage of captions/ has the reasons")
        for track in found["damaged_tracks"][:MAX_DAMAGED_SHOWN]:
            print(f"  {track['track_id']}: {track['damage']}")
    if found["tracks_per_second"]:
        print(f"{found['tracks_per_second']:.3g} tracks/s over {duration(found['wall_seconds'])}")
    if found["seconds_left"] is not None:
        print(f"about {duration(found['seconds_left'])} left")
    if "cost_per_1000_tracks" in found:
        print(f"{found['cost_per_1000_tracks']:.4g} for 1,000 tracks at {hourly_price:g} an hour")


def _status(output: str) -> dict[str, Any]:
    """Return the state of the newest run, from its record and the lease."""
    from pipeline.output.lease import LEASE_SECONDS, current_holder
    from pipeline.output.runs import last_run

    record = last_run(output)
    if record is None:
        raise ValueError(f"{output}: no run has written there")
    holder = current_holder(output)
    state = record["status"]
    if state == "running":
        alive = (
            holder is not None
            and holder.run_id == record["run_id"]
            and not holder.has_ended()
            and holder.silent_seconds < LEASE_SECONDS
        )
        state = (
            f"running on {holder.host}" if alive and holder is not None else "ended without a final record (killed?)"
        )
    done = record["captioned"] + record["failed"]
    seconds = record["wall_seconds"] - record["startup_seconds"]
    rate = done / seconds if seconds > 0 else 0.0
    running = state.startswith("running")
    return {
        "run_id": record["run_id"],
        "state": state,
        **{name: record[name] for name in ("to_do", "captioned", "failed", "left", "wall_seconds", "ended_at")},
        "failures_by_reason": record.get("failures_by_reason", {}),
        "damaged": record.get("damaged", 0),
        "damaged_tracks": record.get("damaged_tracks", []),
        "tracks_per_second": round(rate, 4),
        "seconds_left": round(record["left"] / rate) if running and rate else None,
    }
