"""What can go wrong with stored files: one error in an editor's words, and retries of what passes.

Messages name the location, what happened and the remedy. They are made here from error codes; the texts of
libraries, which may hold signed URLs or keys, are never passed on.
"""

import contextlib
import errno
import logging
import os
import random
import re
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

logger = logging.getLogger(__name__)

LONGEST_PAUSE_SECONDS = 5.0
S3_SCHEMES = ("s3", "s3a")

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_THROTTLED = {"SlowDown", "Throttling", "ThrottlingException", "TooManyRequests", "RequestLimitExceeded"}
_BAD_CREDENTIALS = {
    "AuthorizationHeaderMalformed",
    "ExpiredToken",
    "InvalidAccessKeyId",
    "InvalidToken",
    "SignatureDoesNotMatch",
    "TokenRefreshRequired",
}

_SECRET_QUERY = re.compile(r"[?&](x-amz-|x-goog-|[^=&]*(sig|token|key|auth|pass|secret|credential))", re.IGNORECASE)

Result = TypeVar("Result")


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


def retry_seconds() -> float:
    """Return how long passing trouble is retried, in seconds: MUSCAPS_RETRY_SECONDS, or 60."""
    return float(os.environ.get("MUSCAPS_RETRY_SECONDS", "60"))


def redacted(uri: str) -> str:
    """Return `uri` fit for a log, a report or a table: without a URL's user, password, query, fragment."""
    scheme = scheme_of(uri)
    if scheme in ("", "file"):
        return uri
    authority, slash, path = uri[len(scheme) + 3 :].partition("/")
    authority = authority.rpartition("@")[2]
    if scheme not in S3_SCHEMES:
        authority, path = authority.partition("?")[0], path.partition("?")[0].partition("#")[0]
    return f"{scheme}://{authority}{slash}{path}"


def public_uri(uri: str) -> str:
    """A URI as tables may hold it: without user and password, and without a query that lets its holder in."""
    plain = redacted(uri)
    _, mark, query = uri.partition("?")
    if "?" in plain or _SECRET_QUERY.search(uri):  # in a path or an S3 key a question mark means itself
        return plain
    return plain + mark + query


def scheme_of(uri: str) -> str:
    """Return what stands before `://`, in lower case; empty for a path."""
    match = _SCHEME.match(uri)
    return match[1].lower() if match else ""


def retried(uri: str, operation: Callable[[], Result]) -> Result:
    """Run `operation`, again while its trouble may pass; raise it as a StorageError about `uri`."""
    deadline = time.monotonic() + retry_seconds()
    attempt = 0
    while True:
        try:
            return operation()
        except Exception as error:
            failure = error if isinstance(error, StorageError) else _explained(error, uri)
            if failure is None:
                raise
            attempt += 1
            # Full jitter: callers throttled together must not come back together.
            pause = random.uniform(0.02, min(LONGEST_PAUSE_SECONDS, 0.1 * 2**attempt))
            # Another version will not turn back into the one being read.
            final = not failure.retryable or failure.error_type == "changed"
            if final or time.monotonic() + pause > deadline:
                raise failure from None
            logger.log(logging.WARNING if attempt == 4 else logging.DEBUG, "%s; trying again", failure)
            time.sleep(pause)


@contextlib.contextmanager
def reported(uri: str) -> Iterator[None]:
    """Turn what goes wrong with a local file into a StorageError about `uri`."""
    try:
        yield
    except StorageError:
        raise
    except (OSError, ValueError) as error:
        failure = _explained(error, uri)
        if failure is None:
            raise
        raise failure from error


def _explained(error: Exception, uri: str) -> StorageError | None:
    """Say in a catalogue editor's words what `error` means for `uri`; None where it is no storage trouble."""
    from botocore.exceptions import BotoCoreError, ClientError
    from urllib3.exceptions import HTTPError

    where = redacted(uri)
    if isinstance(error, ClientError):
        return _explained_answer(error, where)
    if isinstance(error, BotoCoreError):
        return _explained_client(error, where)
    if isinstance(error, HTTPError):
        return StorageError(f"{where}: the connection broke while it was read", "unavailable", True)
    scheme = scheme_of(uri)
    if scheme in S3_SCHEMES:
        broken = isinstance(error, OSError)
        return StorageError(f"{where}: the connection broke", "unavailable", True) if broken else None
    if scheme not in ("", "file"):
        return _explained_elsewhere(error, where)
    if isinstance(error, OSError):
        return _explained_local(error, where)
    if isinstance(error, ValueError):
        return StorageError(f"{where!r}: not a valid path", "bad_uri")
    return None


