"""A Ray to work on: a cluster by address, or a quiet one inside this process."""

import contextlib
import logging
import os
import socket
import sys
import time
from collections.abc import Iterator
from typing import Any

logger = logging.getLogger(__name__)

OBJECT_STORE_BYTES = 400 * 10**6
"""Shared memory for what travels between stages; training itself sends little."""
START_TRIES = 3
"""Times an embedded Ray is started before giving up."""
KNOCK_SECONDS = 10.0
"""How long a cluster may take to accept a connection."""


@contextlib.contextmanager
def ray_session(
    address: str | None = None, *, num_cpus: int | None = None, object_store_bytes: int = OBJECT_STORE_BYTES
) -> Iterator[None]:
    """Connect to a cluster, or start Ray here, and leave it as it was found.

    Args:
        address: `ray://HOST:10001` or the like; None starts Ray in this process. A Ray that already runs in
            this process is used as it is.
        num_cpus: CPUs of a Ray started here; None takes what the process may use.
        object_store_bytes: Its shared memory.

    Raises:
        RuntimeError: No cluster answers at the address, or Ray does not start here.
    """
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    os.environ.setdefault("RAY_TRAIN_ENABLE_STATE_TRACKING", "0")
    import ray

    if ray.is_initialized():
        yield
        return
    start_ray(address, num_cpus=num_cpus, object_store_bytes=object_store_bytes)
    try:
        yield
    finally:
        ray.shutdown()


def start_ray(address: str | None, *, num_cpus: int | None, object_store_bytes: int) -> None:
    """Start an embedded Ray without dashboard, or connect to a cluster; say nothing but errors.

    Raises:
        RuntimeError: No cluster answers at the address, or Ray does not start here.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    import ray
    import ray.data  # its loggers, before their level is set

    for name in ("ray", "ray.data"):
        logging.getLogger(name).setLevel(logging.ERROR)
    if address is not None:
        _knock(address)
        where: dict[str, Any] = {"address": address}
    else:
        where = {
            "num_cpus": num_cpus or len(os.sched_getaffinity(0)),
            "include_dashboard": False,
            "object_store_memory": object_store_bytes,
        }
    started = time.monotonic()
    for attempt in range(1, START_TRIES + 1):
        try:
            with _silenced_stderr():
                ray.init(logging_level=logging.ERROR, log_to_driver=False, **where)
            break
        except Exception as error:  # Ray says no more than that: a busy machine is too slow for its timeouts
            ray.shutdown()
            if attempt == START_TRIES or address is not None:
                place = "Ray did not start" if address is None else f"no Ray to work on at {address}"
                raise RuntimeError(f"{place}: {error}") from error
            logger.warning("Ray did not start (%s); trying again", error)
    logger.info("Ray started in %.1f s", time.monotonic() - started)


def _knock(address: str) -> None:
    """See whether anything listens at HOST:PORT: left alone, `ray.init` may try for many minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdigit():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=KNOCK_SECONDS).close()
    except OSError as error:
        raise RuntimeError(f"no Ray cluster answers at {address}: {error}") from error


@contextlib.contextmanager
def _silenced_stderr() -> Iterator[None]:
    """Swallow what C++ code says while it starts; what goes wrong there is raised as well."""
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def cluster_size() -> tuple[int, int]:
    """Return the CPUs and GPUs of the Ray in use."""
    import ray

    resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    return max(1, int(resources.get("CPU", 1))), int(resources.get("GPU", 0))
