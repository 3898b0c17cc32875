"""`muscaps export`: captions to one file, to sidecar files or into tags."""

import json
import sys
from dataclasses import asdict
from typing import Annotated

import typer

from jobs.outcomes import DONE, FAILED_TRACKS, explained


def register(app: typer.Typer) -> None:
    """Add the command to the app."""
    app.command()(export)


def export(
    output: Annotated[str, typer.Argument(help="Folder or bucket prefix `muscaps caption` wrote to.")],
    file: Annotated[str, typer.Argument(help="File to write: .csv, .jsonl or .parquet. With --tags: a folder.")],
    columns: Annotated[
        str, typer.Option(metavar="A,B", help="Columns in order, separated by commas; default: all.")
    ] = "",
    max_chars: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Maximum caption length; longer ones are cut between words.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(metavar="ID", help="Only captions of this model_id; default: the newest.")
    ] = None,
    audiofolder: Annotated[
        bool, typer.Option("--audiofolder", help="Add file_name, as Hugging Face's audiofolder needs it.")
    ] = False,
    spreadsheet_safe: Annotated[
        bool, typer.Option(help="CSV: put an apostrophe in front of text that is a formula.")
    ] = True,
    excel: Annotated[
        bool, typer.Option("--excel", help="CSV: begin with a byte order mark, so that Excel reads UTF-8.")
    ] = False,
    tags: Annotated[
        str | None,
        typer.Option(
            metavar="TARGET", help="Write per track: sidecars, copies (tagged) or originals (changes your audio)."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Write captions to a file, to sidecar files or into tags.

    Each track's newest caption is written, marked as AI-generated.
    """
    if tags is not None:
        _write_tags(
            output,
            file,
            tags,
            max_chars,
            model,
            columns=bool(columns) or excel,
            audiofolder=audiofolder,
            as_json=as_json,
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
                excel=excel,
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
            f"{summary.escaped} cells were formulas and have an apostrophe in front; "
            "--no-spreadsheet-safe leaves them unchanged",
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
    """Write sidecars or tags, print how many, and exit with 3 if some failed."""
    with explained():
        from pipeline.reading.audio_tags import TagConfig, write_tags

        if columns or audiofolder:
            raise ValueError("--tags writes one file per track: leave out --columns, --excel and --audiofolder")
        config = TagConfig(output=output, folder=folder, target=target, max_chars=max_chars, model_id=model)  # type: ignore[arg-type]
        tagged = write_tags(config)
    if as_json:
        print(json.dumps(asdict(tagged)))
    else:
        print(f"{tagged.written} written, {len(tagged.failed)} failed; see {tagged.log}")
    for track_id, reason in tagged.failed[:10]:
        print(f"{track_id}: {reason}", file=sys.stderr)
    raise typer.Exit(FAILED_TRACKS if tagged.failed else DONE)
