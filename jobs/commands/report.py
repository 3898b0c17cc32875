"""`muscaps report`: one page about an output."""

import json
from typing import Annotated

import typer

from jobs.outcomes import explained


def register(app: typer.Typer) -> None:
    """Add the command to the app."""
    app.command()(report)


def report(
    output: Annotated[str, typer.Argument(help="Folder or bucket prefix `muscaps caption` wrote to.")],
    file: Annotated[str | None, typer.Argument(help="Page to write; default: report.html in the output.")] = None,
    title: Annotated[str, typer.Option(metavar="TEXT", help="Heading of the page.")] = "Captions of a music catalogue",
    tracks: Annotated[
        int, typer.Option(metavar="N", help="Maximum number of tracks in the table, drawn evenly at random.")
    ] = 5_000,
    spectrograms: Annotated[int, typer.Option(metavar="N", help="Maximum number of tracks with a spectrogram.")] = 60,
    listen_hours: Annotated[
        float | None,
        typer.Option(metavar="H", help="Sign links to s3:// audio; everyone with the page can play it for H hours."),
    ] = None,
    taxonomy: Annotated[
        str | None, typer.Option(metavar="FILE", help="Show tags by your own words, .csv or .yaml.")
    ] = None,
    colours: Annotated[
        str, typer.Option(metavar="MODE", help="Colours of the page when it opens: system, light or dark.")
    ] = "system",
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
) -> None:
    """Write a page with figures, failures, captions and audio."""
    with explained():
        from pipeline import storage
        from pipeline.reading.report import ReportConfig, write_report

        config = ReportConfig(
            output=output,
            file=file or storage.join(output, "report.html"),
            title=title,
            max_tracks=tracks,
            max_spectrograms=spectrograms,
            listen_hours=listen_hours,
            taxonomy=taxonomy,
            colours=colours,
        )
        summary = write_report(config)
        if as_json:
            print(json.dumps({"file": config.file, **summary.as_json()}))
            return
        print(f"{summary.tracks:,} captioned, {summary.failed:,} without a caption")
        for reason in summary.failures:
            print(f"  {reason.count:6,}  {reason.stage}/{reason.error_type}: {reason.examples[0]['message']}")
        print(f"Page: {config.file}")
