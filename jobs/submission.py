"""Work on a running cluster through Ray Jobs: `muscaps submit -- caption ...`, and `muscaps job` to look after it.

Conventions: the cluster's nodes have muscaps installed (infra/Dockerfile), or get this machine's with `--code`.
Files of this machine that a command reads travel with the job; what it writes must lie where every node can
write, so a bucket. A job's exit status is the command's own; one that was stopped has 75, as a drained run.
"""

import json
import os
import shlex
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jobs.outcomes import DRAINED, FAILED, explained

if TYPE_CHECKING:
    from ray.job_submission import JobSubmissionClient

DEFAULT_ADDRESS = "http://127.0.0.1:8265"
STOP_WAIT_SECONDS = 600
"""How long a stopped job may take to write what is in flight; Ray's own wait is 3 s."""
COMMAND_NOT_FOUND = 127  # what a shell says
NOT_FOR_A_CLUSTER = ("submit", "job", "demo")
_USAGE_ERROR: Any = typer.BadParameter.__bases__[0]  # click's, or that of the click inside newer typers
MAX_UPLOAD_BYTES = 200 * 2**20
"""Ray keeps uploads in the head's memory; audio does not belong there."""

AddressOption = Annotated[
    str | None,
    typer.Option(metavar="URL", help=f"The cluster's job server; default: $RAY_API_SERVER_ADDRESS, {DEFAULT_ADDRESS}."),
]
IdArgument = Annotated[str, typer.Argument(metavar="ID", help="The job, as `muscaps submit` named it.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]

job_app = typer.Typer(no_args_is_help=True, help="Look after submitted jobs: list, status, logs, stop.")


def register(app: typer.Typer) -> None:
    """Add the commands to the app."""
    app.command("submit", context_settings={"allow_interspersed_args": False})(submit)
    app.add_typer(job_app, name="job")


@dataclass(frozen=True, kw_only=True)
class Submission:
    """A command made ready for a cluster."""

    entrypoint: str
    """What the head runs, for a shell."""
    uploads: dict[str, Path]
    """Name in the job's working directory -> file or folder of this machine."""


def prepare(arguments: Sequence[str], *, paths_are_shared: bool = False, with_code: bool = False) -> Submission:
    """Check a muscaps command, and turn its local inputs into uploads.

    Args:
        arguments: The command, without `muscaps`.
        paths_are_shared: Paths mean the same on every node; nothing is uploaded, relative ones become absolute.
        with_code: Run this machine's muscaps instead of the nodes' own.

    Raises:
        ValueError: No such command or option, a local folder to read or write, or an upload that is too large.
    """
    command, context = _parsed(list(arguments))
    words, uploads = list(arguments), dict[str, Path]()
    read, written = _paths(command, context)
    for path in {*read, *written}:
        if paths_are_shared:
            words = _renamed(words, path, str(Path(path).absolute()))
        elif path in written:
            raise ValueError(
                f"{path} is a folder of this machine, which the cluster cannot write: name a bucket prefix, or "
                "say --shared-paths where every node sees the same files"
            )
        elif Path(path).exists():
            name = f"inputs/{len(uploads)}/{Path(path).name}"
            uploads[name] = Path(path)
            words = _renamed(words, path, name)
    _check_size(uploads)
    if any("--address" in parameter.opts for parameter in command.params) and not context.params.get("address"):
        names = len(context.info_name.split())
        words[names:names] = ["--address", "auto"]
    program = ["muscaps"]
    if with_code:
        for package in ("muscaps", "pipeline", "jobs"):
            uploads[package] = Path(__file__).parents[1] / package
        program = ["python", "-c", "from jobs.cli import main; main()"]
    return Submission(entrypoint="exec " + shlex.join([*program, *words]), uploads=uploads)


def _renamed(words: list[str], path: str, name: str) -> list[str]:
    """The words with another name for a path, be it a word of its own or the value in `--option=value`."""
    given = {path: name}
    split = [word.partition("=") if word.startswith("--") else ("", "", word) for word in words]
    return [before + sign + given.get(value, value) for before, sign, value in split]


def _parsed(arguments: list[str]) -> tuple[Any, Any]:
    """The command and its parsed arguments; refuses what the command line would."""
    from jobs.cli import app

    context: Any = None
    command: Any = typer.main.get_command(app)
    names: list[str] = []
    rest = arguments
    while hasattr(command, "commands"):
        if not rest or rest[0] not in command.commands or (not names and rest[0] in NOT_FOR_A_CLUSTER):
            known = sorted(set(command.commands) - (set() if names else set(NOT_FOR_A_CLUSTER)))
            said = " ".join([*names, *rest[:1]]) or "nothing"
            raise ValueError(f"{said} is no command for a cluster; write one after --: {', '.join(known)}")
        names.append(rest[0])
        command, rest = command.commands[rest[0]], rest[1:]
    try:
        context = command.make_context(" ".join(names), list(rest))
    except _USAGE_ERROR as error:
        raise ValueError(f"{' '.join(names)}: {error.format_message()}") from None
    except typer.Exit:
        raise ValueError(f"help is printed here, without a cluster: muscaps {' '.join(names)} --help") from None
    return command, context


_WRITTEN = frozenset(("output", "out", "file", "report"))
_READ = frozenset(("catalogue", "checkpoint", "dataset", "pairs", "captions", "extractor", "init", "word_vectors"))


def _paths(command: Any, context: Any) -> tuple[list[str], list[str]]:
    """Local paths among the arguments: those read and those written."""
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
                f"{path} has {size / 2**20:,.0f} MiB, more than the {MAX_UPLOAD_BYTES // 2**20} MiB a job may carry: "
                "copy it to a bucket and name that"
            )


def submit(
    command: Annotated[list[str], typer.Argument(metavar="-- COMMAND ...", help="As typed after `muscaps`.")],
    address: AddressOption = None,
    wait: Annotated[bool, typer.Option(help="Follow the log to the end and exit as the command did.")] = True,
    env: Annotated[
        list[str] | None, typer.Option(metavar="NAME[=VALUE]", help="Set on the nodes; without a value: as here.")
    ] = None,
    shared_paths: Annotated[
        bool, typer.Option("--shared-paths", help="Every node sees the same files: upload nothing.")
    ] = False,
    code: Annotated[bool, typer.Option("--code", help="Run this machine's muscaps, not the nodes'.")] = False,
    job_id: Annotated[str | None, typer.Option("--id", metavar="ID", help="Name of the job; default: made up.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Run a muscaps command on a cluster: muscaps submit -- caption s3://... s3://...

    Ctrl-C stops following; the job goes on. `muscaps job stop ID` ends it after what is in flight is written.
    """
    with explained():
        submission = prepare(command, paths_are_shared=shared_paths, with_code=code)
        client = _client(address)
        name = _submit(client, submission, command, _environment(env or []), job_id)
    typer.echo(f"muscaps: job {name} submitted to {_address(address)}", err=True)
    if not wait:
        print(json.dumps({"job": name, "status": "PENDING"}) if as_json else name)
        return
    _end_with(client, name, as_json=as_json)


@job_app.command("list")
def list_jobs(address: AddressOption = None, as_json: JsonOption = False) -> None:
    """List the cluster's jobs, newest last."""
    with explained():
        found = sorted(_client(address).list_jobs(), key=lambda job: job.start_time or 0)
    jobs = [_described(job) for job in found if job.submission_id]
    if as_json:
        print(json.dumps(jobs))
        return
    for job in jobs:
        print(f"{job['job']}  {job['status']:<9}  {job['command']}")


@job_app.command()
def status(job: IdArgument, address: AddressOption = None, as_json: JsonOption = False) -> None:
    """Say how a job is; exits 0 while it is waiting or running, then as its command did."""
    with explained():
        about = _described(_info(_client(address), job))
    print(json.dumps(about) if as_json else f"{about['status']}  {about['command']}\n{about['message']}".rstrip())
    raise typer.Exit(about["exit_status"] or 0)


@job_app.command()
def logs(
    job: IdArgument,
    address: AddressOption = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on to the end, and exit as the command did.")
    ] = False,
) -> None:
    """Print what a job has logged."""
    with explained():
        client = _client(address)
        _info(client, job)
        if not follow:
            sys.stdout.write(client.get_job_logs(job))
            return
    _end_with(client, job, as_json=False)


@job_app.command()
def stop(
    job: IdArgument,
    address: AddressOption = None,
    wait: Annotated[bool, typer.Option(help="Wait until what is in flight is written.")] = True,
) -> None:
    """Stop a job; it writes what is in flight first, and submitting it again does the rest."""
    with explained():
        client = _client(address)
        if _info(client, job).status.is_terminal():
            typer.echo(f"muscaps: {job} had ended already", err=True)
            return
        client.stop_job(job)
        while wait and not (about := _info(client, job)).status.is_terminal():
            time.sleep(0.5)
    typer.echo(f"muscaps: {job} {'stopped' if wait else 'is stopping'}", err=True)
    if wait:
        print(_described(about)["status"])


def _address(address: str | None) -> str:
    return address or os.environ.get("RAY_API_SERVER_ADDRESS") or DEFAULT_ADDRESS


def _client(address: str | None) -> "JobSubmissionClient":
    """Connect to the job server.

    Raises:
        ValueError: The address is none.
        RuntimeError: Nobody answers there, or not to this token.
    """
    import logging

    where = _address(address)
    if not where.startswith(("http://", "https://")):
        raise ValueError(f"{where} is no job server: write http://HOST:8265")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if _has_token():
        os.environ.setdefault("RAY_AUTH_MODE", "token")  # Ray's client does not send one of its own accord
    from ray.exceptions import AuthenticationError
    from ray.job_submission import JobSubmissionClient

    for name in ("ray", "ray.dashboard.modules.job.sdk"):
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        return JobSubmissionClient(where)
    except AuthenticationError:
        raise RuntimeError(
            f"the cluster at {where} wants another token: set RAY_AUTH_TOKEN to what `ray get-auth-token` prints on "
            "its head, or copy the head's ~/.ray/auth_token here"
        ) from None
    except ConnectionError as error:
        raise RuntimeError(
            f"no job server answers at {where}: is the cluster up, and its port 8265 forwarded? ({error})"
        ) from None


def _has_token() -> bool:
    """Whether Ray finds a token here: in the environment, or in the file Ray keeps it in."""
    named = any(os.environ.get(name) for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"))
    return named or Path("~/.ray/auth_token").expanduser().exists()


def _environment(entries: Sequence[str]) -> dict[str, str]:
    variables = {"RAY_JOB_STOP_WAIT_TIME_S": str(STOP_WAIT_SECONDS)}
    for entry in entries:
        name, given, value = entry.partition("=")
        if not name or (not given and name not in os.environ):
            raise ValueError(f"--env {entry}: {name or 'the name'} is not set here; write NAME=VALUE")
        variables[name] = value if given else os.environ[name]
    return variables


def _submit(
    client: "JobSubmissionClient",
    submission: Submission,
    command: Sequence[str],
    variables: dict[str, str],
    job_id: str | None,
) -> str:
    from muscaps import __version__

    environment: dict[str, Any] = {"env_vars": variables}
    with _gathered(submission.uploads) as folder:
        if folder is not None:
            environment["working_dir"] = str(folder)
        return str(
            client.submit_job(
                entrypoint=submission.entrypoint,
                submission_id=job_id
                or f"muscaps-{command[0]}-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-{os.urandom(3).hex()}",
                runtime_env=environment,
                metadata={"muscaps": __version__, "command": shlex.join(command)},
            )
        )


@contextmanager
def _gathered(uploads: dict[str, Path]) -> Iterator[Path | None]:
    """A folder with all uploads, for Ray to pack; None where there are none."""
    if not uploads:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="muscaps-submit-") as name:
        for where, source in uploads.items():
            target = Path(name) / where
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copyfile(source, target)
        yield Path(name)


def _info(client: "JobSubmissionClient", job: str) -> Any:
    try:
        return client.get_job_info(job)
    except RuntimeError as error:
        if "404" in str(error) or "does not exist" in str(error):
            raise ValueError(f"no job {job} on this cluster; `muscaps job list` shows those there are") from None
        raise


def _described(details: Any) -> dict[str, Any]:
    """A job for a machine: its exit status is None until it has ended."""
    ended = details.status.is_terminal()
    return {
        "job": details.submission_id,
        "status": str(details.status.value),
        "command": (details.metadata or {}).get("command") or details.entrypoint,
        "message": details.message or "",
        "started_at": details.start_time,
        "ended_at": details.end_time,
        "exit_status": _exit_status(details) if ended else None,
    }


def _exit_status(details: Any) -> int:
    if details.status.value == "SUCCEEDED":
        return 0
    if details.status.value == "STOPPED":
        return DRAINED
    code = details.driver_exit_code
    return code if code is not None and code > 0 else FAILED


def _end_with(client: "JobSubmissionClient", job: str, *, as_json: bool) -> None:
    """Follow a job to its end and exit as it did."""
    try:
        with explained():
            details = _followed(client, job, to_stderr=as_json)
    except KeyboardInterrupt:
        typer.echo(f"\nmuscaps: {job} goes on; `muscaps job logs -f {job}` follows it again", err=True)
        raise typer.Exit(130) from None
    about = _described(details)
    if as_json:
        print(json.dumps(about))
    elif about["exit_status"]:
        first_line = about["message"].partition(", last available logs")[0].partition("\n")[0]
        typer.echo(f"muscaps: {job} ended as {about['status']}: {first_line}", err=True)
    if about["exit_status"] == COMMAND_NOT_FOUND:
        typer.echo(
            "muscaps: the cluster's head finds no such program: start Ray where muscaps is on the PATH, use the image "
            "of infra/Dockerfile, or say --env PATH=...",
            err=True,
        )
    raise typer.Exit(about["exit_status"])


def _followed(client: "JobSubmissionClient", job: str, *, to_stderr: bool) -> Any:
    """Print a job's log as it grows, across broken connections, until the job has ended."""
    import asyncio

    shown = 0
    out = sys.stderr if to_stderr else sys.stdout

    async def tail() -> None:
        nonlocal shown
        seen = 0
        async for text in client.tail_job_logs(job):
            new = text[max(0, shown - seen) :]
            seen += len(text)
            shown = max(shown, seen)
            out.write(new)
            out.flush()

    quiet_since = None
    while True:
        try:
            asyncio.run(tail())
            quiet_since = None
        except (RuntimeError, OSError):
            quiet_since = quiet_since or time.monotonic()
        try:
            details = _info(client, job)
        except (RuntimeError, OSError) as error:
            quiet_since = quiet_since or time.monotonic()
            if time.monotonic() - quiet_since > 120:
                raise RuntimeError(f"the job server has not answered for two minutes: {error}") from None
            time.sleep(2)
            continue
        if details.status.is_terminal():
            rest = client.get_job_logs(job)
            out.write(rest[shown:])
            out.flush()
            return details
        time.sleep(0.5)
