"""`muscaps status`: progress of a run in progress, result of the last one."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from jobs.options import JsonOption, OutputArgument
from jobs.outcomes import explained
from jobs.progress import duration

if TYPE_CHECKING:
    from pipeline.reading.run_status import RunStatus

MAX_DAMAGED_SHOWN = 10
"""Damaged tracks that are printed; with --json all that the record names."""


def register(app: typer.Typer) -> None:
    """Add the command to the app."""
    app.command()(status)


def status(
    output: OutputArgument,
    hourly_price: Annotated[
        float | None,
        typer.Option(metavar="P", min=0, help="Price of the cluster per hour: adds the cost, start-up included."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show the progress of a run: counts, rates, time left, cost."""
    with explained():
        from pipeline.reading.run_status import run_status

        found = run_status(output)
    if as_json:
        cost = {} if hourly_price is None else found.cost(hourly_price)
        print(json.dumps({**asdict(found), **cost}, indent=2))
        return
    for line in (*_progress_lines(found), *_cost_lines(found, hourly_price), *_problem_lines(found)):
        print(line)


def _progress_lines(found: "RunStatus") -> Iterator[str]:
    since = f" since {_clock(found.started_at)}" if found.is_running and found.started_at else ""
    yield f"run {found.run_id}: {found.state}{since}"
    yield f"{found.captioned:,} captioned, {found.failed:,} failed, {found.left:,} left of {found.to_do:,}"
    if not found.is_running and found.ended_at is None:
        yield (
            "tracks that it finished in its last seconds may not be written: `muscaps verify` counts what is, and the "
            "same `muscaps caption` command continues"
        )
    if found.shared:
        saved = "" if found.saved_seconds is None else f": about {duration(found.saved_seconds)} saved"
        yield f"{found.shared:,} versions share the caption of another track{saved}"
    if found.startup_seconds is None:
        yield f"{duration(found.elapsed_seconds)} elapsed, no track is finished yet"
        return
    yield f"{duration(found.elapsed_seconds)} elapsed, {duration(found.startup_seconds)} of it until the first track"
    now = "" if found.tracks_per_second_now is None else f"{found.tracks_per_second_now:.3g} tracks/s now, "
    yield f"{now}{found.tracks_per_second:.3g} tracks/s overall, start-up included"
    if found.is_running and found.left:
        if found.seconds_left is None:
            yield "time left unknown"
            return
        end = datetime.now(UTC) + timedelta(seconds=found.seconds_left)
        yield f"about {duration(found.seconds_left)} left, until {_clock(end.isoformat())}"


def _cost_lines(found: "RunStatus", hourly_price: float | None) -> Iterator[str]:
    if hourly_price is None:
        return
    cost = found.cost(hourly_price)
    each = cost["cost_per_1000_tracks"]
    at_end = cost["cost_at_end"]
    yield (
        f"{cost['cost_so_far']:.4g} {'so far' if found.is_running else 'in all'} at {hourly_price:g} an hour, "
        "start-up included"
        + ("" if each is None else f": {each:.4g} for 1,000 tracks")
        + ("" if at_end is None else f"; about {at_end:.4g} at the end")
    )
    if found.saved_seconds:
        yield f"{found.saved_seconds / 3600 * hourly_price:.4g} saved by versions that share a caption"


def _problem_lines(found: "RunStatus") -> Iterator[str]:
    for reason, attempts in found.failures_by_reason.items():
        yield f"  {attempts:,} x {reason}"
    if found.damaged:
        yield f"{found.damaged:,} captioned from damaged files; column damage of captions/ has the reasons"
        for track in found.damaged_tracks[:MAX_DAMAGED_SHOWN]:
            yield f"  {track['track_id']}: {track['damage']}"
    if found.not_music:
        yield f"{found.not_music:,} probably speech or noise, not music; column music_score of captions/ is below 0.5"


def _clock(time: str) -> str:
    """Return a time in UTC without seconds; with the date if it is not today's."""
    moment = datetime.fromisoformat(time)
    is_today = moment.date() == datetime.now(UTC).date()
    return f"{moment:%H:%M} UTC" if is_today else f"{moment:%Y-%m-%d %H:%M} UTC"
