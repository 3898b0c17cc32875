"""`muscaps search`: tracks ranked by a sentence."""

import json
import sys
from typing import Annotated

import typer

from jobs.options import AddressOption
from jobs.outcomes import explained


def register(app: typer.Typer) -> None:
    """Add the command to the app."""
    app.command()(search)


def search(
    output: Annotated[str, typer.Argument(help="Folder or bucket prefix with features/ (caption --save-features).")],
    query: Annotated[str, typer.Argument(help="A sentence, worded like the captions.")],
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
    """List the tracks that fit a sentence best.

    Tracks are ranked by log P(sentence | audio).
    """
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
        hint = f"; similar known words: {', '.join(alike)}" if alike else ""
        print(f"{word!r} is not in the vocabulary and counts as <unk>{hint}", file=sys.stderr)
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
