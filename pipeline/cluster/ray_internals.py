"""Every use of a private name of Ray, in one place: what to check when the pinned minor version of Ray changes."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ray.data


def put_key(key: bytes, value: bytes) -> None:
    """Write a key of the cluster's internal key-value store."""
    from ray.experimental.internal_kv import _internal_kv_put

    _internal_kv_put(key, value)


def has_key(key: bytes) -> bool:
    """Whether the cluster's internal key-value store holds a key."""
    from ray.experimental.internal_kv import _internal_kv_get

    return _internal_kv_get(key) is not None


def abort_execution(dataset: "ray.data.Dataset") -> None:
    """Stop a dataset's execution at once, if it has one, whatever state it is in."""
    executor = getattr(dataset, "_current_executor", None)
    if executor is not None:
        with contextlib.suppress(Exception):  # it is being thrown away
            executor.shutdown(force=True)


@contextlib.contextmanager
def kept_sigterm_handler() -> Iterator[None]:
    """Keep `ray.init` from putting its own handlers in the place of whatever handles SIGTERM.

    They raise SystemExit wherever the start happens to be. Where that is caught on the way, the signal is lost, and
    where it comes between a lock and its `try`, as in logging, other threads wait for that lock for ever.
    """
    from ray._private import utils

    handler, setting = signal.getsignal(signal.SIGTERM), utils.set_sigterm_handler
    utils.set_sigterm_handler = lambda _: None
    try:
        yield
    finally:
        utils.set_sigterm_handler = setting
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, handler)
