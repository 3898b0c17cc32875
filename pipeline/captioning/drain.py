"""When a run stops early: signals, the time limit, too many failures; and how long tracks in flight may take then.

A drain takes three steps: a reason is set (`request`), the driver commits and stops the workers (`begin`), and the run
ends when the tracks in flight are finished or the deadline has passed.
"""

import contextlib
import logging
import math
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

logger = logging.getLogger(__name__)

DRAIN_SECONDS = 18.0
"""How long a drained run waits for tracks in flight."""
MIN_ERROR_SAMPLE = 50
"""Tracks after which the share of failed tracks is judged."""


class Drain:
    """The state of an early stop."""

    def __init__(self) -> None:
        """Begin without a reason to stop."""
        self.reason = ""
        """Why the run stops early; empty while it does not."""
        self.too_many_failures = False
        """Whether the reason is the share of failed tracks."""
        self.is_starting = False
        """Whether Ray is being started: a signal then ends the run at once, because nothing is in flight."""
        self._deadline = math.inf

    @property
    def is_requested(self) -> bool:
        """Whether the run is to stop early."""
        return bool(self.reason)

    def request(self, reason: str, *, too_many_failures: bool = False) -> None:
        """Stop the run; the first reason counts."""
        if not self.reason:
            self.reason, self.too_many_failures = reason, too_many_failures
            logger.warning("stopping: %s", reason)

    def begin(self) -> bool:
        """Start the deadline for tracks in flight; True once, on the first call after a request."""
        if not self.is_requested or self._deadline < math.inf:
            return False
        self._deadline = time.monotonic() + DRAIN_SECONDS
        return True

    @property
    def is_over(self) -> bool:
        """Whether tracks still in flight are left for the next run."""
        return time.monotonic() > self._deadline

    def wait(self, seconds: float) -> None:
        """Sleep, but no longer than until a stop is requested."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and not self.is_requested:
            time.sleep(0.1)

    @contextlib.contextmanager
    def on_signals(self) -> Iterator[None]:
        """Drain on SIGTERM and Ctrl-C; end at once on the second, and while Ray is starting."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def handle(number: int, frame: Any) -> None:
            if self.is_requested:
                self._deadline = 0.0
            self.request(f"received {signal.Signals(number).name}")
            if self.is_starting:  # importing and starting Ray takes seconds, on a busy machine a minute
                raise SystemExit

        before = {number: signal.signal(number, handle) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def check_runtime(self, elapsed: float, limit: float | None) -> None:
        """Request a stop when the run has taken its time limit.

        Args:
            elapsed: Seconds since the run started.
            limit: Seconds allowed; None for no limit.
        """
        if limit is not None and elapsed > limit:
            self.request(f"it ran for the {limit:g} s allowed")

    def check_failures(self, failed: int, attempted: int, limit: float, reasons: Counter[str]) -> None:
        """Request a stop when too many tracks fail.

        Args:
            failed: Failed attempts.
            attempted: All attempts.
            limit: Largest share of failed attempts, 0 to 1.
            reasons: `stage/error_type` -> attempts.
        """
        if attempted >= MIN_ERROR_SAMPLE and failed > limit * attempted:
            common = ", ".join(f"{name} {count}" for name, count in reasons.most_common(3))
            self.request(
                f"errors: {failed} of {attempted} tracks failed, more than {limit:.0%} ({common})",
                too_many_failures=True,
            )
