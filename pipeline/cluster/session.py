"""Connections to Ray: a cluster by address, or a Ray started by this process without dashboard and log forwarding.

Conventions: a Ray that this process already uses is left as it is, and left running. Without an address a Ray of this
process is started, whatever runs on the machine and whatever `RAY_ADDRESS` says.
"""

import contextlib
import logging
import os
import socket
import sys
import time
from collections.abc import Iterator
from typing import Any

from pipeline.cluster.address import check_address
from pipeline.cluster.drain_flag import set_drain_flag
from pipeline.cluster.ray_internals import address_of_local_cluster, enable_token_authentication, keep_sigterm_handler
from pipeline.cluster.temporary_folder import remove_short_folders, short_temporary_folder

logger = logging.getLogger(__name__)

START_TRIES = 3
"""Times an embedded Ray is started before giving up."""
CONNECT_TIMEOUT_SECONDS = 10.0
"""How long a cluster may take to accept a connection."""
_ADVICE = "(An address works on a machine of the cluster only; from another machine use `muscaps submit`.)"


@contextlib.contextmanager
def ray_session(address: str | None = None, *, num_cpus: int | None = None) -> Iterator[None]:
    """Connect to a cluster, or start Ray in this process, and disconnect or stop it afterwards.

    Args:
        address: See `pipeline.cluster.address`; None starts Ray in this process.
        num_cpus: CPUs of a Ray started here; None takes what the process may use.

    Raises:
        ValueError: The address is not one of a Ray cluster.
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
    """Whether this process is connected to a Ray already."""
    ray = sys.modules.get("ray")
    return ray is not None and ray.is_initialized()


def start_ray(address: str | None = None, *, num_cpus: int | None = None) -> None:
    """Start Ray without dashboard and log forwarding, or connect to a cluster; only errors are logged.

    Raises:
        ValueError: The address is not one of a Ray cluster.
        RuntimeError: Ray does not start, or no cluster answers.
    """
    check_address(address)
    if address == "local":
        address = None
    _set_environment()
    import ray  # takes seconds
    import ray.data  # its loggers, before their level is set

    for name in ("ray", "ray.data"):
        logging.getLogger(name).setLevel(logging.ERROR)
    if address is not None:
        address = _reachable(address)
        enable_token_authentication(address)
    started = time.monotonic()
    for attempt in range(1, START_TRIES + 1):
        try:
            with _silenced_stderr(), keep_sigterm_handler():
                ray.init(logging_level=logging.ERROR, log_to_driver=False, **_arguments(address, num_cpus))
            break
        except Exception as error:  # of no narrower type: a busy machine exceeds Ray's timeouts
            stop_ray()
            if address is not None:
                raise RuntimeError(f"cannot connect to Ray at {address}: {error} {_ADVICE}") from error
            if attempt == START_TRIES:
                raise RuntimeError(f"Ray did not start: {error}") from error
            logger.warning("Ray did not start (%s); trying again", error)
        except BaseException:
            stop_ray()
            raise
    logger.info("Ray started in %.1f s", time.monotonic() - started)


def _set_environment() -> None:
    """Set what Ray reads from the environment, where the user has not set it."""
    defaults = {
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
        "RAY_BACKEND_LOG_LEVEL": "fatal",
        "RAY_TRAIN_ENABLE_STATE_TRACKING": "0",
        # An epoch ends when the controller next checks its workers: by default after 2 s, longer than a small epoch.
        "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2",
    }
    for name, value in defaults.items():
        os.environ.setdefault(name, value)


def _arguments(address: str | None, num_cpus: int | None) -> dict[str, Any]:
    """Arguments of `ray.init` for a cluster or for a Ray in this process."""
    if address is not None:
        return {"address": address}
    folder = short_temporary_folder()
    return {
        "address": "local",  # without it Ray connects to RAY_ADDRESS, or to a cluster that it finds on this machine
        **({"_temp_dir": folder} if folder else {}),
        "num_cpus": num_cpus or len(os.sched_getaffinity(0)),
        "include_dashboard": False,
        "object_store_memory": object_store_bytes(),
    }


def stop_ray() -> None:
    """Stop the Ray that `start_ray` started, or disconnect from the cluster."""
    import ray

    ray.shutdown()
    remove_short_folders()


def cluster_size() -> tuple[int, int]:
    """Return the CPUs and GPUs of the Ray in use."""
    import ray

    resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    return max(1, int(resources.get("CPU", 1))), int(resources.get("GPU", 0))


def object_store_bytes() -> int:
    """Size of the object store: a tenth of the memory, 256 MB to 4 GB, and no more than /dev/shm has free."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    wanted = min(max(memory // 10, 256 * 10**6), 4 * 10**9)
    with contextlib.suppress(OSError):
        status = os.statvfs("/dev/shm")
        wanted = min(wanted, max(int(0.8 * status.f_frsize * status.f_bavail), 100 * 10**6))
    return wanted


def _reachable(address: str) -> str:
    """Return HOST:PORT of a cluster after one connection to it: `ray.init` alone may try for many minutes.

    Raises:
        RuntimeError: Nothing answers there.
    """
    try:
        found = address_of_local_cluster() if address == "auto" else address
        host, _, port = found.rpartition(":")
        socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_TIMEOUT_SECONDS).close()
    except OSError as error:  # Ray's error for a machine without a cluster included
        raise RuntimeError(f"no Ray cluster answers at {address}: {error}") from error
    return found


@contextlib.contextmanager
def _silenced_stderr() -> Iterator[None]:
    """Discard what Ray's C++ code prints while it starts; errors are raised as exceptions as well."""
    sys.stderr.flush()
    stderr = os.dup(2)
    try:
        with open(os.devnull, "w") as devnull:
            os.dup2(devnull.fileno(), 2)
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)


class Session:
    """The Ray that a captioning run works on, as a context."""

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
            self._read_resources()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self.owned:
            stop_ray()

    def _read_resources(self) -> None:
        self.num_cpus, found = cluster_size()
        if self._gpus is not None and self._gpus > found and self._address is None:
            raise ValueError(f"gpus={self._gpus}, but Ray finds {found} on this machine")
        self.num_gpus = found if self._gpus is None else self._gpus

    def restart(self) -> None:
        """Restart Ray after a loss of processes, if this session started it."""
        if self.owned:
            stop_ray()
            start_ray(self._address, num_cpus=self._cpus)
            self._read_resources()

    def drain(self, run_id: str) -> None:
        """Stop the decode tasks of a run from beginning another track."""
        set_drain_flag(run_id)
