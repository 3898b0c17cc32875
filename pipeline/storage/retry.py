"""Retries of storage operations: throttling, server errors and broken connections are retried for a limited time."""

import logging
import os
import random
import time
from collections.abc import Callable
from typing import TypeVar

from pipeline.storage.errors import StorageError

logger = logging.getLogger(__name__)

FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.2, 5.0
"""Upper limit of the random pause before the first retry, and its maximum; the limit doubles with each retry."""
WARN_AT_ATTEMPT = 4
"""Number of the failed attempt that is logged as a warning; the others are logged as debug messages."""

Result = TypeVar("Result")
Explain = Callable[[Exception, str], StorageError | None]
"""Converts an exception about a URI to a StorageError; None if it is not about storage."""


def retry_seconds() -> float:
    """Return the time for which retryable errors are retried, in seconds: MUSCAPS_RETRY_SECONDS, default 60."""
    return float(os.environ.get("MUSCAPS_RETRY_SECONDS", "60"))


def retried(uri: str, operation: Callable[[], Result], explain: Explain) -> Result:
    """Run an operation, and repeat it while its error is retryable.

    Args:
        uri: Location that the operation reads or writes.
        operation: A function that is safe to repeat.
        explain: Explains exceptions of the operation.

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
            # Full jitter: callers that were throttled at the same time must not retry at the same time.
            pause = random.uniform(0.02, min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2**attempt))
            attempt += 1
            # A changed file does not change back to the version that is being read.
            final = not failure.retryable or failure.error_type == "changed"
            if final or time.monotonic() + pause > deadline:
                raise failure from None
            logger.log(logging.WARNING if attempt == WARN_AT_ATTEMPT else logging.DEBUG, "%s; retrying", failure)
            time.sleep(pause)
