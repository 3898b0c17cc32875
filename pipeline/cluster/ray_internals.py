"""Every use of a private name of Ray.

pyproject.toml pins Ray to one minor version because of this file. Check each function when that version changes.
"""

import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ray.data


REQUEST_SECONDS = 10.0
"""Time that a head has to answer a request."""


def put_key(key: bytes, value: bytes) -> None:
    """Write a key of the cluster's internal key-value store."""
    from ray.experimental.internal_kv import _internal_kv_put

    _internal_kv_put(key, value)


def has_key(key: bytes) -> bool:
    """Return whether the cluster's internal key-value store has a key."""
    from ray.experimental.internal_kv import _internal_kv_get

    return _internal_kv_get(key) is not None


def abort_execution(dataset: "ray.data.Dataset") -> None:
    """Stop a dataset's execution at once, in any state; without an execution, do nothing."""
    executor = getattr(dataset, "_current_executor", None)
    if executor is not None:
        with contextlib.suppress(Exception):  # its results are no longer wanted
            executor.shutdown(force=True)


def address_of_local_cluster() -> str:
    """Return HOST:PORT that the address `auto` stands for: `RAY_ADDRESS`, else the cluster on this machine.

    Raises:
        ConnectionError: No cluster runs on this machine.
    """
    from ray._private.services import canonicalize_bootstrap_address

    return canonicalize_bootstrap_address("auto") or "auto"


def enable_token_authentication(address: str) -> None:
    """Send a token to a cluster that demands one, if this machine has a token.

    Ray itself sends it for the address `auto` only. A driver that uses a token hangs on a cluster that uses none.
    """
    from ray._private.authentication.authentication_token_setup import maybe_enable_token_auth_if_token_available

    if not _answers_without_token(address):
        maybe_enable_token_auth_if_token_available(warn_if_disabled=False)


def _answers_without_token(address: str) -> bool:
    """Whether the head at HOST:PORT answers a request that has no token."""
    import grpc

    with grpc.insecure_channel(address) as channel:
        try:
            channel.unary_unary("/ray.rpc.NodeInfoGcsService/GetClusterId")(b"", timeout=REQUEST_SECONDS)
        except grpc.RpcError:
            return False
    return True


@contextlib.contextmanager
def keep_sigterm_handler() -> Iterator[None]:
    """Prevent `ray.init` from replacing the handler of SIGTERM.

    Ray's own handler raises SystemExit at any point of the start. If Ray catches it, the signal is lost. If it is
    raised between the acquisition of a lock and the `try` after it, as in logging, other threads wait for ever.
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
