"""Links from the page to audio: relative paths, public URLs, signed S3 URLs."""

import os
from pathlib import Path
from typing import Any
from urllib.parse import quote

from pipeline import storage
from pipeline.reading.report.config import ReportConfig


def audio_linker(config: ReportConfig) -> Any:
    """A function from a track's URI to what an `<audio>` can play, or None.

    Local files are linked relative to the page, so that the two may move together.
    """
    page = None if storage.is_remote(config.file) else Path(config.file).absolute().parent
    sign = _signer(config.listen_hours) if config.listen_hours is not None else None

    def link(uri: str) -> str | None:
        if uri.startswith(("http://", "https://")):
            return storage.redacted(uri) if storage.redacted(uri) == uri else None
        if uri.startswith("s3://"):
            return sign(uri) if sign is not None else None
        if storage.is_remote(uri) or page is None:
            return None
        path = Path(uri.removeprefix("file://")).absolute()
        return quote(os.path.relpath(path, page)) if path.exists() else None

    return link


def _signer(hours: float) -> Any:
    """A function that signs s3:// links with the endpoint and credentials of this environment."""
    import boto3

    client = boto3.client("s3")

    def sign(uri: str) -> str:
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        url: str = client.generate_presigned_url(
            "get_object", Params={"Bucket": bucket, "Key": key}, ExpiresIn=round(hours * 3600)
        )
        return url

    return sign
