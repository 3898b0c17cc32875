"""One range of one version of an S3 object."""

import contextlib
from datetime import UTC

from pipeline.storage.object_reader import Range
from pipeline.storage.retry import retried
from pipeline.storage.s3_client import client
from pipeline.storage.s3_errors import error_code, explain
from pipeline.storage.uris import bucket_and_key


def get_range(uri: str, start: int, length: int, etag: str | None = None) -> Range:
    """Return up to `length` bytes from `start`, of version `etag` if given."""
    bucket, key = bucket_and_key(uri, need_key=True)
    return retried(uri, lambda: _get_range(bucket, key, start, length, etag), explain)


def _get_range(bucket: str, key: str, start: int, length: int, etag: str | None) -> Range:
    from botocore.exceptions import ClientError  # imported here, see s3_client

    same = {"IfMatch": f'"{etag}"'} if etag else {}
    try:
        answer = client().get_object(Bucket=bucket, Key=key, Range=f"bytes={start}-{start + length - 1}", **same)
    except ClientError as error:
        if error_code(error) != "InvalidRange" or start:
            raise
        answer = client().get_object(Bucket=bucket, Key=key)  # an empty object has no first byte
    with contextlib.closing(answer["Body"]) as body:
        data = body.read()
    total = answer.get("ContentRange", "").rpartition("/")[2]
    return Range(
        data=data,
        size=int(total) if total.isdecimal() else len(data),
        etag=answer["ETag"].strip('"'),
        modified=answer["LastModified"].astimezone(UTC),
    )
