"""WSGI filters that complete Swift's S3 API for the tests: conditional writes, and a cache without memcached."""

from collections.abc import Callable, Iterable
from time import monotonic
from typing import Any


class ConditionalWrites:
    """WSGI filter behind s3api: one write at a time per object, and `If-Match` is compared.

    Swift's s3api takes `If-None-Match: *` but checks it before it receives the body, so two PUTs at once may both
    succeed. It refuses `If-Match` on a PUT (501). AWS S3 promises both.
    """

    def __init__(self, app: Callable[..., Iterable[bytes]]) -> None:
        from eventlet.semaphore import Semaphore

        self._app = app
        self._locks = [Semaphore() for _ in range(64)]

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] not in ("PUT", "DELETE", "POST"):
            return self._app(environ, start_response)
        with self._locks[hash(environ["PATH_INFO"]) % len(self._locks)]:
            wanted = environ.pop("HTTP_IF_MATCH", None)
            if wanted is not None and environ["REQUEST_METHOD"] == "PUT":
                status, etag = self._current(environ)
                if status != 200 or etag != wanted.strip('"'):
                    # AWS answers 404 for a missing object, which s3api would turn into a missing bucket.
                    start_response("412 Precondition Failed", [("Content-Length", "0")])
                    return [b""]
            # A PUT's answer is complete, and the object committed, when this returns.
            return list(self._app(environ, start_response))

    def _current(self, environ: dict[str, Any]) -> tuple[int, str]:
        from swift.common.wsgi import make_pre_authed_request

        answer = make_pre_authed_request(environ, "HEAD", environ["PATH_INFO"], swift_source="IM").get_response(
            self._app
        )
        return answer.status_int, str(answer.headers.get("Etag", "")).strip('"')


def conditional_writes(_global_conf: dict[str, str], **_local_conf: str) -> Callable[..., ConditionalWrites]:
    """Make the filter for the proxy server's pipeline, and let s3api pass `If-Match` on to it."""
    from swift.common.middleware.s3api.s3request import S3Request

    check = S3Request._validate_headers

    def check_but_if_match(request: Any) -> None:
        wanted = request.environ.pop("HTTP_IF_MATCH", None)
        try:
            check(request)
        finally:
            if wanted is not None:
                request.environ["HTTP_IF_MATCH"] = wanted

    S3Request._validate_headers = check_but_if_match
    return ConditionalWrites


class MemoryCache:
    """WSGI filter in front: caches what the proxy server knows of accounts and buckets, in this process.

    Swift's own filter needs memcached; without it every request costs two more.
    """

    def __init__(self, app: Callable[..., Iterable[bytes]]) -> None:
        self._app = app
        self._values: dict[str, tuple[Any, float]] = {}

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        environ["swift.cache"] = self
        return self._app(environ, start_response)

    def get(self, key: str, raise_on_error: bool = False) -> Any:
        value, until = self._values.get(key, (None, 0.0))
        return value if monotonic() < until else None

    def set(self, key: str, value: Any, time: float = 0, **_ignored: Any) -> None:
        self._values[key] = (value, monotonic() + (time or 3600))

    def delete(self, key: str, server_key: str | None = None) -> None:
        self._values.pop(key, None)


def memory_cache(_global_conf: dict[str, str], **_local_conf: str) -> Callable[..., MemoryCache]:
    """Make the filter for the proxy server's pipeline."""
    return MemoryCache
