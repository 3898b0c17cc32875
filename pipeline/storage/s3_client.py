"""One boto3 client per process and environment.

Endpoint, region and credentials come from the standard AWS chain. boto3 makes one attempt per call, and
`retry.retried` repeats it. boto3's own retries are not used for two reasons: only the caller can find out whether a
repeated conditional PUT had already succeeded, and boto3 does not repeat a response whose body breaks off.
"""

import functools
import os
import threading
from typing import Any

Environment = tuple[tuple[str, str], ...]
_client_lock = threading.Lock()


def client(*, attempts: int = 1) -> Any:
    """Return this process's boto3 client for the current AWS_* environment variables.

    Clients can be neither pickled nor shared across a fork. Callers therefore do not keep them.

    Args:
        attempts: Attempts of boto3 itself; more than one only for multipart uploads, whose parts it repeats.
    """
    environment = tuple(sorted(item for item in os.environ.items() if item[0].startswith("AWS_")))
    with _client_lock:
        return _client_for(os.getpid(), environment, attempts)


@functools.lru_cache(maxsize=4)
def _client_for(_process: int, _environment: Environment, attempts: int) -> Any:
    import boto3  # imported here because it takes 0.2 s and local work does not need it
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
