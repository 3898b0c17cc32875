"""The option `--address` of commands that use Ray: an address that cannot work is refused before anything is done."""

import shlex
from collections.abc import Iterator, Sequence

import typer

from jobs.outcomes import refused
from jobs.program import typed_arguments
from pipeline.cluster.address import check_address, given_address, is_ray_client, job_server_of


def checked_address(context: typer.Context, address: str | None) -> str | None:
    """Return the address, or end the command with what to type instead; a callback of Typer."""
    try:
        check_address(address)
    except ValueError as error:
        arguments = typed_arguments(context)
        if arguments is None:  # of a command after `muscaps submit --`
            raise typer.BadParameter(
                "leave out --address: the command runs on the cluster it is submitted to"
            ) from None
        given = given_address(address) or ""
        if "://" not in given:
            raise refused(str(error)) from None
        command = ["muscaps", "submit", "--address", job_server_of(given), "--", *_without_address(arguments)]
        reason = "Ray Data does not run through Ray Client" if is_ray_client(given) else "no address of a Ray cluster"
        raise refused(f"{given}: {reason}; type instead: {shlex.join(command)}") from None
    return address


def _without_address(arguments: Sequence[str]) -> Iterator[str]:
    """Yield the words of a command without `--address` and its value."""
    words = iter(arguments)
    for word in words:
        if word == "--address":
            next(words, None)
        elif not word.startswith("--address="):
            yield word
