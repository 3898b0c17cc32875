"""`muscaps demo`: the bundled excerpts, captioned with the bundled checkpoint, shown as a table."""

import sys
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jobs.commands.captioning import exit_status, run_captioning
from jobs.outcomes import explained, resumable
from jobs.recipes import DEMO_CATALOGUE
from jobs.recipes import demo as recipe

if TYPE_CHECKING:
    import pyarrow as pa


def register(app: typer.Typer) -> None:
    """Add the command to the app."""
    app.command()(demo)


def demo(
    output: Annotated[
        str, typer.Option(metavar="DIR", help="Folder for the Parquet files; new, or of an earlier demo.")
    ] = "muscaps-demo",
) -> None:
    """Caption the bundled tracks and print them as a table."""
    with explained(), resumable():
        seconds: dict[str, float] = {}
        summary = run_captioning(recipe(output), quiet=False, on_results=lambda rows: seconds.update(_seconds(rows)))
        rows = _rows(output, summary.model_id)
    _print_rows(rows, seconds)
    if summary.status == "nothing_to_do":
        print("All tracks were captioned by an earlier run.")
    else:
        start, rest = summary.startup_seconds, summary.wall_seconds - summary.startup_seconds
        print(f"{summary.captioned} tracks in {summary.wall_seconds:.1f} s: {start:.1f} s to start, {rest:.1f} s after")
    print(f"Parquet: {output}/captions   (model {summary.model_id}, beam 5)")
    raise typer.Exit(exit_status(summary))


def _rows(output: str, model_id: str) -> list[dict[str, Any]]:
    """Return the demo's captions, in catalogue order."""
    import pyarrow as pa
    import pyarrow.dataset

    from pipeline.catalogue import read_catalogue
    from pipeline.output.parts import part_files, read_parts

    columns = ("track_id", "title", "artist", "caption", "log_prob", "duration_s")
    kinds = [pa.string()] * 4 + [pa.float64()] * 2
    schema = pa.schema([*zip(columns, kinds, strict=True), ("model_id", pa.string())])
    condition = pyarrow.dataset.field("model_id") == model_id
    rows = read_parts(part_files(output, "captions"), schema, condition).to_pylist()
    order = {name: at for at, name in enumerate(read_catalogue(str(DEMO_CATALOGUE)).rows["track_id"].to_pylist())}
    return sorted(rows, key=lambda row: order.get(row["track_id"], len(order)))


def _seconds(rows: "pa.Table") -> Iterator[tuple[str, float]]:
    """Yield (track_id, seconds of work in all stages) of some results."""
    parts = ("fetch_seconds", "decode_seconds", "feature_seconds", "search_seconds")
    for row in rows.select(["track_id", *parts]).to_pylist():
        yield row["track_id"], sum(row[part] or 0.0 for part in parts)


def _print_rows(rows: list[dict[str, Any]], seconds: Mapping[str, float]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(show_lines=False, pad_edge=False)
    table.add_column("track", max_width=26)
    table.add_column("caption", ratio=1)
    table.add_column("log p", justify="right")
    table.add_column("length", justify="right")
    table.add_column("time", justify="right")
    for row in rows:
        time = f"{seconds[row['track_id']]:.2f} s" if row["track_id"] in seconds else "-"
        name = " / ".join(filter(None, (row["artist"], row["title"]))) or row["track_id"]
        table.add_row(name, row["caption"], f"{row['log_prob']:.1f}", f"{row['duration_s']:.0f} s", time)
    Console(file=sys.stdout, width=None if sys.stdout.isatty() else 100).print(table)
