"""The `muscaps` command: a Typer app with one file per command group in jobs/commands.

Conventions: torch, Ray, pandas and pyarrow are imported inside functions, here and in jobs/commands, so that
`muscaps --help` and shell completion start in a fraction of a second.
"""

import sys
import threading
from typing import Annotated

import typer

from jobs.commands import (
    benchmark,
    captioning,
    checkpoints,
    cluster_jobs,
    corpus,
    dataset,
    demo,
    evaluation,
    experiment,
    export,
    output,
    pretraining,
    report,
    review,
    search,
    status,
    training,
)
from jobs.help_page import use_help_pages
from jobs.outcomes import flush_output, report_thread_error
from jobs.program import Program

app = typer.Typer(
    name="muscaps",
    cls=Program,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

for group in (
    demo, captioning, status, output, export, report, review, search, cluster_jobs, checkpoints, corpus, dataset,
    pretraining, training, evaluation, experiment, benchmark,
):  # fmt: skip
    group.register(app)
use_help_pages(app)


def _print_version(requested: bool) -> None:
    if requested:
        from importlib.metadata import version  # the package itself imports torch

        typer.echo(f"muscaps {version('muscaps')}")
        raise typer.Exit


@app.callback()
def _muscaps(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Caption a music catalogue offline: one sentence per track, as Parquet."""


def main() -> None:
    """Run the command line."""
    threading.excepthook = report_thread_error
    try:
        app()
    finally:
        status = flush_output()
        if status is not None:
            sys.exit(status)
