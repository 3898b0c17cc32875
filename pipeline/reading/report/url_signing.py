"""Links from the page to audio: relative paths, public URLs, signed S3 URLs."""

import os
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

from pipeline import storage
from pipeline.reading.report.config import ReportConfig


def audio_linker(config: ReportConfig) -> Callable[[str], str | None]:
    """Give a function that turns a track's URI into a link an `<audio>` element can play, or None.

    Local files get a link relative to the page, so that page and audio can be moved together. An HTTP URL with
    credentials or a query gets no link.
    """
    page_folder = None if storage.is_remote(config.file) else Path(config.file).absolute().parent
    sign = _s3_signer(config.listen_hours) if config.listen_hours is not None else None

    def link(uri: str) -> str | None:
        if uri.startswith(("http://", "https://")):
            return uri if storage.redacted(uri) == uri else None
        if uri.startswith("s3://"):
            return sign(uri) if sign is not None else None
        if storage.is_remote(uri) or page_folder is None:
            return None
        path = Path(storage.absolute(uri))
        return quote(os.fsencode(os.path.relpath(path, page_folder))) if path.exists() else None

    return link


def _s3_signer(hours: float) -> Callable[[str], str]:
    """Give a function that signs s3:// URIs with the endpoint and credentials of this environment."""
    import boto3  # slow to import; only signed links need it

    client = boto3.Session().client("s3")  # the default session would keep credentials it has read before

    def sign(uri: str) -> str:
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        url: str = client.generate_presigned_url(
            "get_object", Params={"Bucket": bucket, "Key": key}, ExpiresIn=round(hours * 3600)
        )
        return url

    return sign
