"""Commands that read a finished output: `muscaps export`, `report` and `search`."""

import json
import sys
from dataclasses import asdict
from typing import Annotated

import typer

from jobs.outcomes import DONE, FAILED_TRACKS, explained


def register(app: typer.Typer) -> None:
    """Add the commands to the app."""
    app.command("export")(export)
    app.command("report")(report)
    app.command("search")(search)


def export(
    output: Annotated[str, typer.Argument(help="Folder or bucket prefix `muscaps caption` wrote to.")],
    file: Annotated[str, typer.Argument(help="File to write: .csv, .jsonl or .parquet. With --tags: a folder.")],
    columns: Annotated[str, typer.Option(help="Columns in order, separated by commas; default: all.")] = "",
    max_chars: Annotated[
        int | None, typer.Option(min=1, help="Longest caption; longer ones are cut between words.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="Only captions by this model_id; default: newest.")] = None,
    audiofolder: Annotated[
        bool, typer.Option("--audiofolder", help="Hugging Face audiofolder metadata: adds file_name.")
    ] = False,
    spreadsheet_safe: Annotated[
        bool, typer.Option(help="CSV: an apostrophe before text a spreadsheet would run as a formula.")
    ] = True,
    tags: Annotated[
        str | None,
        typer.Option(help="Per track instead: sidecars, copies (tagged), or originals (changes your audio)."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Write each track's newest caption to a file, to sidecars or into tags, marked as AI-generated."""
    if tags is not None:
        _write_tags(
            output, file, tags, max_chars, model, columns=bool(columns), audiofolder=audiofolder, as_json=as_json
        )
        return
    with explained():
        from pipeline.reading.export import ExportConfig, export_captions

        summary = export_captions(
            ExportConfig(
                output=output,
                file=file,
                columns=tuple(name.strip() for name in columns.split(",") if name.strip()),
                max_chars=max_chars,
                model_id=model,
                audiofolder=audiofolder,
                spreadsheet_safe=spreadsheet_safe,
            )
        )
    if as_json:
        print(json.dumps(asdict(summary)))
        return
    print(f"{summary.rows} tracks in {summary.file}, described by {summary.descriptor}")
    if summary.cut:
        print(f"{summary.cut} captions cut to {max_chars} characters", file=sys.stderr)
    if summary.escaped:
        print(
            f"{summary.escaped} cells would have run as formulas and start with an apostrophe now; "
            "--no-spreadsheet-safe writes them as they are",
            file=sys.stderr,
        )


def _write_tags(
    output: str,
    folder: str,
    target: str,
    max_chars: int | None,
    model: str | None,
    *,
    columns: bool,
    audiofolder: bool,
    as_json: bool,
) -> None:
    """Write sidecars or tags, say how many, and exit 3 where some could not be written."""
    with explained():
        from pipeline.reading.export import TagConfig, write_tags

        if columns or audiofolder:
            raise ValueError("--tags writes the caption track by track: leave out --columns and --audiofolder")
        config = TagConfig(output=output, folder=folder, target=target, max_chars=max_chars, model_id=model)  # type: ignore[arg-type]
        tagged = write_tags(config)
    if as_json:
        print(json.dumps(asdict(tagged)))
    else:
        print(f"{tagged.written} written, {len(tagged.failed)} failed; see {tagged.log}")
    for track_id, reason in tagged.failed[:10]:
        print(f"{track_id}: {reason}", file=sys.stderr)
    raise typer.Exit(FAILED_TRACKS if tagged.failed else DONE)


def report(
    output: Annotated[str, typer.Argument(help="Folder or bucket prefix `muscaps caption` wrote to.")],
    file: Annotated[str | None, typer.Argument(help="Page to write; default: report.html in the output.")] = None,
    title: Annotated[str, typer.Option(help="Heading of the page.")] = "Captions of a music catalogue",
    tracks: Annotated[int, typer.Option(help="Most tracks in the table, drawn evenly from more.")] = 5_000,
    spectrograms: Annotated[int, typer.Option(help="Most tracks whose audio is read for a spectrogram.")] = 60,
    listen_hours: Annotated[
        float | None,
        typer.Option(help="Sign links to s3:// audio for this long; whoever has the page can listen until then."),
    ] = None,
    colours: Annotated[str, typer.Option(help="Colours the page opens with: system, light or dark.")] = "system",
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
) -> None:
    """Write a page that shows what ran, how fast, what failed, and the captions to look at and hear."""
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


def search(
    output: Annotated[str, typer.Argument(help="Folder or bucket prefix with features/ (caption --save-features).")],
    query: Annotated[str, typer.Argument(help="A sentence, worded as the captions are.")],
    top: Annotated[int, typer.Option(help="Tracks to list.")] = 10,
    checkpoint: Annotated[
        str | None, typer.Option(help="Checkpoint the features were made with; default: the bundled one.")
    ] = None,
    bias_correction: Annotated[
        bool, typer.Option("--bias-correction", help="Subtract what a track gives any sentence.")
    ] = False,
    exact: Annotated[bool, typer.Option("--exact", help="Score every track in full, not only candidates.")] = False,
    address: Annotated[str | None, typer.Option(help="Ray cluster to search on.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON list of track_id, score and more.")] = False,
) -> None:
    """List the tracks a sentence fits best, by log P(sentence | audio)."""
    with explained():
        from pipeline.reading.search import SearchConfig
        from pipeline.reading.search import search as rank

        result = rank(
            SearchConfig(
                output=output,
                query=query,
                top=top,
                checkpoint=checkpoint,
                bias_correction=bias_correction,
                exact=exact,
                address=address,
            )
        )
    for word, alike in result.unknown.items():
        hint = f"; it knows {', '.join(alike)}" if alike else ""
        print(f"the model does not know {word!r}, which counts as any unknown word{hint}", file=sys.stderr)
    if as_json:
        print(json.dumps([{"track_id": h.track_id, "score": h.score, **h.known} for h in result.hits]))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("score", "track", "caption"):
        table.add_column(name, justify="right" if name == "score" else "left")
    for hit in result.hits:
        track = " - ".join(str(hit.known[k]) for k in ("artist", "title") if hit.known.get(k))
        named = f"{track} ({hit.track_id})" if track else hit.track_id
        table.add_row(f"{hit.score:.2f}", Text(named), Text(str(hit.known.get("caption", ""))))
    Console().print(table)
    print(f"{result.tracks:,} tracks ranked in {result.seconds:.1f} s", file=sys.stderr)
