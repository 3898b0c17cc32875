"""`muscaps review`: decisions of people about captions."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from jobs.options import JsonOption, OutputArgument
from jobs.outcomes import explained
from jobs.progress import set_up_logging
from jobs.tables import print_table

if TYPE_CHECKING:
    from pipeline.review.score import Share

review_app = typer.Typer(
    help="Review captions: sample, apply and score decisions.", no_args_is_help=True, rich_markup_mode=None
)


class SampleBy(StrEnum):
    """How tracks are drawn."""

    RANDOM = "random"
    LEAST_CERTAIN = "least-certain"


def register(app: typer.Typer) -> None:
    """Add `review` to the app."""
    app.add_typer(review_app, name="review")


@review_app.command("sample")
def sample(
    output: OutputArgument,
    tracks: Annotated[int, typer.Argument(min=1, max=100_000, help="Tracks to draw.")],
    file: Annotated[str | None, typer.Argument(help="Page to write; default: review.html in the output.")] = None,
    by: Annotated[
        SampleBy, typer.Option(help="random, from which a share of all can be estimated, or least-certain.")
    ] = SampleBy.RANDOM,
    taxonomy: Annotated[
        str | None, typer.Option(metavar="FILE", help="Show tags by your own words, .csv or .yaml.")
    ] = None,
    seed: Annotated[int, typer.Option(metavar="N", help="Seed of the random sample.")] = 0,
    spectrograms: Annotated[int, typer.Option(metavar="N", help="Maximum number of tracks with a spectrogram.")] = 60,
    listen_hours: Annotated[
        float | None,
        typer.Option(metavar="H", help="Sign links to s3:// audio; everyone with the page can play it for H hours."),
    ] = None,
) -> None:
    """Write a page with some tracks to review.

    Tracks that have been reviewed are left out.
    """
    with explained():
        from pipeline import storage
        from pipeline.reading.report import ReportConfig, write_report

        config = ReportConfig(
            output=output,
            file=file or storage.join(output, "review.html"),
            title="Captions to review",
            max_tracks=tracks,
            sample="random" if by is SampleBy.RANDOM else "least_certain",
            seed=seed,
            taxonomy=taxonomy,
            max_spectrograms=spectrograms,
            listen_hours=listen_hours,
        )
        write_report(config)
    print(f"Page: {config.file}")
    print("Review it in a browser, save reviews.jsonl, then: muscaps review apply OUTPUT reviews.jsonl")


@review_app.command("apply")
def apply(
    output: OutputArgument,
    reviews: Annotated[str, typer.Argument(metavar="REVIEWS", help="reviews.jsonl, saved on the page.")],
    as_json: JsonOption = False,
) -> None:
    """Write saved reviews into the output.

    The command can be repeated: reviews that are there already are not written again.
    """
    set_up_logging(quiet=as_json)
    with explained():
        from pipeline.review.apply import apply_reviews

        applied = apply_reviews(output, reviews)
    if as_json:
        print(json.dumps(asdict(applied)))
        return
    print(
        f"{applied.written:,} reviews written: {applied.accepted:,} accepted, {applied.edited:,} edited, "
        f"{applied.rejected:,} rejected"
    )
    if applied.known:
        print(f"{applied.known:,} were there already")


@review_app.command("score")
def score(output: OutputArgument, as_json: JsonOption = False) -> None:
    """Show how many captions were accepted as they are."""
    with explained():
        from pipeline.review.score import score_reviews

        found = score_reviews(output)
    if as_json:
        print(json.dumps(asdict(found), indent=2))
        return
    _print_shares("reviews", [found.total, *found.samples])
    _print_shares("certainty", found.certainty)
    for facet, (on, off) in found.tags_switched.items():
        print(f"{facet}: {on:,} tags switched on, {off:,} off")


def _print_shares(heading: str, shares: Sequence["Share"]) -> None:
    rows = [
        [
            share.group.replace("_", " "),
            *(f"{count:,}" for count in (share.reviewed, share.accepted, share.edited, share.rejected)),
            "-" if share.share_accepted is None else f"{share.share_accepted:.0%}",
            "-" if share.interval is None else f"{share.interval[0]:.0%} to {share.interval[1]:.0%}",
        ]
        for share in shares
    ]
    print_table([heading, "reviewed", "accepted", "edited", "rejected", "as is", "95 % interval"], rows)
