"""S3 or local disk by URI: list, read, write whole objects, and the conditional writes leases are made of.

Conventions:

- A location is a plain local path, `file://`, `s3://bucket/key` (or `s3a://`), or, for reading only,
  `http(s)://`, `gs://` and `azure://`, through smart-open. Only `scheme://` is a scheme, so a file may be
  called `Requiem: Kyrie.mp3`.
- S3 keys and local paths are literal: `#`, `?`, `%`, `+` and spaces mean themselves. `file://` and `http(s)://`
  are URLs and percent-encoded.
- Endpoint, region and credentials of S3 come from the standard AWS chain (`AWS_ENDPOINT_URL_S3`,
  `AWS_ENDPOINT_URL`, profiles, instance roles). Clients are made on first use, once per process and
  environment, and live in this module, so nothing here keeps a caller from being pickled.
- Everything that fails raises `StorageError`, whose text is for a catalogue editor and never holds a key, a
  password or a signed query string. Trouble that passes (throttling, 5xx, cut connections) is retried with
  growing random pauses for `retry_seconds()` before it is raised.
- A write is whole or not there: one PUT, or locally a hidden temporary file, fsync and `os.replace`.
"""

import contextlib
import errno
import functools
import io
import logging
import os
import posixpath
import random
import re
import threading
import time
import urllib.parse
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

logger = logging.getLogger(__name__)

RANGE_BYTES = 8 * 2**20
"""An S3 object up to this size is read with one request, a larger one in ranges of it, several at a time."""
PARALLEL_RANGES = 4
"""Ranges of one large object in flight; one S3 connection gives some 90 MB/s, four fill a 2.5 Gbit/s card."""
READ_AHEAD_BYTES = 2**20
"""What a reader of an S3 object fetches at a time, so that decoding a header costs one request."""
LONGEST_PAUSE_SECONDS = 5.0
LARGEST_PUT_BYTES = 5 * 2**30
"""The largest object S3 takes in one PUT, 5 GiB."""

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_S3_SCHEMES = ("s3", "s3a")
_READ_ONLY_SCHEMES = ("http", "https", "gs", "azure")
_THROTTLED = {"SlowDown", "Throttling", "ThrottlingException", "TooManyRequests", "RequestLimitExceeded"}
_BAD_CREDENTIALS = {
    "AuthorizationHeaderMalformed",
    "ExpiredToken",
    "InvalidAccessKeyId",
    "InvalidToken",
    "SignatureDoesNotMatch",
    "TokenRefreshRequired",
}

Result = TypeVar("Result")


class StorageError(OSError):
    """A location that could not be listed, read or written.

    Attributes:
        error_type: One of not_found, no_bucket, forbidden, credentials, throttled, unavailable, bad_uri,
            too_large, changed, unsupported, no_space.
        retryable: Whether the same call may succeed later without anyone changing anything.
    """

    def __init__(self, message: str, error_type: str = "unavailable", retryable: bool = False) -> None:
        super().__init__(message)
        self.error_type = error_type
        self.retryable = retryable


@dataclass(frozen=True, kw_only=True)
class StoredFile:
    """One file of a listing."""

    uri: str
    """Where it is; the same text every other function here takes."""
    size: int
    """In bytes."""
    etag: str
    """Changes when the file does: S3's ETag without quotes, locally modification time and size."""
    modified: datetime
    """When it was last written, UTC."""


def retry_seconds() -> float:
    """Return how long passing trouble is retried, in seconds: MUSCAPS_RETRY_SECONDS, or 60."""
    return float(os.environ.get("MUSCAPS_RETRY_SECONDS", "60"))


def is_remote(uri: str) -> bool:
    """Tell whether `uri` is anything but a file of this machine."""
    return _scheme(uri) not in ("", "file")


def join(uri: str, *names: str) -> str:
    """Return the location of `names` below the folder `uri`; `names` are literal and may hold slashes."""
    below = "/".join(names)
    if _scheme(uri) in ("file", "http", "https"):
        below = urllib.parse.quote(below)
    return uri + below if uri.endswith("/") else f"{uri}/{below}"


