"""The help pages: grouped commands and options, one style of placeholders, examples at the end.

Conventions: a placeholder is in capital letters, for arguments too: `CATALOGUE`, `--limit N`. Choices are listed:
`--fusion early|late`. A parameter without a placeholder of its own gets that of its type. Options and commands that no
group names come first, under "Options" and "Commands".
"""

import inspect
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption

from jobs.examples import EXAMPLES

COMMAND_GROUPS: Mapping[str, Sequence[str]] = {
    "Caption a catalogue": ("demo", "caption", "retry", "status", "verify", "compact"),
    "Use the captions": ("export", "report", "search", "review"),
    "On a cluster": ("submit", "job"),
    "Train a model": ("checkpoint", "corpus", "dataset", "pretrain", "train"),
    "Measure": ("evaluate", "experiment", "bench"),
}

OPTION_GROUPS: Mapping[str, Sequence[str]] = {
    "Captions": (
        "checkpoint", "beam_size", "max_words", "max_chars", "segments", "alternatives", "attention", "precision",
        "min_tag_score",
    ),
    "Tracks": (
        "effort", "max_chunks", "decode_only_needed", "limit", "match_by", "group_by", "model", "split", "queries",
    ),
    "Tags": ("taxonomy", "taxonomy_template", "tags", "write", "overwrite"),
    "Audio network": ("extractor", "architecture", "channels", "frontend_scale", "scratch", "fine_tune"),
    "Captioner": ("start", "fusion", "glove", "word_dim", "hidden_dim", "name"),
    "Training": (
        "learning_rate", "batch_size", "max_epochs", "scratch_max_epochs", "max_minutes", "patience", "dropout",
        "gradient_clip", "disturbed", "monitor", "excerpts", "additive_tags", "augment", "replay",
    ),
    "Limits of the run": ("max_error_rate", "max_runtime"),
    "Machines": (
        "address", "gpus", "workers_per_gpu", "num_workers", "gpu", "threads", "num_cpus", "device",
    ),
    "Repeatability": ("seed",),
    "Output": (
        "save_features", "columns", "rename", "profile", "audiofolder", "spreadsheet_safe", "excel",
        "as_json", "help",
    ),
}  # fmt: skip
"""Heading -> parameter names. Used where a command has more than `MAX_UNGROUPED` options."""
MAX_UNGROUPED = 8

_PLACEHOLDERS = {int: "N", float: "X", str: "TEXT", Path: "PATH"}


class CommandWithHelpPage(TyperCommand):
    """A command whose help page is that of this module."""

    def __init__(self, *args: Any, **values: Any) -> None:
        """Give every parameter a placeholder."""
        super().__init__(*args, **values)
        for parameter in self.params:
            _set_placeholder(parameter)

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Return the words of the usage line after the command's name."""
        pieces = [self.options_metavar] if self.options_metavar else []
        arguments = [part for part in self.params if isinstance(part, TyperArgument)]
        return pieces + [_name(part) if part.required else f"[{_name(part)}]" for part in arguments]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write arguments, then options by group."""
        arguments = [
            (_name(part), _argument_help(part, ctx)) for part in self.params if isinstance(part, TyperArgument)
        ]
        if arguments:
            with formatter.section("Arguments"):
                formatter.write_dl(arguments)
        options = [part for part in self.get_params(ctx) if not isinstance(part, TyperArgument)]
        groups = _grouped([part.name or "" for part in options], OPTION_GROUPS, rest="Options")
        if len(options) <= MAX_UNGROUPED:
            groups = {"Options": range(len(options))}
        for heading, members in groups.items():
            records = [record for index in members if (record := options[index].get_help_record(ctx)) is not None]
            if records:
                with formatter.section(heading):
                    formatter.write_dl(records)

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """Write the examples."""
        _write_examples(ctx, formatter)


class GroupWithHelpPage(TyperGroup):
    """A group of commands whose help page is that of this module."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write commands by group, each with its whole summary."""
        shown = [(name, command) for name, command in self.commands.items() if not command.hidden]
        width = max((len(name) for name, _ in shown), default=0)
        groups = _grouped([name for name, _ in shown], COMMAND_GROUPS, rest="Commands")
        if self is not ctx.find_root().command:
            groups = {"Commands": range(len(shown))}
        for heading, members in groups.items():
            rows = [(shown[index][0].ljust(width), _summary(shown[index][1])) for index in members]
            if rows:
                with formatter.section(heading):
                    formatter.write_dl(rows)

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """Write the examples."""
        _write_examples(ctx, formatter)


def use_help_pages(app: typer.Typer) -> None:
    """Give the commands of an app, and those of its groups, the help pages of this module."""
    for command in app.registered_commands:
        command.cls = CommandWithHelpPage
    for group in app.registered_groups:
        assert group.typer_instance is not None
        group.cls = GroupWithHelpPage
        use_help_pages(group.typer_instance)


def _write_examples(ctx: Any, formatter: Any) -> None:
    """Write the examples of a command or group, one a line."""
    program, _, name = ctx.command_path.partition(" ")
    examples = EXAMPLES.get(name, ())
    if examples:
        with formatter.section("Examples"):
            for words, note in examples:
                formatter.write(f"  # {note}\n  {program} {words}\n")


def _set_placeholder(parameter: Any) -> None:
    if parameter.metavar is not None or not isinstance(parameter, TyperArgument | TyperOption):
        return
    if isinstance(parameter, TyperArgument):
        parameter.metavar = (parameter.name or "").upper()
    elif parameter.type_descriptor.is_choice:
        parameter.metavar = "|".join(choice.value for choice in parameter.type_descriptor.choices or ())
    elif not parameter.is_flag:
        kind = parameter.type_descriptor.annotation
        members = getattr(kind, "__args__", ())  # of list[int]
        parameter.metavar = _PLACEHOLDERS.get(members[0] if members else kind, "TEXT")


def _name(argument: TyperArgument) -> str:
    return argument.metavar or (argument.name or "").upper()


def _argument_help(argument: TyperArgument, ctx: Any) -> str:
    record = argument.get_help_record(ctx)
    return "" if record is None else record[1].removesuffix("  [required]")  # the usage line shows it


def _summary(command: Any) -> str:
    """Return the first paragraph of a command's help, which is never cut."""
    text = command.short_help or inspect.cleandoc(command.help or "").partition("\n\n")[0]
    return " ".join(text.split())


def _grouped(names: Sequence[str], groups: Mapping[str, Sequence[str]], *, rest: str) -> dict[str, Iterable[int]]:
    """Sort positions in `names` into groups; those of no group come first, under `rest`."""
    heading = {name: title for title, members in groups.items() for name in members}
    found: dict[str, list[int]] = {title: [] for title in (rest, *groups)}
    for index, name in enumerate(names):
        found[heading.get(name, rest)].append(index)
    return {title: members for title, members in found.items()}
