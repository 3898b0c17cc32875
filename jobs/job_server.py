"""Ray's job server: connect, submit, describe and follow jobs."""

import os
import shlex
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from jobs.outcomes import DRAINED, FAILED
from jobs.submission import Submission

if TYPE_CHECKING:
    from ray.job_submission import JobSubmissionClient
DEFAULT_ADDRESS = "http://127.0.0.1:8265"
STOP_WAIT_SECONDS = 600
"""Time that a stopped job has to write its finished tracks; Ray's default is 3 s."""
SILENT_SECONDS = 120
"""Time without an answer of the job server after which following a job fails."""
COMMAND_NOT_FOUND = 127  # exit status of a shell


def server_address(address: str | None) -> str:
    """Return the address of the job server: the given one, that of the environment, or the default."""
    return address or os.environ.get("RAY_API_SERVER_ADDRESS") or DEFAULT_ADDRESS


def connect(address: str | None) -> "JobSubmissionClient":
    """Connect to the job server.

    Raises:
        ValueError: The address is not an HTTP URL.
        RuntimeError: No job server answers, or it rejects the token.
    """
    import logging

    where = server_address(address)
    if not where.startswith(("http://", "https://")):
        raise ValueError(f"{where} is not the URL of a job server: write http://HOST:8265")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if _has_token():
        os.environ.setdefault("RAY_AUTH_MODE", "token")  # without it Ray's client sends no token
    from ray.exceptions import AuthenticationError
    from ray.job_submission import JobSubmissionClient

    for name in ("ray", "ray.dashboard.modules.job.sdk"):
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        with _without_addresses():
            return JobSubmissionClient(where)
    except AuthenticationError:
        raise RuntimeError(
            f"the cluster at {where} rejects the token: set RAY_AUTH_TOKEN to the output of `ray get-auth-token` on "
            "its head, or copy the head's ~/.ray/auth_token to this machine"
        ) from None
    except ConnectionError as error:
        raise RuntimeError(
            f"no job server answers at {where}: is the cluster up, and its port 8265 forwarded? ({error})"
        ) from None


@contextmanager
def _without_addresses() -> Iterator[None]:
    """Hide the addresses of the environment, which Ray prefers to the argument."""
    hidden = {name: os.environ.pop(name) for name in ("RAY_API_SERVER_ADDRESS", "RAY_ADDRESS") if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(hidden)


def _has_token() -> bool:
    """Return whether Ray has a token on this machine: in the environment or in its file."""
    named = any(os.environ.get(name) for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"))
    return named or Path("~/.ray/auth_token").expanduser().exists()


def job_environment(entries: Sequence[str]) -> dict[str, str]:
    """Return the environment variables of a job from NAME=VALUE and NAME entries.

    Raises:
        ValueError: An entry without a value is not set on this machine.
    """
    variables = {"RAY_JOB_STOP_WAIT_TIME_S": str(STOP_WAIT_SECONDS)}
    for entry in entries:
        name, given, value = entry.partition("=")
        if not name or (not given and name not in os.environ):
            raise ValueError(f"--env {entry}: {name or 'the name'} is not set on this machine; write NAME=VALUE")
        variables[name] = value if given else os.environ[name]
    return variables


def submit_job(
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
    """Give a temporary folder with all uploads, for Ray to pack; None if there are none."""
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


def job_info(client: "JobSubmissionClient", job: str) -> Any:
    try:
        return client.get_job_info(job)
    except RuntimeError as error:
        if "404" in str(error) or "does not exist" in str(error):
            raise ValueError(f"no job {job} on this cluster; `muscaps job list` lists all jobs") from None
        raise


def describe_job(details: Any) -> dict[str, Any]:
    """Return a job as JSON; its exit status is None until it has ended."""
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


def follow_job(client: "JobSubmissionClient", job: str, *, to_stderr: bool) -> Any:
    """Print a job's log until the job has ended; reconnect after a lost connection.

    Returns:
        Ray's details of the ended job.

    Raises:
        RuntimeError: The job server has not answered for two minutes.
    """
    import asyncio  # needed here only

    printer = _LogPrinter(sys.stderr if to_stderr else sys.stdout)
    silent_since: float | None = None
    while True:
        try:
            asyncio.run(printer.tail(client, job))
            silent_since = None
        except (RuntimeError, OSError):
            silent_since = silent_since or time.monotonic()
        try:
            details = job_info(client, job)
        except (RuntimeError, OSError) as error:
            silent_since = silent_since or time.monotonic()
            if time.monotonic() - silent_since > SILENT_SECONDS:
                raise RuntimeError(f"the job server has not answered for two minutes: {error}") from None
            time.sleep(2)
            continue
        if details.status.is_terminal():
            printer.finish(client.get_job_logs(job))
            return details
        time.sleep(0.5)


class _LogPrinter:
    """Prints a log that is read several times from its start, without repeating what was printed."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._printed = 0  # characters

    async def tail(self, client: "JobSubmissionClient", job: str) -> None:
        """Print what the server sends of a job's log."""
        received = 0
        async for text in client.tail_job_logs(job):
            self._print(text[max(0, self._printed - received) :])
            received += len(text)
            self._printed = max(self._printed, received)

    def finish(self, log: str) -> None:
        """Print the rest of the whole log."""
        self._print(log[self._printed :])

    def _print(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()
