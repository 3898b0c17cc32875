"""The report of an unexpected error: a file with its stack trace, and one line for the screen."""

import contextlib
import os
import platform
import shlex
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from pathlib import Path

MAX_MESSAGE = 300
"""Most characters of an error's message on the screen."""


def report_unexpected(error: BaseException) -> str:
    """Write an error's stack trace to a file.

    Args:
        error: With its traceback and causes.

    Returns:
        One line: the error, where its stack trace is, and what to do with it.
    """
    found = f"unexpected {type(error).__name__}: {shortened(str(error))}".rstrip(": ")
    path = _write(_report(error))
    if path is None:
        return f"{found} (its stack trace could not be written: no folder for temporary files is writable)"
    return f"{found}; its stack trace is in {path}. Please report it with this file (docs/contributing.md)"


def shortened(text: str) -> str:
    """Return a text in one line of at most `MAX_MESSAGE` characters."""
    line = " ".join(text.split())
    return line if len(line) <= MAX_MESSAGE else f"{line[:MAX_MESSAGE]}..."


def _report(error: BaseException) -> str:
    """Return versions, command and stack trace."""
    lines = [
        f"time: {time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())}",
        f"command: {shlex.join(sys.argv)}",
        f"python: {platform.python_version()} on {platform.platform()}",
        *_versions(),
        "",
        "".join(traceback.format_exception(error)),
    ]
    return "\n".join(lines)


def _versions() -> Iterator[str]:
    """Yield the versions of the packages that errors most often come from."""
    from importlib.metadata import PackageNotFoundError, version

    for name in ("muscaps", "ray", "torch", "pyarrow", "av"):
        with contextlib.suppress(PackageNotFoundError):
            yield f"{name}: {version(name)}"


def _write(text: str) -> Path | None:
    """Write a report into the folder for temporary files, else the working directory; None if neither is writable."""
    name = f"muscaps-error-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-{os.getpid()}-"
    for folder in (None, "."):  # None: the folder for temporary files
        with contextlib.suppress(OSError):
            handle, path = tempfile.mkstemp(prefix=name, suffix=".txt", dir=folder)
            with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as file:
                file.write(text)
            return Path(path).absolute()
    return None
