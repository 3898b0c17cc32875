"""The Typer app: one `muscaps` command, a file per group of subcommands beside it.

Nothing heavy is imported here or at the top of those files: `muscaps --help` must feel instant, so torch and
Ray are imported inside the functions that need them.
"""

import typer

from jobs import submission
from jobs.commands import benchmark, cataloguing, checkpoints, corpus, demo, evaluation, reading, training

app = typer.Typer(
    name="muscaps",
    help="Caption an entire music catalogue offline: one sentence per track, as Parquet.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

demo.register(app)
benchmark.register(app)
cataloguing.register(app)
checkpoints.register(app)
corpus.register(app)
evaluation.register(app)
reading.register(app)
submission.register(app)
training.register(app)


@app.callback()
def _muscaps() -> None:
    """Caption an entire music catalogue offline: one sentence per track, as Parquet."""


def main() -> None:
    """Run the command line."""
    app()