def redacted(uri: str) -> str:
    """Return `uri` fit for a log, a report or a table: without a URL's user, password, query, fragment."""
    scheme = _scheme(uri)
    if scheme in ("", "file"):
        return uri
    authority, slash, path = uri[len(scheme) + 3 :].partition("/")
    authority = authority.rpartition("@")[2]
    if scheme not in _S3_SCHEMES:
        authority, path = authority.partition("?")[0], path.partition("?")[0].partition("#")[0]
    return f"{scheme}://{authority}{slash}{path}"


def resolve(uri: str, base: str, *, allow_local: bool = False) -> str:
    """Return the location a catalogue means by `uri`.

    A relative `uri` counts from the catalogue's folder. A local catalogue may use `..` and absolute paths
    freely: whoever wrote it can read those files anyway. A remote catalogue may come from anyone, so it may
    use `..` only within its bucket or host, and files of this machine only with `allow_local`.

    Args:
        uri: What the catalogue says: `piano/take 1.mp3`, `../audio/x.flac`, `s3://bucket/key`, `/x.wav`.
        base: The catalogue file itself; end it with a slash where it is a folder.
        allow_local: Whether a remote catalogue may name files of this machine.

    Returns:
        An absolute location.

    Raises:
        StorageError: bad_uri, for an empty or malformed `uri`, an unknown scheme, a file of this machine in a
            remote catalogue, or a `..` that leaves its bucket or host.
    """
    if not uri.strip() or "\0" in uri:
        raise StorageError("the uri is empty or holds a NUL character", "bad_uri")
    scheme = _scheme(uri)
    if scheme in _S3_SCHEMES:
        _bucket_and_key(uri)
        return uri
    if scheme in _READ_ONLY_SCHEMES:
        return uri
    if scheme not in ("", "file"):
        known = ", ".join(f"{name}://" for name in (*_S3_SCHEMES[:1], *_READ_ONLY_SCHEMES, "file"))
        raise StorageError(f"{redacted(uri)}: {scheme}:// is not read; use {known} or a path", "bad_uri")
    remote = is_remote(base)
    if scheme == "file" or uri.startswith("/"):
        if remote and not allow_local:
            raise StorageError(
                f"{uri}: a file of this machine, named by the remote catalogue {redacted(base)}, is not "
                "read; copy it to the bucket or allow local files",
                "bad_uri",
            )
        return str(_local_path(uri))
    if not remote:
        return os.path.abspath(os.path.join(os.path.dirname(_local_path(base)), uri))
    if _scheme(base) in ("http", "https"):
        url = urllib.parse.urlsplit(base)
        path = "/" + _climb(posixpath.dirname(url.path).strip("/"), urllib.parse.quote(uri, safe="/%"), uri)
        return urllib.parse.urlunsplit((url.scheme, url.netloc, path, "", ""))
    scheme, bucket = _scheme(base), base[len(_scheme(base)) + 3 :].partition("/")[0]
    folder = posixpath.dirname(base[len(scheme) + 3 + len(bucket) + 1 :])
    return f"{scheme}://{bucket}/{_climb(folder, uri, uri)}"


def exists(uri: str) -> bool:
    """Tell whether there is a file at `uri`, or a folder (S3: a prefix with something below it).

    Raises:
        StorageError: It cannot be known: no such bucket, no permission, no answer.
    """
    if _scheme(uri) not in _S3_SCHEMES:
        with _reported(uri):
            return _local_path(uri).exists()
    bucket, key = _bucket_and_key(uri)
    if key and not key.endswith("/"):
        try:
            # Not HEAD, whose refusals have no body and so do not say what is wrong.
            _retried(uri, lambda: _get_range(bucket, key, 0, 1, None))
        except StorageError as error:
            if error.error_type != "not_found":
                raise
        else:
            return True
    return is_folder(uri)


def is_folder(uri: str) -> bool:
    """Tell whether `uri` is a local folder, or an S3 prefix with something below it.

    Raises:
        StorageError: It cannot be known: no such bucket, no permission, no answer.
    """
    if _scheme(uri) in _READ_ONLY_SCHEMES:
        return False
    if _scheme(uri) not in _S3_SCHEMES:
        with _reported(uri):
            return _local_path(uri).is_dir()
    bucket, prefix = _bucket_and_prefix(uri)
    page = _retried(uri, lambda: _client().list_objects_v2(Bucket=bucket, Prefix=prefix, MaxKeys=1))
    return bool(page["KeyCount"])


