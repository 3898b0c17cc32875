"""URIs: schemes, joining names, resolving relative URIs of a catalogue, and removing secrets.

Conventions: only `scheme://` is a scheme, so that a file may have the name `Requiem: Kyrie.mp3`. S3 keys and local
    paths
are literal: `#`, `?`, `%`, `+` and spaces have no special meaning. `file://` and `http(s)://` are percent-encoded URLs.
"""

import os
import posixpath
import re
import urllib.parse
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pipeline.storage.errors import StorageError


@dataclass(frozen=True, kw_only=True)
class Scheme:
    """Properties of URIs with the same scheme, the part before `://`."""

    store: Literal["local", "s3", "cloud", "read_only"]
    """The store that reads and writes them."""
    percent_encoded: bool = False
    """Whether the path is percent-encoded."""
    has_query: bool = False
    """Whether `?` and `#` end the path."""


SCHEMES = {
    "": Scheme(store="local"),
    "file": Scheme(store="local", percent_encoded=True),
    "s3": Scheme(store="s3"),
    "s3a": Scheme(store="s3"),
    "http": Scheme(store="read_only", percent_encoded=True, has_query=True),
    "https": Scheme(store="read_only", percent_encoded=True, has_query=True),
    "gs": Scheme(store="cloud"),
    "az": Scheme(store="cloud"),
    "azure": Scheme(store="read_only", has_query=True),
}
UNKNOWN = Scheme(store="read_only", has_query=True)
"""Assumed for schemes that no store reads, in messages about them."""
NAMED_IN_MESSAGES = "s3://, gs://, az://, http://, https://, file://"

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_SECRET_QUERY = re.compile(r"[?&](x-amz-|x-goog-|[^=&]*(sig|token|key|auth|pass|secret|credential))", re.IGNORECASE)


def scheme_name(uri: str) -> str:
    """Return the part before `://` in lower case; empty for a path."""
    match = _SCHEME.match(uri)
    return match[1].lower() if match else ""


def scheme_of(uri: str) -> Scheme:
    """Return the properties of the scheme of `uri`."""
    return SCHEMES.get(scheme_name(uri), UNKNOWN)


def is_remote(uri: str) -> bool:
    """Return whether `uri` is not a file of this machine."""
    return scheme_of(uri).store != "local"


def is_bucket(uri: str) -> bool:
    """Return whether `uri` is in a bucket that can be listed and written."""
    return scheme_of(uri).store in ("s3", "cloud")


def join(uri: str, *names: str) -> str:
    """Return the location of `names` below the folder `uri`; `names` are literal and may contain slashes."""
    below = "/".join(names)
    if scheme_of(uri).percent_encoded:
        below = urllib.parse.quote(below)
    return uri + below if uri.endswith("/") else f"{uri}/{below}"


def redacted(uri: str) -> str:
    """Return `uri` for a log, a report or a table: without user, password, query and fragment of a URL."""
    if not is_remote(uri):
        return uri
    name = scheme_name(uri)
    authority, slash, path = uri[len(name) + 3 :].partition("/")
    authority = authority.rpartition("@")[2]
    if scheme_of(uri).has_query:
        authority, path = authority.partition("?")[0], path.partition("?")[0].partition("#")[0]
    return f"{name}://{authority}{slash}{path}"


def public_uri(uri: str) -> str:
    """Return `uri` for a table: without user and password, and without a query that grants access."""
    plain = redacted(uri)
    _, mark, query = uri.partition("?")
    if "?" in plain or _SECRET_QUERY.search(uri):  # in a path or an S3 key a question mark is literal
        return plain
    return plain + mark + query


def local_path(uri: str) -> Path:
    """Return the path of a local path or a `file://` URI.

    Raises:
        StorageError: bad_uri, for a file of another machine.
    """
    if not scheme_of(uri).percent_encoded:
        return Path(uri)
    host, _, path = uri[len("file://") :].partition("/")
    if host not in ("", "localhost"):
        raise StorageError(f"{uri}: a file:// URI of another machine; write file:///path", "bad_uri")
    return Path(os.fsdecode(urllib.parse.unquote_to_bytes(f"/{path}")))