def _explained_answer(error: Any, where: str) -> StorageError:
    """Explain an error the S3 store answered with."""
    code = str(error.response.get("Error", {}).get("Code", ""))
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    bucket = where.partition("://")[2].partition("/")[0]
    if code == "NoSuchBucket":
        return StorageError(f"{where}: there is no bucket called {bucket}", "no_bucket")
    if code in _BAD_CREDENTIALS:
        return StorageError(
            f"{where}: the store refuses the AWS credentials ({code}); check AWS_PROFILE, AWS_ACCESS_KEY_ID "
            "and AWS_SECRET_ACCESS_KEY, and that they belong to this endpoint",
            "credentials",
        )
    if code == "RequestTimeTooSkewed":
        return StorageError(f"{where}: this machine's clock is wrong, so the store refuses its requests", "credentials")
    if code in _THROTTLED or status == 429:
        return StorageError(f"{where}: the store asks to slow down ({code or status})", "throttled", True)
    if status == 501 or code == "NotImplemented":
        return StorageError(f"{where}: the store does not offer this kind of request", "unsupported")
    if status >= 500 or code in ("RequestTimeout", "ConditionalRequestConflict", "OperationAborted"):
        return StorageError(f"{where}: the store failed for a moment ({code or status})", "unavailable", True)
    if code == "InvalidObjectState":
        return StorageError(f"{where}: archived (Glacier); restore it to the bucket first", "forbidden")
    return _explained_status(status, where, code)


def _explained_status(status: int, where: str, code: str = "") -> StorageError:
    """Explain an HTTP status nobody has said more about."""
    if status in (404, 410):
        return StorageError(f"{where}: there is no such file", "not_found")
    if status in (401, 403):
        return StorageError(f"{where}: access denied; ask for permission to read (or write) it", "forbidden")
    if status == 412:
        return StorageError(f"{where}: changed while it was read", "changed", True)
    if status == 429:
        return StorageError(f"{where}: the server asks to slow down", "throttled", True)
    if status >= 500:
        return StorageError(f"{where}: the server failed for a moment ({status})", "unavailable", True)
    return StorageError(f"{where}: the server answers {' '.join(filter(None, [str(status), code]))}", "refused")


def _explained_client(error: Exception, where: str) -> StorageError:
    """Explain what botocore says before or instead of an answer."""
    from botocore import exceptions as boto

    if isinstance(error, boto.NoCredentialsError | boto.PartialCredentialsError):
        return StorageError(
            f"{where}: no AWS credentials found; set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
            "credentials",
        )
    if isinstance(error, boto.SSLError):
        return StorageError(f"{where}: the endpoint's TLS certificate is not trusted; see AWS_CA_BUNDLE", "unavailable")
    if isinstance(error, boto.ConnectionError | boto.HTTPClientError | boto.IncompleteReadError):
        endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or "AWS"
        return StorageError(
            f"{where}: the object store ({redacted(endpoint)}) does not answer; check the network and AWS_ENDPOINT_URL",
            "unavailable",
            True,
        )
    if isinstance(error, boto.ParamValidationError):
        return StorageError(f"{where}: not a valid bucket or key", "bad_uri")
    if isinstance(error, boto.ProfileNotFound):
        return StorageError(f"{where}: AWS_PROFILE names a profile that ~/.aws does not have", "credentials")
    # Expired single sign-on, unreadable configuration: the class name says it, the text may hold secrets.
    return StorageError(f"{where}: the AWS configuration does not work ({type(error).__name__})", "credentials")


def _explained_elsewhere(error: Exception, where: str) -> StorageError:
    """Explain what smart-open and the libraries below it say; their texts hold whole URLs: quote none."""
    scheme = scheme_of(where)
    if isinstance(error, ImportError | NotImplementedError):
        extra = {"gs": "gcs"}.get(scheme, scheme)
        return StorageError(
            f"{where}: reading {scheme}:// needs one more package; pip install 'smart-open[{extra}]'",
            "unsupported",
        )
    answer = getattr(error, "response", None)
    for status in (getattr(answer, "status_code", None), getattr(error, "code", None)):
        if isinstance(status, int):
            return _explained_status(status, where)
    if isinstance(error, OSError) and not isinstance(error, ValueError):  # requests' bad URLs are both
        return StorageError(f"{where}: the server does not answer or broke off", "unavailable", True)
    if isinstance(error, ValueError):
        return StorageError(f"{where}: not a valid location", "bad_uri")
    return StorageError(f"{where}: could not be read ({type(error).__name__})", "unavailable")


def _explained_local(error: OSError, where: str) -> StorageError:
    """Explain what the operating system says about a local file."""
    number = error.errno
    if number in (errno.ENOENT, errno.ENOTDIR):
        return StorageError(f"{where}: there is no such file", "not_found")
    if number in (errno.EACCES, errno.EPERM, errno.EROFS):
        return StorageError(f"{where}: access denied; check the file's permissions", "forbidden")
    if number == errno.EISDIR:
        return StorageError(f"{where}: a folder, not a file", "bad_uri")
    if number in (errno.ENOSPC, errno.EDQUOT):
        return StorageError(f"{where}: no space left on the disk", "no_space")
    if number in (errno.ENAMETOOLONG, errno.ELOOP, errno.EINVAL):
        return StorageError(f"{where}: not a valid path ({os.strerror(number)})", "bad_uri")
    reason = os.strerror(number) if number else type(error).__name__
    return StorageError(f"{where}: {reason}", "unavailable", True)
