"""The Typer app: one `muscaps` command, a file per group of subcommands beside it.

Nothing heavy is imported here or at the top of those files: `muscaps --help` must feel instant, so torch and
Ray are imported inside the functions that need them.
"""

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
    search,
    training,
)

app = typer.Typer(
    name="muscaps",
    help="Caption an entire music catalogue offline: one sentence per track, as Parquet.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

for group in (
    demo,
    captioning,
    output,
    export,
    report,
    search,
    cluster_jobs,
    checkpoints,
    corpus,
    dataset,
    pretraining,
    training,
    evaluation,
    experiment,
    benchmark,
):
    group.register(app)


@app.callback()
def _muscaps() -> None:
    """Caption an entire music catalogue offline: one sentence per track, as Parquet."""


def main() -> None:
    """Run the command line."""
    app()