def list_files(uri: str, suffix: str | tuple[str, ...] = "") -> Iterator[StoredFile]:
    """List the files below the folder or prefix `uri`, at any depth, in the order of their paths' bytes.

    Left out: everything whose name starts with a dot, at any level (temporary files of writes in progress
    among it), and the zero-byte objects some tools leave to mark a folder. A folder that does not exist is
    empty, as S3 knows no difference; symbolic links are followed, each folder once.

    Args:
        uri: A local folder, `file://` or `s3://`.
        suffix: Only names ending in this, or in one of these.

    Yields:
        One StoredFile each, while S3 is still being asked for the next thousand.

    Raises:
        StorageError: The bucket is missing, the folder may not be read, or the scheme cannot be listed.
    """
    if _scheme(uri) in _S3_SCHEMES:
        yield from _list_s3(uri, suffix)
    else:
        yield from _list_local(uri, suffix)


def read_bytes(uri: str, *, max_bytes: int | None = None) -> bytes:
    """Read a whole file; a large S3 object in parallel ranges of one version of it.

    Args:
        uri: Any location that can be read.
        max_bytes: Refuse a larger file before it is fetched, or as soon as its size shows.

    Raises:
        StorageError: too_large, or whatever kept it from being read.
    """
    if _scheme(uri) in _S3_SCHEMES:
        return _read_s3(uri, max_bytes)[0]
    limit = -1 if max_bytes is None else max_bytes + 1

    def read() -> bytes:
        with _open_elsewhere(uri) as file:
            return file.read(limit)

    data = _retried(uri, read)
    _refuse_larger(uri, len(data), max_bytes)
    return data


def read_versioned(uri: str) -> tuple[bytes, str]:
    """Read a small object together with the etag `replace_if_unchanged` wants.

    Raises:
        StorageError: It could not be read.
    """
    if _scheme(uri) in _S3_SCHEMES:
        return _read_s3(uri, None)
    data = read_bytes(uri)
    return data, _digest(data)


def open_for_reading(uri: str) -> BinaryIO:
    """Open a file, seekable and buffered; an S3 object is fetched in ranges as it is read, in bounded memory.

    Raises:
        StorageError: It cannot be opened; later, from `read`: it became
            unreachable, or changed while it was read.
    """
    if _scheme(uri) in _S3_SCHEMES:
        return io.BufferedReader(_ObjectReader(uri), READ_AHEAD_BYTES)
    return _retried(uri, lambda: _open_elsewhere(uri))


def write_once(uri: str, data: bytes) -> None:
    """Write a file so that readers see all of it or none; whatever was there is replaced.

    Locally, folders are made as needed and the bytes are on disk when this returns.

    Raises:
        StorageError: It could not be written; nothing partial is visible.
    """
    if _is_s3_for_writing(uri):
        bucket, key = _bucket_and_key(uri, need_key=True)
        _retried(uri, lambda: _put(bucket, key, data, {}))
        return
    with _reported(uri), _temporary(_local_path(uri), data) as temporary:
        os.replace(temporary, _local_path(uri))
        _sync_folder(_local_path(uri).parent)


def create_exclusively(uri: str, data: bytes) -> bool:
    """Write a file only if there is none; of several callers exactly one wins.

    Args:
        uri: An S3 object (`If-None-Match: *`) or a local file.
        data: Must say whose it is: if the store's answer is lost, the winner is told by what is there.

    Returns:
        Whether this call made the file.

    Raises:
        StorageError: It could not be written; unsupported where the store refuses conditional writes.
    """
    if _is_s3_for_writing(uri):
        return _put_if(uri, data, {"IfNoneMatch": "*"})
    path = _local_path(uri)
    with _reported(uri), _temporary(path, data) as temporary, _locked(path):
        try:
            os.link(temporary, path)
        except FileExistsError:
            return False
        except OSError as error:
            if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.EMLINK):
                raise
            # No hard links here (exFAT, some network drives); the lock still keeps our own callers apart.
            if path.exists():
                return False
            os.replace(temporary, path)
        _sync_folder(path.parent)
    return True


