"""The command line as a whole: version, completion, help."""

import shlex
from importlib.metadata import version
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from jobs.cli import app
from jobs.examples import EXAMPLES
from jobs.help_page import COMMAND_GROUPS, MAX_UNGROUPED, OPTION_GROUPS


def commands() -> list[tuple[str, Any]]:
    """(name, command) of every command, groups included."""
    found = []
    pending: list[tuple[str, Any]] = [("", typer.main.get_command(app))]
    while pending:
        name, command = pending.pop()
        found.append((name, command))
        pending += [(f"{name} {word}".strip(), part) for word, part in getattr(command, "commands", {}).items()]
    return found


def test_version_is_that_of_the_package() -> None:
    assert CliRunner().invoke(app, ["--version"]).stdout == f"muscaps {version('muscaps')}\n"


def test_shell_completion_can_be_installed() -> None:
    assert "--install-completion" in CliRunner().invoke(app, ["--help"]).stdout


@pytest.mark.parametrize(("name", "command"), commands(), ids=lambda value: value if isinstance(value, str) else "")
def test_summaries_are_whole_in_80_columns(name: str, command: Any) -> None:
    result = CliRunner().invoke(app, [*name.split(), "--help"], env={"COLUMNS": "80"})
    assert result.exit_code == 0
    assert [line for line in result.stdout.splitlines() if line.endswith("...") and "Usage" not in line] == []


@pytest.mark.parametrize(("name", "command"), commands(), ids=lambda value: value if isinstance(value, str) else "")
def test_every_option_has_a_help_text(name: str, command: Any) -> None:
    undocumented = [parameter.name for parameter in command.params if not getattr(parameter, "help", None)]
    assert undocumented == []


@pytest.mark.parametrize(("name", "command"), commands(), ids=lambda value: value if isinstance(value, str) else "")
def test_placeholders_are_in_capitals_or_list_the_choices(name: str, command: Any) -> None:
    shown = [part.metavar for part in command.params if part.metavar is not None]
    assert [one for one in shown if one.upper() != one and "|" not in one and "-- COMMAND" not in one] == []
    help_page = CliRunner().invoke(app, [*name.split(), "--help"]).stdout
    assert [word for word in help_page.split() if word.startswith(("<int", "<str", "<float", "<path"))] == []


def test_options_of_commands_with_many_are_grouped() -> None:
    page = CliRunner().invoke(app, ["caption", "--help"]).stdout
    headings = [line for line in page.splitlines() if line.endswith(":") and not line.startswith(" ")]
    assert headings == [
        "Arguments:", "Captions:", "Tracks:", "Limits of the run:", "Machines:", "Output:", "Examples:",
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["caption", "train", "pretrain", "report", "search"])
def test_no_option_is_left_out_of_a_grouped_page(name: str) -> None:
    page = CliRunner().invoke(app, [name, "--help"]).stdout
    assert [
        opt for part in dict(commands())[name].params for opt in part.opts if opt[0] == "-" and opt not in page
    ] == []


def test_groups_name_an_option_or_a_command_once() -> None:
    for groups in (COMMAND_GROUPS, OPTION_GROUPS):
        names = [name for members in groups.values() for name in members]
        assert len(names) == len(set(names))
    assert len(dict(commands())["caption"].params) > MAX_UNGROUPED


@pytest.mark.parametrize("name", [name for name, _ in commands()])
def test_every_help_page_shows_an_example(name: str) -> None:
    page = CliRunner().invoke(app, [*name.split(), "--help"], env={"COLUMNS": "80"}, prog_name="muscaps").stdout
    assert f"\n  muscaps {name}" in page.partition("Examples:\n")[2]
    assert max(map(len, page.splitlines())) <= 80


MAIN = ("caption", "retry", "verify", "status", "export", "report", "search", "submit", "dataset prepare", "train")


@pytest.mark.parametrize("name", MAIN)
def test_a_main_command_shows_three_examples(name: str) -> None:
    page = CliRunner().invoke(app, [*name.split(), "--help"], env={"COLUMNS": "80"}, prog_name="muscaps").stdout
    lines = page.partition("Examples:\n")[2].splitlines()
    assert len([line for line in lines if line.startswith(f"  muscaps {name}")]) >= 3


@pytest.mark.parametrize(("name", "words"), [(name, words) for name, found in EXAMPLES.items() for words, _ in found])
def test_an_example_parses(name: str, words: str) -> None:
    arguments, command = shlex.split(words), typer.main.get_command(app)
    assert words.startswith(name)
    if arguments[0] == "submit":
        inner = arguments[arguments.index("--") + 1 :]
        assert inner[0] in EXAMPLES
    for part in name.split():
        command, arguments = command.commands[part], arguments[1:]  # type: ignore[attr-defined]
    command.make_context("muscaps", arguments)
