"""The one error of stored files, in words for a catalogue editor.

Messages name the location, what happened and the remedy. They are made from error codes; the texts of libraries, which
may hold signed URLs or keys, are never passed on.
"""


class StorageError(OSError):
    """A location that could not be listed, read or written.

    Attributes:
        error_type: One of not_found, no_bucket, forbidden, credentials, throttled, unavailable, bad_uri,
            refused, too_large, changed, unsupported, no_space.
        retryable: Whether the same call may succeed later without anyone changing anything.
    """

    def __init__(self, message: str, error_type: str = "unavailable", retryable: bool = False) -> None:
        super().__init__(message)
        self.error_type = error_type
        self.retryable = retryable


def explain_status(status: int, location: str, code: str = "") -> StorageError:
    """Explain an HTTP status that has no more specific explanation.

    Args:
        status: Of the answer.
        location: A redacted URI.
        code: The store's own word for the error.
    """
    if status in (404, 410):
        return StorageError(f"{location}: there is no such file", "not_found")
    if status in (401, 403):
        return StorageError(f"{location}: access denied; ask for permission to read (or write) it", "forbidden")
    if status == 412:
        return StorageError(f"{location}: changed while it was read", "changed", True)
    if status == 429:
        return StorageError(f"{location}: the server asks to slow down", "throttled", True)
    if status >= 500:
        return StorageError(f"{location}: the server failed for a moment ({status})", "unavailable", True)
    return StorageError(f"{location}: the server answers {' '.join(filter(None, [str(status), code]))}", "refused")
