"""Every `muscaps` command in README and docs names a command and options that exist."""

import re
import shlex
from pathlib import Path

import pytest
import typer

from jobs.cli import app

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def commands():
    """(page, command line) of each line in a fenced shell block that starts with muscaps."""
    for page in PAGES:
        for block in re.findall(r"```(?:sh|bash|console)\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL):
            joined = block.replace("\\\n", " ")
            for line in joined.splitlines():
                line = line.removeprefix("$ ").strip()
                if line.startswith("muscaps "):
                    yield pytest.param(line.partition("  #")[0], id=f"{page.name}: {line[:60]}")


@pytest.mark.parametrize("line", list(commands()))
def test_a_documented_command_exists_with_its_options(line):
    words = shlex.split(line)[1:]
    command = typer.main.get_command(app)
    while words and hasattr(command, "commands"):
        assert words[0] in command.commands, f"no command {words[0]!r} in: {line}"
        command = command.commands[words.pop(0)]
    known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    for word in words:
        if word == "--":
            break
        if word.startswith("-") and not word.lstrip("-").replace(".", "").isdigit():
            assert word.partition("=")[0] in known | {"--help", "-h"}, f"no option {word} in: {line}"
