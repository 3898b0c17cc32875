"""Addresses of Ray clusters: which work, and the job server beside one that does not. Imports nothing heavy.

Conventions: an address that works is `HOST:PORT` of a head (port 6379 by default), given on a machine of the cluster,
or `auto`: the address in `RAY_ADDRESS`, else the cluster that runs on this machine. `local` is the same as none.
"""

import os
import re

JOB_SERVER_PORT = 8265
"""Ray's default port of the job server."""
_HOST_AND_PORT = re.compile(r"(\[[0-9a-fA-F:.%\w]+\]|[^\s:/\[\]]+):[0-9]{1,5}")


def check_address(address: str | None) -> None:
    """Reject an address that no command can work with.

    Args:
        address: Of a cluster; None for a Ray of this process.

    Raises:
        ValueError: Ray Client or a URL of another kind, or no `HOST:PORT`.
    """
    given = given_address(address)
    if given is None or given in ("auto", "local"):
        return
    source = "RAY_ADDRESS=" if address == "auto" else ""
    if "://" in given:
        reason = "Ray Data does not run through Ray Client" if is_ray_client(given) else "a URL is no cluster address"
        raise ValueError(
            f"{source}{given}: {reason}. On a machine of the cluster give HOST:6379 or auto; from another machine type "
            f"muscaps submit --address {job_server_of(given)} -- COMMAND"
        )
    if not _HOST_AND_PORT.fullmatch(given):
        raise ValueError(f"{source}{given} is not the address of a Ray cluster: write HOST:6379 or auto")


def given_address(address: str | None) -> str | None:
    """Return the address in use: for `auto` that of the environment, if it has one."""
    return os.environ.get("RAY_ADDRESS") or address if address == "auto" else address


def is_ray_client(address: str) -> bool:
    """Whether an address is one of Ray Client."""
    return address.startswith("ray://")


def job_server_of(address: str) -> str:
    """Return the URL of the job server on the host of an address with a scheme."""
    scheme, _, rest = address.partition("://")
    location = rest.partition("/")[0].rpartition("@")[2]
    if scheme in ("http", "https"):
        return f"{scheme}://{location}"
    host = re.sub(r":[0-9]*$", "", location) or "HOST"
    return f"http://{host}:{JOB_SERVER_PORT}"
