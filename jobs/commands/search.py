"""`muscaps search`: tracks ranked by words, by a track or by columns."""

import json
import math
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from jobs.options import AddressOption
from jobs.outcomes import explained

if TYPE_CHECKING:
    from pipeline.reading.search import Hit, SearchResult


def register(app: typer.Typer) -> None:
    """Add the command to the app."""
    app.command()(search)


def search(
    output: Annotated[str, typer.Argument(help="Folder or bucket prefix that `muscaps caption` wrote to.")],
    query: Annotated[
        str, typer.Argument(help="What the music is like; needs features/ (caption --save-features).")
    ] = "",
    like: Annotated[
        str | None, typer.Option(metavar="TRACK_ID", help="Tracks that sound like this one; needs no features/.")
    ] = None,
    where: Annotated[
        str | None,
        typer.Option(
            metavar="SQL", help="Condition over columns, in DuckDB's syntax: has_vocals = false and bpm < 100"
        ),
    ] = None,
    top: Annotated[int, typer.Option(metavar="N", help="Number of tracks to list.")] = 10,
    checkpoint: Annotated[
        str | None, typer.Option(metavar="DIR", help="Checkpoint that computed the features; default: the bundled one.")
    ] = None,
    bias_correction: Annotated[
        bool, typer.Option("--bias-correction", help="Subtract a track's mean score of background sentences.")
    ] = False,
    exact: Annotated[
        bool, typer.Option("--exact", help="With attention: score all tracks, not only candidates.")
    ] = False,
    address: AddressOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON list of track_id, score and more.")] = False,
) -> None:
    """List the tracks that fit a query best.

    Words are compared with tag scores and with log P(words | audio). "no drums", "not dark" and -drums exclude,
    title:"blue ska" finds text in a column.
    """
    with explained():
        from pipeline.reading.search import SearchConfig
        from pipeline.reading.search import search as rank

        result = rank(
            SearchConfig(
                output=output,
                query=query,
                like=like,
                where=where,
                top=top,
                checkpoint=checkpoint,
                bias_correction=bias_correction,
                exact=exact,
                address=address,
            )
        )
    _print_notes(result)
    if as_json:
        print(json.dumps([_as_json(hit) for hit in result.hits], default=str))
        return
    _print_table(result)


def _as_json(hit: "Hit") -> dict[str, object]:
    return {"track_id": hit.track_id, "score": hit.score, "fit": hit.fit, "is_weak": hit.is_weak, **hit.known}


def _print_notes(result: "SearchResult") -> None:
    """Print what was done with unknown words, and whether nothing fits."""
    for word, known in result.read_as.items():
        print(f"{word!r} is not known and read as {known!r}", file=sys.stderr)
    for word, alike in result.unknown.items():
        hint = f"; similar known words: {', '.join(alike)}" if alike else ""
        print(f"{word!r} is not known and left out{hint}", file=sys.stderr)
    if not result.hits:
        print("no track meets the conditions", file=sys.stderr)
    elif all(hit.is_weak for hit in result.hits):
        best = max(hit.fit for hit in result.hits if hit.fit is not None)
        print(f"no track fits well: the best fit of these is {_rounded_down(best)}, below 0.5", file=sys.stderr)


def _rounded_down(fit: float) -> str:
    """Return two decimals of a fit; 0.499 is below 0.5 and must not read 0.50."""
    return f"{math.floor(100 * fit) / 100:.2f}"


def _print_table(result: "SearchResult") -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("score", "fit", "track", "caption"):
        table.add_column(name, justify="right" if name in ("score", "fit") else "left")
    for hit in result.hits:
        track = " - ".join(str(hit.known[k]) for k in ("artist", "title") if hit.known.get(k))
        named = f"{track} ({hit.track_id})" if track else hit.track_id
        fit = "-" if hit.fit is None else f"{_rounded_down(hit.fit)}{' weak' if hit.is_weak else ''}"
        score = "-" if hit.score is None else f"{hit.score:.2f}"
        table.add_row(score, fit, Text(named), Text(str(hit.known.get("caption", ""))))
    Console().print(table)
    ranked = "1 track" if result.tracks == 1 else f"{result.tracks:,} tracks"
    print(f"{ranked} ranked in {result.seconds:.1f} s", file=sys.stderr)
