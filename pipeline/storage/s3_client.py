"""One boto3 client per process and environment.

Endpoint, region and credentials come from the standard AWS chain. boto3 makes one attempt per call; retries are
`retry.retried`, because only the caller knows whether a repeated conditional PUT has already succeeded, and because a
body that breaks off half-way must be read again, which boto3 leaves to its caller.
"""

import functools
import os
import threading
from typing import Any

Environment = tuple[tuple[str, str], ...]
_client_lock = threading.Lock()


def client(*, attempts: int = 1) -> Any:
    """Return this process's boto3 client for the AWS_* environment as it is now.

    Clients can be neither pickled nor shared across a fork, so no caller keeps one.

    Args:
        attempts: How often boto3 itself tries; more than once only for multipart uploads, whose parts it repeats.
    """
    environment = tuple(sorted(item for item in os.environ.items() if item[0].startswith("AWS_")))
    with _client_lock:
        return _client_for(os.getpid(), environment, attempts)


@functools.lru_cache(maxsize=4)
def _client_for(_process: int, _environment: Environment, attempts: int) -> Any:
    import boto3  # imported here because it takes 0.2 s, which local work need not wait for
    from botocore.config import Config

    config = Config(
        retries={"mode": "standard", "total_max_attempts": attempts},
        connect_timeout=10,
        read_timeout=60,
        max_pool_connections=32,
        tcp_keepalive=True,
        # Stores other than AWS often do not know the newer checksums; PUTs carry Content-MD5 instead.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    return boto3.Session().client("s3", config=config)
