"""The command line as a whole: version, completion, help."""

from importlib.metadata import version
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from jobs.cli import app


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
