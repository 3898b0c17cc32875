"""Time, waiting, randomness and threads of whatever writes to an output.

The output protocol (lease, commits, compaction, records) uses nothing else of this kind, so that `use` can replace all
of it at once: the tests run the protocol in simulated time.
"""

import contextlib
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from types import TracebackType
from typing import Protocol

_AWAKE_AND_ASLEEP: int | None = getattr(time, "CLOCK_BOOTTIME", None)


class Condition(Protocol):
    """What the protocol needs of `threading.Condition`."""

    def __enter__(self) -> object: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> object: ...

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for a notification, at most `timeout` seconds."""

    def notify_all(self) -> None:
        """Wake all waiting threads."""


class Thread(Protocol):
    """What the protocol needs of `threading.Thread`."""

    def start(self) -> None:
        """Start the thread."""

    def join(self, timeout: float | None = None) -> None:
        """Wait for its end, at most `timeout` seconds."""


class Clock(Protocol):
    """Time, randomness and threads of one process."""

    def now(self) -> datetime:
        """Return the time in UTC."""

    def monotonic(self) -> float:
        """Return the seconds since some moment; the time during which the machine sleeps counts where possible."""

    def sleep(self, seconds: float) -> None:
        """Wait."""

    def random_hex(self, num_bytes: int) -> str:
        """Return random hex digits."""

    def condition(self) -> Condition:
        """Return a condition variable."""

    def thread(self, target: Callable[[], None], name: str) -> Thread:
        """Return a daemon thread that is not started yet."""


class SystemClock:
    """The clock, the random numbers and the threads of the operating system."""

    def now(self) -> datetime:
        """Return the time in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Return the seconds since the machine started."""
        # Linux leaves the time in which a machine sleeps out of CLOCK_MONOTONIC; a lease runs out meanwhile.
        return time.monotonic() if _AWAKE_AND_ASLEEP is None else time.clock_gettime(_AWAKE_AND_ASLEEP)

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)

    def random_hex(self, num_bytes: int) -> str:
        """Return random hex digits."""
        return secrets.token_hex(num_bytes)

    def condition(self) -> Condition:
        """Return a condition variable."""
        return threading.Condition()

    def thread(self, target: Callable[[], None], name: str) -> Thread:
        """Return a daemon thread that is not started yet."""
        return threading.Thread(target=target, name=name, daemon=True)


_current: Clock = SystemClock()


def current() -> Clock:
    """Return the clock in use."""
    return _current


@contextlib.contextmanager
def use(clock: Clock) -> Iterator[None]:
    """Replace the clock while the context is open."""
    global _current
    before, _current = _current, clock
    try:
        yield
    finally:
        _current = before


def now() -> datetime:
    """Return the time in UTC."""
    return _current.now()


def monotonic() -> float:
    """Return the seconds since some moment."""
    return _current.monotonic()


def sleep(seconds: float) -> None:
    """Wait."""
    _current.sleep(seconds)


def random_hex(num_bytes: int) -> str:
    """Return random hex digits."""
    return _current.random_hex(num_bytes)