def replace_if_unchanged(uri: str, data: bytes, etag: str) -> bool:
    """Replace a small file only if it still is the version read; of several callers exactly one wins.

    Args:
        uri: An S3 object (`If-Match`) or a local file.
        data: Must say whose it is, as for `create_exclusively`.
        etag: From `read_versioned`.

    Returns:
        Whether this call replaced it; False as well where the file is gone.

    Raises:
        StorageError: It could not be written; unsupported where the store refuses conditional writes.
    """
    if _is_s3_for_writing(uri):
        return _put_if(uri, data, {"IfMatch": f'"{etag}"'})
    path = _local_path(uri)
    with _reported(uri), _temporary(path, data) as temporary, _locked(path):
        try:
            if _digest(path.read_bytes()) != etag:
                return False
        except FileNotFoundError:
            return False
        os.replace(temporary, path)
        _sync_folder(path.parent)
    return True


def delete(uri: str) -> None:
    """Remove a file; one that is not there is no error.

    Raises:
        StorageError: It could not be removed.
    """
    if _is_s3_for_writing(uri):
        bucket, key = _bucket_and_key(uri, need_key=True)
        _retried(uri, lambda: _client().delete_object(Bucket=bucket, Key=key))
        return
    with _reported(uri):
        _local_path(uri).unlink(missing_ok=True)


def filesystem(uri: str) -> tuple[Any, str]:
    """Return a pyarrow filesystem and the path of `uri` in it, with the endpoint and credentials used here.

    Credentials that expire (instance roles, single sign-on) are left to pyarrow's own AWS chain, which renews
    them; fixed ones are handed over.

    Raises:
        StorageError: unsupported, for a scheme other than `s3://` and local files; credentials,
            where there are none.
    """
    from pyarrow import fs

    if not is_remote(uri):
        return fs.LocalFileSystem(), os.path.abspath(_local_path(uri))
    if _scheme(uri) not in _S3_SCHEMES:
        raise StorageError(f"{redacted(uri)}: tables are read from and written to s3:// or local disk", "unsupported")
    bucket, key = _bucket_and_key(uri)
    return _retried(uri, lambda: _current(_arrow_filesystem_for)), f"{bucket}/{key}"


# Locations


def _scheme(uri: str) -> str:
    match = _SCHEME.match(uri)
    return match[1].lower() if match else ""


def _local_path(uri: str) -> Path:
    scheme = _scheme(uri)
    if scheme == "file":
        host, _, path = uri[len("file://") :].partition("/")
        if host not in ("", "localhost"):
            raise StorageError(f"{uri}: a file:// URI of another machine; write file:///path", "bad_uri")
        return Path(os.fsdecode(urllib.parse.unquote_to_bytes(f"/{path}")))
    if scheme:
        raise StorageError(f"{redacted(uri)}: only s3:// and local folders can be listed and written", "unsupported")
    return Path(uri)


def _is_s3_for_writing(uri: str) -> bool:
    if _scheme(uri) in _S3_SCHEMES:
        return True
    _local_path(uri)  # raises for what can only be read
    return False


def _bucket_and_key(uri: str, *, need_key: bool = False) -> tuple[str, str]:
    bucket, _, key = uri.partition("://")[2].partition("/")
    if "@" in bucket or ":" in bucket:
        raise StorageError(
            f"{redacted(uri)}: credentials do not belong into a URI; use AWS_PROFILE, AWS_ACCESS_KEY_ID or a role",
            "bad_uri",
        )
    if not bucket or (need_key and not key):
        raise StorageError(f"{uri}: not an object of a bucket; write s3://bucket/key", "bad_uri")
    return bucket, key


def _bucket_and_prefix(uri: str) -> tuple[str, str]:
    bucket, key = _bucket_and_key(uri)
    return bucket, key if not key or key.endswith("/") else f"{key}/"


