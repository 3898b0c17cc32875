"""`muscaps export`: captions to one file, to sidecar files or into tags."""

import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jobs.extras import require_extra
from jobs.outcomes import DONE, FAILED_TRACKS, explained

if TYPE_CHECKING:
    from pipeline.reading.export import ExportSummary


def register(app: typer.Typer) -> None:
    """Add the command to the app."""
    app.command()(export)


def export(
    output: Annotated[
        str | None, typer.Argument(help="Folder or bucket prefix `muscaps caption` wrote to.", show_default=False)
    ] = None,
    file: Annotated[
        str | None,
        typer.Argument(help="File to write: .csv, .jsonl or .parquet. With --tags: a folder.", show_default=False),
    ] = None,
    columns: Annotated[
        str, typer.Option(metavar="A,B", help="Columns in order, separated by commas; default: all.")
    ] = "",
    rename: Annotated[
        list[str] | None, typer.Option(metavar="OLD=NEW", help="New name of a column; may be repeated.")
    ] = None,
    profile: Annotated[
        str | None,
        typer.Option(metavar="SYSTEM", help="Columns for sourceaudio, soundminer, harvest (.txt) or plain."),
    ] = None,
    taxonomy: Annotated[
        str | None, typer.Option(metavar="FILE", help="CSV or YAML with your own words for tags.")
    ] = None,
    taxonomy_template: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Write a taxonomy with every tag, to be edited, and nothing else."),
    ] = None,
    min_tag_score: Annotated[float, typer.Option(metavar="P", help="Score from which a tag counts.")] = 0.5,
    max_chars: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Maximum caption length; longer ones lose phrases."),
    ] = None,
    model: Annotated[
        str | None, typer.Option(metavar="ID", help="Only captions of this model_id; default: the newest.")
    ] = None,
    audiofolder: Annotated[
        bool, typer.Option("--audiofolder", help="Add file_name, as Hugging Face's audiofolder needs it.")
    ] = False,
    spreadsheet_safe: Annotated[
        bool | None,
        typer.Option(
            help="CSV: put an apostrophe in front of text that is a formula; default: yes, except in files for "
            "another system.",
        ),
    ] = None,
    excel: Annotated[
        bool, typer.Option("--excel", help="CSV: begin with a byte order mark, so that Excel reads UTF-8.")
    ] = False,
    tags: Annotated[
        str | None,
        typer.Option(
            metavar="TARGET", help="Write per track: sidecars, copies (tagged) or originals (changes your audio)."
        ),
    ] = None,
    write: Annotated[
        str,
        typer.Option(
            metavar="A,B", help="With --tags copies or originals: also genre, mood, description; in WAV bext, ixml."
        ),
    ] = "",
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="With --write: replace values of these fields that a file has.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Write captions to a file, to sidecar files or into tags.

    Each track's newest caption is written, marked as an AI-written description.
    """
    if taxonomy_template is not None:
        _write_template(taxonomy_template)
        return
    if output is None or file is None:
        raise typer.BadParameter("export needs OUTPUT and FILE", param_hint="OUTPUT FILE")
    if tags is not None:
        _write_tags(
            {
                "output": output, "folder": file, "target": tags, "max_chars": max_chars, "model_id": model,
                "write": _names(write), "overwrite": overwrite, "taxonomy": taxonomy, "min_tag_score": min_tag_score,
            },
            of_one_file={
                "--columns": columns, "--rename": rename, "--profile": profile, "--audiofolder": audiofolder,
                "--excel": excel,
            },
            as_json=as_json,
        )  # fmt: skip
        return
    if write or overwrite:
        raise typer.BadParameter("--write and --overwrite belong to --tags copies or originals")
    with explained():
        from pipeline.reading.export import ExportConfig, export_captions

        summary = export_captions(
            ExportConfig(
                output=output,
                file=file,
                columns=_names(columns),
                max_chars=max_chars,
                model_id=model,
                audiofolder=audiofolder,
                spreadsheet_safe=spreadsheet_safe,
                excel=excel,
                profile=profile,
                rename=_pairs(rename or []),
                taxonomy=taxonomy,
                min_tag_score=min_tag_score,
            )
        )
    _print_summary(summary, max_chars, as_json=as_json)


def _pairs(options: list[str]) -> dict[str, str]:
    """Read OLD=NEW options."""
    pairs = [option.partition("=") for option in options]
    for (old, _, new), option in zip(pairs, options, strict=True):
        if not old.strip() or not new.strip():
            raise ValueError(f"--rename needs OLD=NEW, such as caption=Description, not {option!r}")
    return {old.strip(): new.strip() for old, _, new in pairs}


def _write_template(file: str) -> None:
    with explained():
        from pipeline import storage
        from pipeline.reading.taxonomy_files import template

        storage.write_once(file, template().encode())
    print(f"{file}: every tag, to be edited; use it with --taxonomy {file}")


def _print_summary(summary: "ExportSummary", max_chars: int | None, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(asdict(summary)))
        return
    print(f"{summary.rows} tracks in {summary.file}, described by {summary.descriptor}")
    if summary.reviewed:
        print(f"{summary.reviewed:,} of them were reviewed by a person")
    for line in _column_files(summary):
        print(line)
    if summary.cut:
        _print_shortened(summary, max_chars)
    if summary.escaped:
        print(
            f"{summary.escaped} cells were formulas and have an apostrophe in front; "
            "--no-spreadsheet-safe leaves them unchanged",
            file=sys.stderr,
        )
    if summary.formulas:
        print(
            f"{summary.formulas} cells begin like formulas and are unchanged, because another system imports them. "
            "A spreadsheet that opens the file may run them; --spreadsheet-safe puts an apostrophe in front",
            file=sys.stderr,
        )


def _column_files(summary: "ExportSummary") -> Iterator[str]:
    """Yield what was written to files of single columns, why, and what to do with them."""
    if not summary.more_files:
        return
    count = len(summary.more_files)
    columns = "1 column is" if count == 1 else f"{count} columns are"
    yield (
        f"{columns} not in {summary.file}, because some tracks have no value there and an empty cell can delete what "
        "the system has. Import these files after it; each has only the tracks with a value:"
    )
    for more in summary.more_files:
        missing = summary.rows - more.rows
        yield f"  {more.file}: column {more.column}, {more.rows} tracks; the other {missing} are left unchanged"


def _print_shortened(summary: "ExportSummary", max_chars: int | None) -> None:
    limit = f"{max_chars} characters" if max_chars else "the profile allows"
    lines = [f"{summary.cut} captions are longer than {limit} and were shortened"]
    if summary.lost_instruments:
        named = "; ".join(f"{track_id}: {lost}" for track_id, lost in summary.examples)
        lines.append(f"{summary.lost_instruments} of them name fewer instruments ({named})")
    if summary.too_long:
        lines.append(f"{summary.too_long} of them are empty: no sentence is that short")
    if summary.lost_instruments or summary.too_long:
        lines.append("`muscaps caption --max-chars N` looks for sentences of this length")
    for line in lines:
        print(line, file=sys.stderr)


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _write_tags(settings: dict[str, Any], *, of_one_file: Mapping[str, object], as_json: bool) -> None:
    """Write sidecars or tags, print how many, and exit with 3 if some failed."""
    with explained():
        from pipeline.reading.audio_tags import TagConfig, write_tags

        given = [name for name, value in of_one_file.items() if value]
        if given:
            raise ValueError(f"--tags writes one file per track: leave out {' and '.join(given)}")
        config = TagConfig(**settings)
        if config.target != "sidecars":
            require_extra("tags", f"--tags {config.target}")
        tagged = write_tags(config)
    if as_json:
        print(json.dumps(asdict(tagged)))
    else:
        print(f"{tagged.written} written, {len(tagged.failed)} failed; see {tagged.log}")
    for track_id, reason in tagged.failed[:10]:
        print(f"{track_id}: {reason}", file=sys.stderr)
    raise typer.Exit(FAILED_TRACKS if tagged.failed else DONE)
