"""A Ray to train or prepare on: a cluster by address, or a quiet one inside this process."""

import contextlib
import logging
import os
from collections.abc import Iterator

OBJECT_STORE_BYTES = 400 * 10**6
"""Shared memory for what travels between stages; training itself sends little."""


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
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    os.environ.setdefault("RAY_TRAIN_ENABLE_STATE_TRACKING", "0")
    import ray
    import ray.data

    if ray.is_initialized():
        yield
        return
    for name in ("ray", "ray.data"):
        logging.getLogger(name).setLevel(logging.ERROR)
    if address is not None:
        ray.init(address=address, logging_level=logging.ERROR, log_to_driver=False)
    else:
        ray.init(
            num_cpus=num_cpus or len(os.sched_getaffinity(0)),
            include_dashboard=False,
            logging_level=logging.ERROR,
            log_to_driver=False,
            object_store_memory=object_store_bytes,
        )
    try:
        yield
    finally:
        ray.shutdown()


def cluster_size() -> tuple[int, int]:
    """Return the CPUs and GPUs of the Ray in use."""
    import ray

    resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    return max(1, int(resources.get("CPU", 1))), int(resources.get("GPU", 0))
