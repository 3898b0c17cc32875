"""Errors of S3 and boto3, explained to a catalogue editor."""

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
_TEMPORARY = {"RequestTimeout", "ConditionalRequestConflict", "OperationAborted"}


def error_code(error: Any) -> str:
    """Return the code of a botocore ClientError, such as NoSuchKey."""
    return str(error.response.get("Error", {}).get("Code", ""))


def explain(error: Exception, uri: str) -> StorageError | None:
    """Explain the error of an S3 request; None if it is not about storage."""
    # Imported here because they take 0.2 s and local work does not need them.
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
    """Explain an error in the answer of the store."""
    code = error_code(error)
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    if code == "NoSuchBucket":
        return StorageError(f"{location}: there is no bucket {bucket}", "no_bucket")
    if code in _BAD_CREDENTIALS:
        return StorageError(
            f"{location}: the store rejects the AWS credentials ({code}); check AWS_PROFILE, AWS_ACCESS_KEY_ID "
            "and AWS_SECRET_ACCESS_KEY, and that they belong to this endpoint",
            "credentials",
        )
    if code == "RequestTimeTooSkewed":
        return StorageError(
            f"{location}: this machine's clock is wrong, so that the store rejects its requests", "credentials"
        )
    if code in _THROTTLED or status == 429:
        return StorageError(f"{location}: the store throttles requests ({code or status})", "throttled", True)
    if status == 501 or code == "NotImplemented":
        return StorageError(f"{location}: the store does not support this kind of request", "unsupported")
    if status >= 500 or code in _TEMPORARY:
        return StorageError(f"{location}: temporary failure of the store ({code or status})", "unavailable", True)
    if code == "InvalidObjectState":
        return StorageError(f"{location}: archived (Glacier); restore it to the bucket first", "forbidden")
    return explain_status(status, location, code)


def _explain_client(error: Exception, location: str) -> StorageError:
    """Explain an error of botocore without an answer of the store."""
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
        return StorageError(f"{location}: ~/.aws does not have the profile of AWS_PROFILE", "credentials")
    # Such as expired single sign-on, or an unreadable configuration. The text of the error may contain secrets.
    return StorageError(f"{location}: the AWS configuration does not work ({type(error).__name__})", "credentials")