def bucket_and_key(uri: str, *, need_key: bool = False) -> tuple[str, str]:
    """Split `s3://bucket/key`, or the same of another store; the key is literal and may be empty unless `need_key`.

    Raises:
        StorageError: bad_uri, if there is no bucket, or credentials are in the URI.
    """
    bucket, _, key = uri.partition("://")[2].partition("/")
    if "@" in bucket or ":" in bucket:
        raise StorageError(
            f"{redacted(uri)}: credentials do not belong into a URI; use environment variables or a role",
            "bad_uri",
        )
    if not bucket or (need_key and not key):
        raise StorageError(f"{uri}: not an object of a bucket; write {scheme_name(uri)}://bucket/key", "bad_uri")
    return bucket, key


def absolute(location: str) -> str:
    """Return a local path made absolute, without a slash at its end, and a remote URI unchanged."""
    if is_remote(location):
        return location
    return str(local_path(location).absolute())


def absolute_base(base: str) -> str:
    """Return a base of `resolve` made absolute; a slash at its end stays."""
    return join(absolute(base), "") if base.endswith("/") else absolute(base)


def resolve(uri: str, base: str, *, allow_local: bool = False) -> str:
    """Return the absolute location of a URI of a catalogue.

    A relative `uri` starts at the catalogue's folder. A local catalogue may contain `..` and absolute paths, because
    its author can read those files anyway. A remote catalogue may be written by anyone. It may contain `..` only within
    its bucket or host, and files of this machine only with `allow_local`.

    Args:
        uri: URI in the catalogue: `piano/take 1.mp3`, `../audio/x.flac`, `s3://bucket/key`, `/x.wav`.
        base: The catalogue file, or a folder with a slash at the end.
        allow_local: Whether a remote catalogue may name files of this machine.

    Returns:
        An absolute location.

    Raises:
        StorageError: bad_uri, for an empty or malformed `uri`, an unknown scheme, a file of this machine in a
            remote catalogue, or a `..` that leaves its bucket or host.
    """
    if not uri.strip() or "\0" in uri:
        raise StorageError("the uri is empty or contains a NUL character", "bad_uri")
    name = scheme_name(uri)
    if name not in SCHEMES:
        raise StorageError(f"{redacted(uri)}: {name}:// is not supported; use {NAMED_IN_MESSAGES} or a path", "bad_uri")
    if is_bucket(uri):
        bucket_and_key(uri)
    if is_remote(uri):
        return uri
    if name or uri.startswith("/"):
        if is_remote(base) and not allow_local:
            raise StorageError(
                f"{uri}: the remote catalogue {redacted(base)} may not name files of this machine; copy the file "
                "to the bucket or allow local files",
                "bad_uri",
            )
        return str(local_path(uri))
    if is_remote(base):
        return _resolve_remote(uri, base)
    catalogue = local_path(base)
    return os.path.abspath(os.path.join(catalogue if base.endswith("/") else catalogue.parent, uri))


def _resolve_remote(relative: str, base: str) -> str:
    """Apply a relative URI to the folder of a remote catalogue."""
    if scheme_of(base).percent_encoded:
        url = urllib.parse.urlsplit(base)
        folder = posixpath.dirname(url.path).strip("/")
        path = "/" + _descend(folder, urllib.parse.quote(relative, safe="/%"), relative)
        return urllib.parse.urlunsplit((url.scheme, url.netloc, path, "", ""))
    name = scheme_name(base)
    bucket, _, key = base[len(name) + 3 :].partition("/")
    return f"{name}://{bucket}/{_descend(posixpath.dirname(key), relative, relative)}"


def _descend(folder: str, relative: str, shown: str) -> str:
    """Apply `relative` to `folder`; only `.` and `..` are resolved, because S3 keys may contain empty names."""
    if not {".", ".."} & set(relative.split("/")):
        return f"{folder}/{relative}" if folder else relative
    names = folder.split("/") if folder else []
    for name in relative.split("/"):
        if name == "..":
            if not names:
                raise StorageError(f"{shown}: leaves the catalogue's bucket or host", "bad_uri")
            names.pop()
        elif name != ".":
            names.append(name)
    return "/".join(names)
