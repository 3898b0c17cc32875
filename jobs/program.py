"""The group of all commands: what holds for each of them."""

from typing import Any

import typer

from jobs.help_page import GroupWithHelpPage
from jobs.outcomes import without_stack_trace

_ARGUMENTS = "muscaps.arguments"


class Program(GroupWithHelpPage):
    """Keeps the words of the command line, and lets no exception become a stack trace."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Keep the words before they are parsed."""
        ctx.meta[_ARGUMENTS] = list(args)
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        with without_stack_trace():
            return super().invoke(ctx)


def typed_arguments(context: typer.Context) -> list[str] | None:
    """Return the words after `muscaps`; None for a command that is only parsed, as `muscaps submit` does."""
    arguments: list[str] | None = context.meta.get(_ARGUMENTS)
    return arguments