def _climb(folder: str, relative: str, shown: str) -> str:
    """Apply `relative` to `folder`; S3 keys may hold empty names, so only `.` and `..` are resolved."""
    if not {".", ".."} & set(relative.split("/")):
        return f"{folder}/{relative}" if folder else relative
    names = folder.split("/") if folder else []
    for name in relative.split("/"):
        if name == "..":
            if not names:
                raise StorageError(f"{shown}: climbs out of the catalogue's bucket or host", "bad_uri")
            names.pop()
        elif name != ".":
            names.append(name)
    return "/".join(names)


def _refuse_larger(uri: str, size: int, max_bytes: int | None) -> None:
    if max_bytes is not None and size > max_bytes:
        raise StorageError(f"{redacted(uri)}: larger than the {max_bytes:,} bytes allowed", "too_large")


# Trouble


def _retried(uri: str, operation: Callable[[], Result]) -> Result:
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
            pause = random.uniform(0.05, min(LONGEST_PAUSE_SECONDS, 0.2 * 2**attempt))
            if not failure.retryable or time.monotonic() + pause > deadline:
                raise failure from None
            logger.log(logging.WARNING if attempt == 4 else logging.DEBUG, "%s; trying again", failure)
            time.sleep(pause)


@contextlib.contextmanager
def _reported(uri: str) -> Iterator[None]:
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
        return _explained_answer(error, where, uri)
    if isinstance(error, BotoCoreError):
        return _explained_client(error, where)
    if isinstance(error, HTTPError):
        return StorageError(f"{where}: the connection broke while it was read", "unavailable", True)
    if is_remote(uri):
        return _explained_elsewhere(error, where)
    if isinstance(error, OSError):
        return _explained_local(error, where)
    if isinstance(error, ValueError):
        return StorageError(f"{where!r}: not a valid path", "bad_uri")
    return None


def _explained_answer(error: Any, where: str, uri: str) -> StorageError:
    """Explain an error the S3 store answered with."""
    code = str(error.response.get("Error", {}).get("Code", ""))
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    bucket = _bucket_and_key(uri)[0]
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
    return StorageError(f"{where}: the server answers {' '.join(filter(None, [str(status), code]))}", "bad_uri")


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
    scheme = _scheme(where)
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


# S3

_making = threading.Lock()
Environment = tuple[tuple[str, str], ...]


def _current(make: Callable[[int, Environment], Any]) -> Any:
    """Return what the cached `make` made for this process and the AWS_* environment as it is now."""
    environment = tuple(sorted(item for item in os.environ.items() if item[0].startswith("AWS_")))
    with _making:
        return make(os.getpid(), environment)


def _client() -> Any:
    return _current(_client_for)


@functools.lru_cache(maxsize=4)
def _client_for(_process: int, _environment: Environment) -> Any:
    import boto3
    from botocore.config import Config

    config = Config(
        # One attempt: retries are ours, as only the caller knows whether a repeated conditional PUT has won.
        retries={"total_max_attempts": 1},
        connect_timeout=10,
        read_timeout=60,
        max_pool_connections=32,
        tcp_keepalive=True,
        # Stores other than AWS often do not know the newer checksums; PUTs carry Content-MD5 instead.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    return boto3.Session().client("s3", config=config)


@functools.lru_cache(maxsize=4)
def _arrow_filesystem_for(process: int, environment: Environment) -> Any:
    from botocore.credentials import RefreshableCredentials
    from pyarrow import fs

    client = _client_for(process, environment)
    endpoint = urllib.parse.urlsplit(client.meta.endpoint_url)
    credentials = client._request_signer._credentials
    settings: dict[str, Any] = {}
    if credentials is not None and not isinstance(credentials, RefreshableCredentials):
        settings = {
            "access_key": credentials.access_key,
            "secret_key": credentials.secret_key,
            "session_token": credentials.token,
        }
    if not (endpoint.hostname or "").endswith((".amazonaws.com", ".amazonaws.com.cn")):
        settings["endpoint_override"] = endpoint.netloc
    region = client.meta.region_name
    return fs.S3FileSystem(
        region=None if region == "aws-global" else region,
        scheme=endpoint.scheme,
        connect_timeout=10,
        request_timeout=60,
        retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=10),
        **settings,
    )


