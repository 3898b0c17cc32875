"""The error of stored files, with messages for a catalogue editor.

Messages name the location, the problem and the remedy. They are made from error codes. Texts of libraries are never
quoted, because they may contain signed URLs or keys.
"""


class StorageError(OSError):
    """A location cannot be listed, read or written.

    Attributes:
        error_type: One of not_found, no_bucket, forbidden, credentials, throttled, unavailable, bad_uri,
            refused, too_large, changed, unsupported, no_space.
        retryable: Whether the same call may succeed later although nothing is changed.
    """

    def __init__(self, message: str, error_type: str = "unavailable", retryable: bool = False) -> None:
        super().__init__(message)
        self.error_type = error_type
        self.retryable = retryable


def explain_status(status: int, location: str, code: str = "") -> StorageError:
    """Explain an HTTP status that has no more specific explanation.

    Args:
        status: HTTP status of the answer.
        location: A redacted URI.
        code: The store's code of the error.
    """
    if status in (404, 410):
        return StorageError(f"{location}: there is no such file", "not_found")
    if status in (401, 403):
        return StorageError(f"{location}: access denied; ask for permission to read (or write) it", "forbidden")
    if status == 412:
        return StorageError(f"{location}: changed while it was read", "changed", True)
    if status == 429:
        return StorageError(f"{location}: the server throttles requests", "throttled", True)
    if status >= 500:
        return StorageError(f"{location}: temporary failure of the server ({status})", "unavailable", True)
    return StorageError(f"{location}: the server answers {' '.join(filter(None, [str(status), code]))}", "refused")
