"""Early stop of a run: its reasons (signals, time limit, too many failures) and the deadline for tracks in flight.

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
"""Time that a drained run waits for tracks in flight, in seconds."""
MIN_ERROR_SAMPLE = 50
"""Minimum number of tracks for a check of the fraction of failed tracks."""


class Drain:
    """The state of an early stop."""

    def __init__(self) -> None:
        """Create the state of a run that is not stopped."""
        self.reason = ""
        """Why the run stops early; empty if it does not."""
        self.too_many_failures = False
        """Whether the reason is the fraction of failed tracks."""
        self.is_starting = False
        """Whether Ray is being started: a signal then ends the run at once, because nothing is in flight."""
        self._deadline = math.inf

    @property
    def is_requested(self) -> bool:
        """Whether the run must stop early."""
        return bool(self.reason)

    def request(self, reason: str, *, too_many_failures: bool = False) -> None:
        """Request a stop; the first reason is kept."""
        if not self.reason:
            self.reason, self.too_many_failures = reason, too_many_failures
            logger.warning("stopping: %s", reason)

    def begin(self) -> bool:
        """Start the deadline for tracks in flight; True only on the first call after a request."""
        if not self.is_requested or self._deadline < math.inf:
            return False
        self._deadline = time.monotonic() + DRAIN_SECONDS
        return True

    @property
    def is_over(self) -> bool:
        """Whether the deadline has passed; tracks in flight are left for the next run."""
        return time.monotonic() > self._deadline

    def wait(self, seconds: float) -> None:
        """Sleep, at most until a stop is requested."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and not self.is_requested:
            time.sleep(0.1)

    @contextlib.contextmanager
    def on_signals(self) -> Iterator[None]:
        """Drain on SIGTERM and Ctrl-C; end at once on the second signal, or while Ray is starting."""
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
        """Request a stop if the run has reached its time limit.

        Args:
            elapsed: Seconds since the run started.
            limit: Time limit in seconds; None for no limit.
        """
        if limit is not None and elapsed > limit:
            self.request(f"the time limit of {limit:g} s is reached")

    def check_failures(self, failed: int, attempted: int, limit: float, reasons: Counter[str]) -> None:
        """Request a stop if too many tracks failed.

        Args:
            failed: Number of failed attempts.
            attempted: Number of all attempts.
            limit: Maximum fraction of failed attempts, 0 to 1.
            reasons: `stage/error_type` -> number of attempts.
        """
        if attempted >= MIN_ERROR_SAMPLE and failed > limit * attempted:
            common = ", ".join(f"{name} {count}" for name, count in reasons.most_common(3))
            self.request(
                f"errors: {failed} of {attempted} tracks failed, more than {limit:.0%} ({common})",
                too_many_failures=True,
            )
