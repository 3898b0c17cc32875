"""Retries of storage operations: throttling, server errors and cut connections are tried again for a limited time."""

import logging
import os
import random
import time
from collections.abc import Callable
from typing import TypeVar

from pipeline.storage.errors import StorageError

logger = logging.getLogger(__name__)

FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.2, 5.0
"""Upper limits of the random pause before the first and before a late attempt; it doubles in between."""
WARN_AT_ATTEMPT = 4
"""The failed attempt that is logged as a warning; the others are logged for debugging."""

Result = TypeVar("Result")
Explain = Callable[[Exception, str], StorageError | None]
"""Turns an exception about a URI into a StorageError; None where it is not about storage."""


def retry_seconds() -> float:
    """Return how long retryable errors are retried, in seconds: MUSCAPS_RETRY_SECONDS, or 60."""
    return float(os.environ.get("MUSCAPS_RETRY_SECONDS", "60"))


def retried(uri: str, operation: Callable[[], Result], explain: Explain) -> Result:
    """Run an operation, again while its error is retryable.

    Args:
        uri: What it works on.
        operation: Safe to repeat.
        explain: Explains what it raises.

    Raises:
        StorageError: The error is not retryable, or `retry_seconds()` have passed.
    """
    deadline = time.monotonic() + retry_seconds()
    attempt = 0
    while True:
        try:
            return operation()
        except Exception as error:
            failure = error if isinstance(error, StorageError) else explain(error, uri)
            if failure is None:
                raise
            # Full jitter: callers that were throttled together must not come back together.
            pause = random.uniform(0.02, min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2**attempt))
            attempt += 1
            # A changed file does not change back to the version that is being read.
            final = not failure.retryable or failure.error_type == "changed"
            if final or time.monotonic() + pause > deadline:
                raise failure from None
            logger.log(logging.WARNING if attempt == WARN_AT_ATTEMPT else logging.DEBUG, "%s; trying again", failure)
            time.sleep(pause)
