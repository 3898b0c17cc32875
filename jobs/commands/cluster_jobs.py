"""Commands for jobs on a running cluster: `muscaps submit -- caption ...` and `muscaps job`."""

import json
import sys
import time
from typing import TYPE_CHECKING, Annotated

import typer

from jobs.job_server import (
    COMMAND_NOT_FOUND,
    DEFAULT_ADDRESS,
    connect,
    describe_job,
    follow_job,
    job_environment,
    job_info,
    server_address,
    submit_job,
)
from jobs.options import (
    JsonOption,
)
from jobs.outcomes import explained
from jobs.submission import prepare

if TYPE_CHECKING:
    from ray.job_submission import JobSubmissionClient


AddressOption = Annotated[
    str | None,
    typer.Option(metavar="URL", help=f"The cluster's job server; default: $RAY_API_SERVER_ADDRESS, {DEFAULT_ADDRESS}."),
]


IdArgument = Annotated[str, typer.Argument(metavar="ID", help="The job's name, printed by `muscaps submit`.")]


job_app = typer.Typer(no_args_is_help=True, help="List, follow and stop submitted jobs.")


def register(app: typer.Typer) -> None:
    """Add the commands to the app."""
    app.command("submit", context_settings={"allow_interspersed_args": False})(submit)
    app.add_typer(job_app, name="job")


def submit(
    context: typer.Context,
    command: Annotated[list[str], typer.Argument(metavar="-- COMMAND ...", help="As typed after `muscaps`.")],
    address: AddressOption = None,
    wait: Annotated[bool, typer.Option(help="Follow the log to the end and exit with the command's status.")] = True,
    env: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME[=VALUE]", help="Environment variable on the nodes; without a value: as on this machine."
        ),
    ] = None,
    shared_paths: Annotated[
        bool, typer.Option("--shared-paths", help="All nodes have the same files: upload nothing.")
    ] = False,
    code: Annotated[bool, typer.Option("--code", help="Upload and run this machine's muscaps.")] = False,
    job_id: Annotated[
        str | None, typer.Option("--id", metavar="ID", help="Name of the job; default: generated.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Run a muscaps command on a Ray cluster.

    Ctrl-C stops following the log; the job continues. `muscaps job stop ID` stops it after finished tracks are
    written.
    """
    with explained():
        program = context.find_root().command
        submission = prepare(command, program, paths_are_shared=shared_paths, with_code=code)
        client = connect(address)
        name = submit_job(client, submission, command, job_environment(env or []), job_id)
    typer.echo(f"muscaps: job {name} submitted to {server_address(address)}", err=True)
    if not wait:
        print(json.dumps({"job": name, "status": "PENDING"}) if as_json else name)
        return
    _end_with(client, name, as_json=as_json)


@job_app.command("list")
def list_jobs(address: AddressOption = None, as_json: JsonOption = False) -> None:
    """List the cluster's jobs, newest last."""
    with explained():
        found = sorted(connect(address).list_jobs(), key=lambda job: job.start_time or 0)
    jobs = [describe_job(job) for job in found if job.submission_id]
    if as_json:
        print(json.dumps(jobs))
        return
    for job in jobs:
        print(f"{job['job']}  {job['status']:<9}  {job['command']}")


@job_app.command()
def status(job: IdArgument, address: AddressOption = None, as_json: JsonOption = False) -> None:
    """Show the status of a job.

    Exit status: 0 while the job waits or runs, then that of its command.
    """
    with explained():
        about = describe_job(job_info(connect(address), job))
    print(json.dumps(about) if as_json else f"{about['status']}  {about['command']}\n{about['message']}".rstrip())
    raise typer.Exit(about["exit_status"] or 0)


@job_app.command()
def logs(
    job: IdArgument,
    address: AddressOption = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Follow the log to the end and exit with the command's status.")
    ] = False,
) -> None:
    """Print the log of a job."""
    with explained():
        client = connect(address)
        job_info(client, job)
        if not follow:
            sys.stdout.write(client.get_job_logs(job))
            return
    _end_with(client, job, as_json=False)


@job_app.command()
def stop(
    job: IdArgument,
    address: AddressOption = None,
    wait: Annotated[bool, typer.Option(help="Wait until the job has ended.")] = True,
) -> None:
    """Stop a job after its finished tracks are written.

    Submitting the same command again does the remaining tracks.
    """
    with explained():
        client = connect(address)
        if job_info(client, job).status.is_terminal():
            typer.echo(f"muscaps: {job} has already ended", err=True)
            return
        client.stop_job(job)
        while wait and not (about := job_info(client, job)).status.is_terminal():
            time.sleep(0.5)
    typer.echo(f"muscaps: {job} {'stopped' if wait else 'is stopping'}", err=True)
    if wait:
        print(describe_job(about)["status"])


def _end_with(client: "JobSubmissionClient", job: str, *, as_json: bool) -> None:
    """Follow a job to its end and exit with its status."""
    try:
        with explained():
            details = follow_job(client, job, to_stderr=as_json)
    except KeyboardInterrupt:
        typer.echo(f"\nmuscaps: {job} continues; `muscaps job logs -f {job}` follows it again", err=True)
        raise typer.Exit(130) from None
    about = describe_job(details)
    if as_json:
        print(json.dumps(about))
    elif about["exit_status"]:
        first_line = about["message"].partition(", last available logs")[0].partition("\n")[0]
        typer.echo(f"muscaps: {job} ended as {about['status']}: {first_line}", err=True)
    if about["exit_status"] == COMMAND_NOT_FOUND:
        typer.echo(
            "muscaps: the cluster's head has no such program: start Ray where muscaps is on the PATH, use the image "
            "of infra/Dockerfile, or give --env PATH=...",
            err=True,
        )
    raise typer.Exit(about["exit_status"])
