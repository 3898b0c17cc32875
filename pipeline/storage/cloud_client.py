"""Stores of Google Cloud Storage and Azure Blob Storage, through obstore (extra `cloud`).

Endpoint and credentials come from the environment and the machine's identity, as obstore reads them: `GOOGLE_*`,
`AZURE_*`. obstore makes one attempt per call, and `retry.retried` repeats it, see `s3_client`.
"""

import functools
import os
import re
from datetime import timedelta
from typing import Any

from pipeline.storage.errors import StorageError, explain_status
from pipeline.storage.uris import bucket_and_key, redacted, scheme_name

_STATUS = re.compile(r"status code: (\d{3})")
_CREDENTIALS = re.compile(r"token request|credential|account( name)? must|client error|authoriz", re.IGNORECASE)
_PREFIXES = ("GOOGLE_", "AZURE_", "MSI_", "IDENTITY_")
REMEDIES = {
    "gs": "GOOGLE_APPLICATION_CREDENTIALS or the machine's service account",
    "az": "AZURE_STORAGE_ACCOUNT_NAME, and AZURE_STORAGE_ACCOUNT_KEY or a managed identity",
}


def cloud_client(uri: str) -> tuple[Any, str]:
    """Return obstore's store of a bucket or container, and the key of `uri` in it.

    Raises:
        StorageError: obstore is not installed, or its configuration is wrong.
    """
    bucket, key = bucket_and_key(uri)
    environment = tuple(sorted(item for item in os.environ.items() if item[0].startswith(_PREFIXES)))
    try:
        return _client_for(scheme_name(uri), bucket, os.getpid(), environment), key
    except ImportError:
        raise StorageError(
            f"{redacted(uri)}: {scheme_name(uri)}:// needs one more package: pip install 'muscaps[cloud]'",
            "unsupported",
        ) from None
    except Exception as error:  # obstore raises several types for a bad configuration, whose texts may hold keys
        raise explain(error, uri) or error from None


@functools.lru_cache(maxsize=16)
def _client_for(scheme: str, bucket: str, _process: int, environment: tuple[tuple[str, str], ...]) -> Any:
    from obstore.store import AzureStore, GCSStore  # an extra

    kind = GCSStore if scheme == "gs" else AzureStore
    plain_http = any(value.startswith("http://") for name, value in environment if name.endswith(("_URL", "ENDPOINT")))
    return kind(
        bucket,
        client_options={"allow_http": plain_http, "timeout": timedelta(seconds=60), "connect_timeout": "10 s"},
        retry_config={"max_retries": 0},
    )


def explain(error: Exception, uri: str) -> StorageError | None:
    """Explain an error of obstore; None if it is not about storage. Its text has the store's answer: never quoted."""
    from obstore import exceptions as obstore

    location = redacted(uri)
    found = _STATUS.search(str(error))
    status = int(found[1]) if found else 0
    if isinstance(error, FileNotFoundError):
        if "ContainerNotFound" in str(error) or "NoSuchBucket" in str(error):
            return StorageError(f"{location}: there is no bucket {bucket_and_key(uri)[0]}", "no_bucket")
        return StorageError(f"{location}: there is no such file", "not_found")
    if isinstance(error, obstore.PreconditionError):
        return explain_status(412, location)
    if isinstance(error, obstore.PermissionDeniedError):
        return explain_status(403, location)
    if isinstance(error, obstore.InvalidPathError) or (isinstance(error, ValueError) and "parse path" in str(error)):
        return StorageError(f"{location}: empty names and line breaks in a key are not supported here", "bad_uri")
    if isinstance(error, obstore.UnauthenticatedError) or (not status and _CREDENTIALS.search(str(error))):
        message = f"{location}: no valid credentials; check {REMEDIES.get(scheme_name(uri), 'them')}"
        return StorageError(message, "credentials")
    if isinstance(error, obstore.NotSupportedError | NotImplementedError) or status == 501:
        return StorageError(f"{location}: the store does not support this kind of request", "unsupported")
    if status:
        return explain_status(status, location)
    if isinstance(error, obstore.BaseError | OSError):
        return StorageError(
            f"{location}: the object store does not answer, or the connection broke", "unavailable", True
        )
    return None
