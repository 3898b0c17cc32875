"""The one place Ray is started from: a cluster by address, or a quiet Ray inside this process.

Conventions: a Ray that already runs in this process is used as it is and left running.
"""

import contextlib
import logging
import os
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipeline.cluster.drain_flag import drain
from pipeline.cluster.ray_internals import kept_sigterm_handler

logger = logging.getLogger(__name__)

START_TRIES = 3
"""Times an embedded Ray is started before giving up."""
KNOCK_SECONDS = 10.0
"""How long a cluster may take to accept a connection."""


@contextlib.contextmanager
def ray_session(address: str | None = None, *, num_cpus: int | None = None) -> Iterator[None]:
    """Connect to a cluster, or start Ray here, and leave it as it was found.

    Args:
        address: `HOST:6379`, `ray://HOST:10001` or `auto`; None starts Ray in this process.
        num_cpus: CPUs of a Ray started here; None takes what the process may use.

    Raises:
        RuntimeError: Ray does not start, or no cluster answers.
    """
    if is_running():
        yield
        return
    start_ray(address, num_cpus=num_cpus)
    try:
        yield
    finally:
        stop_ray()


def is_running() -> bool:
    """Whether this process has a Ray already."""
    ray = sys.modules.get("ray")
    return ray is not None and ray.is_initialized()


def start_ray(address: str | None = None, *, num_cpus: int | None = None) -> None:
    """Start Ray without dashboard and log forwarding, or connect to a cluster; say nothing but errors.

    Raises:
        RuntimeError: Ray does not start, or no cluster answers.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    os.environ.setdefault("RAY_TRAIN_ENABLE_STATE_TRACKING", "0")
    # An epoch waits for the controller's next look at its workers, 2 s apart: longer than a small data set's epoch.
    os.environ.setdefault("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", "0.2")
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
            "object_store_memory": object_store_bytes(),
        }
    started = time.monotonic()
    for attempt in range(1, START_TRIES + 1):
        try:
            with _silenced_stderr(), kept_sigterm_handler():
                ray.init(logging_level=logging.ERROR, log_to_driver=False, **where)
            break
        except Exception as error:  # Ray says no more than that: a busy machine is too slow for its timeouts
            ray.shutdown()
            if attempt == START_TRIES or address is not None:
                place = "Ray did not start" if address is None else f"no Ray to work on at {address}"
                raise RuntimeError(f"{place}: {error}") from error
            logger.warning("Ray did not start (%s); trying again", error)
        except BaseException:
            ray.shutdown()
            raise
    logger.info("Ray started in %.1f s", time.monotonic() - started)


def stop_ray() -> None:
    """Stop what `start_ray` started, or leave the cluster."""
    import ray

    ray.shutdown()


def cluster_size() -> tuple[int, int]:
    """Return the CPUs and GPUs of the Ray in use."""
    import ray

    resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    return max(1, int(resources.get("CPU", 1))), int(resources.get("GPU", 0))


def object_store_bytes() -> int:
    """Room for what is on its way: a tenth of the memory, 256 MB to 4 GB, and no more than /dev/shm takes."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    wanted = min(max(memory // 10, 256 * 10**6), 4 * 10**9)
    with contextlib.suppress(OSError):
        status = os.statvfs("/dev/shm")
        wanted = min(wanted, max(int(0.8 * status.f_frsize * status.f_bavail), 100 * 10**6))
    return wanted


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


class Session:
    """The Ray a run works on, started and left again as a context."""

    def __init__(self, address: str | None, *, cpus: int | None, gpus: int | None) -> None:
        """Prepare a session.

        Args:
            address: Of a cluster; None for an embedded Ray, or the one the caller has started.
            cpus: Cores for an embedded Ray; None for all.
            gpus: GPUs to caption on; None for as many as there are.
        """
        self._address, self._cpus, self._gpus = address, cpus, gpus
        self.owned = not is_running()

    def __enter__(self) -> "Session":
        if self.owned:
            start_ray(self._address, num_cpus=self._cpus)
        try:
            self._look_around()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self.owned:
            stop_ray()

    def _look_around(self) -> None:
        self.num_cpus, found = cluster_size()
        if self._gpus is not None and self._gpus > found and self._address is None:
            raise ValueError(f"gpus={self._gpus} were asked for, but Ray finds {found} here")
        self.num_gpus = found if self._gpus is None else self._gpus

    def restart(self) -> None:
        """Begin afresh after trouble, where Ray is ours to restart."""
        if self.owned:
            stop_ray()
            start_ray(self._address, num_cpus=self._cpus)
            self._look_around()

    def checkpoint(self, directory: Path) -> str | dict[str, bytes]:
        """The checkpoint as workers need it: its directory here, its content for other machines."""
        if self._address is None:
            return str(directory.resolve())
        return {path.name: path.read_bytes() for path in sorted(directory.iterdir()) if path.is_file()}

    def drain(self, run_id: str) -> None:
        """Tell the decode tasks to begin no further track."""
        drain(run_id)