def _put(bucket: str, key: str, data: bytes, condition: dict[str, str]) -> None:
    import base64
    import hashlib

    if len(data) > LARGEST_PUT_BYTES:
        raise ValueError(
            f"s3://{bucket}/{key}: {len(data):,} bytes are more than one PUT takes, 5 GiB; write less at once"
        )
    md5 = base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()
    _client().put_object(Bucket=bucket, Key=key, Body=data, ContentMD5=md5, **condition)


def _put_if(uri: str, data: bytes, condition: dict[str, str]) -> bool:
    """PUT on a condition; after an answer was lost, a refusal is checked against what is there."""
    from botocore.exceptions import ClientError

    bucket, key = _bucket_and_key(uri, need_key=True)
    answer_lost = False

    def put() -> bool:
        nonlocal answer_lost
        try:
            _put(bucket, key, data, condition)
        except ClientError as error:
            status = error.response["ResponseMetadata"]["HTTPStatusCode"]
            if status == 412 or (status == 404 and "IfMatch" in condition and _code(error) != "NoSuchBucket"):
                return answer_lost and status == 412 and _read_s3(uri, None)[0] == data
            answer_lost = answer_lost or status >= 500
            raise
        except ValueError:
            raise
        except Exception:
            answer_lost = True
            raise
        return True

    return _retried(uri, put)


def _code(error: Any) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def _read_s3(uri: str, max_bytes: int | None) -> tuple[bytes, str]:
    bucket, key = _bucket_and_key(uri, need_key=True)
    first, size, etag = _retried(uri, lambda: _get_range(bucket, key, 0, RANGE_BYTES, None))
    _refuse_larger(uri, size, max_bytes)
    if size <= len(first):
        return first, etag

    def read_at(start: int) -> bytes:
        return _retried(uri, lambda: _get_range(bucket, key, start, RANGE_BYTES, etag))[0]

    with ThreadPoolExecutor(PARALLEL_RANGES) as pool:
        return b"".join([first, *pool.map(read_at, range(RANGE_BYTES, size, RANGE_BYTES))]), etag


def _get_range(bucket: str, key: str, start: int, length: int, etag: str | None) -> tuple[bytes, int, str]:
    """Return up to `length` bytes from `start`, the whole size and the etag; of version `etag` if given."""
    from botocore.exceptions import ClientError

    same = {"IfMatch": f'"{etag}"'} if etag else {}
    try:
        answer = _client().get_object(Bucket=bucket, Key=key, Range=f"bytes={start}-{start + length - 1}", **same)
    except ClientError as error:
        if _code(error) != "InvalidRange" or start:
            raise
        answer = _client().get_object(Bucket=bucket, Key=key)  # an empty object has no first byte
    with contextlib.closing(answer["Body"]) as body:
        data = body.read()
    total = answer.get("ContentRange", "").rpartition("/")[2]
    return data, int(total) if total.isdecimal() else len(data), answer["ETag"].strip('"')


class _ObjectReader(io.RawIOBase):
    """One version of an S3 object, fetched in ranges as they are asked for."""

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._bucket, self._key = _bucket_and_key(uri, need_key=True)
        self._position = 0
        self._start = 0
        self._ahead, self._size, self._etag = self._fetch(0, READ_AHEAD_BYTES, None)

    def _fetch(self, start: int, length: int, etag: str | None) -> tuple[bytes, int, str]:
        return _retried(self._uri, lambda: _get_range(self._bucket, self._key, start, length, etag))

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        origin = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        if origin + offset < 0:
            raise ValueError(f"cannot seek to {origin + offset}, before the start of the file")
        self._position = origin + offset
        return self._position

    def readinto(self, buffer: Any) -> int:
        length = min(len(buffer), max(0, self._size - self._position))
        if length == 0:
            return 0
        skip = self._position - self._start
        if not 0 <= skip < len(self._ahead):
            wanted = min(max(length, READ_AHEAD_BYTES), self._size - self._position)
            self._ahead = self._fetch(self._position, wanted, self._etag)[0]
            self._start, skip = self._position, 0
        data = self._ahead[skip : skip + length]
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)


