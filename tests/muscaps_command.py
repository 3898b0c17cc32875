"""The command line with the code of this checkout, in a process of its own or in the test's."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

from typer.testing import CliRunner, Result

from jobs.cli import app

ROOT = Path(__file__).parents[1]
CLI = "from jobs.cli import main; main()"


def muscaps(
    *arguments: object, check: bool = True, timeout: float = 280, folder: Path | None = None
) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", CLI, *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=timeout, env=environment, cwd=folder, check=False
    )
    assert not check or done.returncode == 0, f"muscaps {shlex.join(command[3:])}\n{done.stderr[-3000:]}"
    return done


def muscaps_in_process(*arguments: object) -> Result:
    """Run a command in this process, and with its Ray if one is running."""
    words = [str(argument) for argument in arguments]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, f"muscaps {shlex.join(words)}\n{done.output[-3000:]}"
    return done
