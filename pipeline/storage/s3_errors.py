"""What S3 and boto3 say, in a catalogue editor's words."""

import os
from typing import Any

from pipeline.storage.errors import StorageError, explain_status
from pipeline.storage.uris import bucket_and_key, redacted

_THROTTLED = {"SlowDown", "Throttling", "ThrottlingException", "TooManyRequests", "RequestLimitExceeded"}
_BAD_CREDENTIALS = {
    "AuthorizationHeaderMalformed",
    "ExpiredToken",
    "InvalidAccessKeyId",
    "InvalidToken",
    "SignatureDoesNotMatch",
    "TokenRefreshRequired",
}
_PASSING = {"RequestTimeout", "ConditionalRequestConflict", "OperationAborted"}


def error_code(error: Any) -> str:
    """Return the code of a botocore ClientError, such as NoSuchKey."""
    return str(error.response.get("Error", {}).get("Code", ""))


def explain(error: Exception, uri: str) -> StorageError | None:
    """Explain what an S3 request raises; None where it is not about storage."""
    # Imported here because they take 0.2 s, which local work need not wait for.
    from botocore.exceptions import BotoCoreError, ClientError
    from urllib3.exceptions import HTTPError

    location = redacted(uri)
    if isinstance(error, ClientError):
        return _explain_answer(error, location, bucket_and_key(uri)[0])
    if isinstance(error, BotoCoreError):
        return _explain_client(error, location)
    if isinstance(error, HTTPError):
        return StorageError(f"{location}: the connection broke while it was read", "unavailable", True)
    if isinstance(error, OSError):
        return StorageError(f"{location}: the connection broke", "unavailable", True)
    return None


def _explain_answer(error: Any, location: str, bucket: str) -> StorageError:
    """Explain an error the store answered with."""
    code = error_code(error)
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    if code == "NoSuchBucket":
        return StorageError(f"{location}: there is no bucket called {bucket}", "no_bucket")
    if code in _BAD_CREDENTIALS:
        return StorageError(
            f"{location}: the store refuses the AWS credentials ({code}); check AWS_PROFILE, AWS_ACCESS_KEY_ID "
            "and AWS_SECRET_ACCESS_KEY, and that they belong to this endpoint",
            "credentials",
        )
    if code == "RequestTimeTooSkewed":
        return StorageError(
            f"{location}: this machine's clock is wrong, so the store refuses its requests", "credentials"
        )
    if code in _THROTTLED or status == 429:
        return StorageError(f"{location}: the store asks to slow down ({code or status})", "throttled", True)
    if status == 501 or code == "NotImplemented":
        return StorageError(f"{location}: the store does not offer this kind of request", "unsupported")
    if status >= 500 or code in _PASSING:
        return StorageError(f"{location}: the store failed for a moment ({code or status})", "unavailable", True)
    if code == "InvalidObjectState":
        return StorageError(f"{location}: archived (Glacier); restore it to the bucket first", "forbidden")
    return explain_status(status, location, code)


def _explain_client(error: Exception, location: str) -> StorageError:
    """Explain what botocore raises before or instead of an answer."""
    from botocore import exceptions as boto  # imported here, see `explain`

    if isinstance(error, boto.NoCredentialsError | boto.PartialCredentialsError):
        return StorageError(
            f"{location}: no AWS credentials found; set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
            "credentials",
        )
    if isinstance(error, boto.SSLError):
        return StorageError(
            f"{location}: the endpoint's TLS certificate is not trusted; see AWS_CA_BUNDLE", "unavailable"
        )
    if isinstance(error, boto.ConnectionError | boto.HTTPClientError | boto.IncompleteReadError):
        endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or "AWS"
        return StorageError(
            f"{location}: the object store ({redacted(endpoint)}) does not answer; "
            "check the network and AWS_ENDPOINT_URL",
            "unavailable",
            True,
        )
    if isinstance(error, boto.ParamValidationError):
        return StorageError(f"{location}: not a valid bucket or key", "bad_uri")
    if isinstance(error, boto.ProfileNotFound):
        return StorageError(f"{location}: AWS_PROFILE names a profile that ~/.aws does not have", "credentials")
    # Expired single sign-on, unreadable configuration: the class name says it, the text may hold secrets.
    return StorageError(f"{location}: the AWS configuration does not work ({type(error).__name__})", "credentials")