def _list_s3(uri: str, suffix: str | tuple[str, ...]) -> Iterator[StoredFile]:
    bucket, prefix = _bucket_and_prefix(uri)
    root = f"{_scheme(uri)}://{bucket}/"
    token: dict[str, str] = {}
    while True:
        request = {"Bucket": bucket, "Prefix": prefix, **token}
        page = _retried(uri, functools.partial(_list_page, request))
        for item in page.get("Contents", []):
            key, size = item["Key"], item["Size"]
            hidden = any(name.startswith(".") for name in key[len(prefix) :].split("/"))
            marker = key.endswith("/") or (size == 0 and key.endswith("_$folder$"))
            if not hidden and not marker and key.endswith(suffix):
                etag = item["ETag"].strip('"')
                yield StoredFile(uri=root + key, size=size, etag=etag, modified=item["LastModified"].astimezone(UTC))
        if not page.get("IsTruncated"):
            return
        token = {"ContinuationToken": page["NextContinuationToken"]}


def _list_page(request: dict[str, str]) -> dict[str, Any]:
    answer: dict[str, Any] = _client().list_objects_v2(**request)
    return answer


# Local disk and everything else


def _open_elsewhere(uri: str) -> BinaryIO:
    if not is_remote(uri):
        return open(_local_path(uri), "rb")
    import smart_open

    if _scheme(uri) not in _READ_ONLY_SCHEMES:
        raise StorageError(f"{redacted(uri)}: {_scheme(uri)}:// is not read", "bad_uri")
    parameters = {"timeout": 60} if _scheme(uri) in ("http", "https") else {}
    file: BinaryIO = smart_open.open(uri, "rb", compression="disable", transport_params=parameters)
    return file


def _list_local(uri: str, suffix: str | tuple[str, ...]) -> Iterator[StoredFile]:
    seen: set[tuple[int, int]] = set()

    def walk(folder: Path) -> Iterator[StoredFile]:
        status = folder.stat()
        if (status.st_dev, status.st_ino) in seen:
            return
        seen.add((status.st_dev, status.st_ino))
        entries = [(entry, entry.is_dir()) for entry in os.scandir(folder) if not entry.name.startswith(".")]
        # A folder sorts with its slash, as S3 sorts whole keys.
        for entry, folder_below in sorted(entries, key=lambda pair: os.fsencode(pair[0].name + "/" * pair[1])):
            if folder_below:
                yield from walk(Path(entry.path))
            elif entry.name.endswith(suffix) and entry.is_file():
                with contextlib.suppress(FileNotFoundError):  # deleted since
                    yield _stored(entry.path, entry.stat(), as_url=_scheme(uri) == "file")

    with _reported(uri):
        root = _local_path(uri)
        if root.is_dir():
            yield from walk(root)


def _stored(path: str, status: os.stat_result, *, as_url: bool) -> StoredFile:
    try:
        path.encode()
    except UnicodeEncodeError:
        as_url = True  # a name that is not UTF-8 fits into no table; percent-encoded it does
    if as_url:
        path = "file://" + urllib.parse.quote(os.fsencode(os.path.abspath(path)))
    return StoredFile(
        uri=path,
        size=status.st_size,
        etag=f"{status.st_mtime_ns:x}-{status.st_size:x}",
        modified=datetime.fromtimestamp(status.st_mtime, UTC),
    )


def _digest(data: bytes) -> str:
    import hashlib

    return hashlib.md5(data, usedforsecurity=False).hexdigest()


@contextlib.contextmanager
def _temporary(path: Path, data: bytes) -> Iterator[Path]:
    """Give a synced, hidden file with `data` beside `path`; whatever of it is left afterwards is removed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.parent / f".{uuid.uuid4().hex}.part"
    try:
        # "x" rather than tempfile: the file must get the user's umask, not 0600, since it becomes the result.
        with open(temporary, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the folder's hidden lock file, so that compare and replace are one step among our processes."""
    import fcntl

    with open(path.parent / ".muscaps.lock", "ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _sync_folder(folder: Path) -> None:
    """Make a rename survive a power cut, where the file system lets a folder be synced."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
