"""A muscaps command for a cluster: checked, and with its local inputs as uploads.

Conventions: the cluster's nodes have muscaps installed (infra/Dockerfile), or get this machine's with `--code`.
Local files that a command reads are uploaded with the job. What it writes must be in a place that every node can
write to, usually a bucket.
"""

import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

NOT_FOR_A_CLUSTER = ("submit", "job", "demo")
_USAGE_ERROR: Any = typer.BadParameter.__bases__[0]  # of click, or of the copy of click in newer versions of Typer
MAX_UPLOAD_BYTES = 200 * 2**20
"""Maximum size of an upload, which Ray keeps in the head's memory."""


@dataclass(frozen=True, kw_only=True)
class Submission:
    """A command for a cluster."""

    entrypoint: str
    """Shell command that the head runs."""
    uploads: dict[str, Path]
    """File or folder of this machine, by its name in the job's working directory."""


def prepare(
    arguments: Sequence[str], program: Any, *, paths_are_shared: bool = False, with_code: bool = False
) -> Submission:
    """Check a muscaps command and collect its local inputs.

    Args:
        arguments: The command, without `muscaps`.
        program: The whole command line, as click's group of commands.
        paths_are_shared: All nodes have the same files; nothing is uploaded, relative paths become absolute.
        with_code: Run this machine's muscaps instead of the nodes' own.

    Raises:
        ValueError: No such command or option, a local folder to read or write, or an upload that is too large.
    """
    command, context = _parsed(list(arguments), program)
    words, uploads = list(arguments), dict[str, Path]()
    read, written = _paths(command, context)
    for path in {*read, *written}:
        if paths_are_shared:
            words = _renamed(words, path, str(Path(path).absolute()))
        elif path in written:
            raise ValueError(
                f"{path} is a folder of this machine, which the cluster cannot write: give a bucket prefix, or "
                "--shared-paths if all nodes have the same files"
            )
        elif Path(path).exists():
            name = f"inputs/{len(uploads)}/{Path(path).name}"
            uploads[name] = Path(path)
            words = _renamed(words, path, name)
    _check_size(uploads)
    if any("--address" in parameter.opts for parameter in command.params) and not context.params.get("address"):
        names = len(context.info_name.split())
        words[names:names] = ["--address", "auto"]
    start = ["muscaps"]
    if with_code:
        for package in ("muscaps", "pipeline", "jobs"):
            uploads[package] = Path(__file__).parents[1] / package
        start = ["python", "-c", "from jobs.cli import main; main()"]
    return Submission(entrypoint="exec " + shlex.join([*start, *words]), uploads=uploads)


def _renamed(words: list[str], path: str, name: str) -> list[str]:
    """Return the words with a path replaced, as a word of its own or as the value in `--option=value`."""
    given = {path: name}
    split = [word.partition("=") if word.startswith("--") else ("", "", word) for word in words]
    return [before + sign + given.get(value, value) for before, sign, value in split]


def _parsed(arguments: list[str], program: Any) -> tuple[Any, Any]:
    """Return the command and its parsed arguments; raise ValueError for what the command line rejects."""
    context: Any = None
    command: Any = program
    names: list[str] = []
    rest = arguments
    while hasattr(command, "commands"):
        if not rest or rest[0] not in command.commands or (not names and rest[0] in NOT_FOR_A_CLUSTER):
            known = sorted(set(command.commands) - (set() if names else set(NOT_FOR_A_CLUSTER)))
            given = " ".join([*names, *rest[:1]]) or "nothing"
            raise ValueError(f"{given} is not a command for a cluster; write one of these after --: {', '.join(known)}")
        names.append(rest[0])
        command, rest = command.commands[rest[0]], rest[1:]
    try:
        context = command.make_context(" ".join(names), list(rest))
    except _USAGE_ERROR as error:
        raise ValueError(f"{' '.join(names)}: {error.format_message()}") from None
    except typer.Exit:
        raise ValueError(f"help is printed without a cluster: muscaps {' '.join(names)} --help") from None
    return command, context


_WRITTEN = frozenset(("output", "out", "file", "report"))
_READ = frozenset(("catalogue", "checkpoint", "dataset", "pairs", "captions", "extractor", "init", "word_vectors"))


def _paths(command: Any, context: Any) -> tuple[list[str], list[str]]:
    """Return the local paths among the arguments: those read and those written."""
    from pipeline import storage

    read, written = [], []
    for parameter in command.params:
        value = context.params.get(parameter.name)
        if not isinstance(value, str | os.PathLike) or storage.is_remote(str(value)):
            continue
        if parameter.name in _WRITTEN:
            written.append(str(value))
        elif parameter.name in _READ or Path(value).exists():
            read.append(str(value))
    return read, written


def _check_size(uploads: dict[str, Path]) -> None:
    for path in uploads.values():
        size = sum(f.stat().st_size for f in path.rglob("*") if f.is_file()) if path.is_dir() else path.stat().st_size
        if size > MAX_UPLOAD_BYTES:
            raise ValueError(
                f"{path} has {size / 2**20:,.0f} MiB, more than the {MAX_UPLOAD_BYTES // 2**20} MiB of an upload: "
                "copy it to a bucket and give its URI"
            )
