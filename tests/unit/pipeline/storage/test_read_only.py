"""Stores that are only read: http, and what smart-open lacks."""

import http.server
import threading
from collections.abc import Iterator

import pytest

from pipeline import storage
from pipeline.storage import StorageError


@pytest.mark.parametrize("uri", ["https://host/out", "azure://container/out", "ftp://host/out"])
def test_only_buckets_and_local_folders_are_written_and_listed(uri: str) -> None:
    with pytest.raises(StorageError, match="only s3://, gs://, az:// and local folders"):
        storage.write_once(uri, b"")
    with pytest.raises(StorageError, match="only s3://, gs://, az:// and local folders"):
        list(storage.list_files(uri))


def test_a_missing_smart_open_extra_is_named() -> None:
    with pytest.raises(StorageError, match=r"pip install 'smart-open\[azure\]'") as caught:
        storage.read_bytes("azure://container/x.mp3")
    assert caught.value.error_type == "unsupported"


class _Audio(http.server.BaseHTTPRequestHandler):
    busy = 0

    def do_GET(self) -> None:
        if self.path.startswith("/busy") and type(self).busy > 0:
            type(self).busy -= 1
            self.send_error(503)
        elif "/x%20y.mp3" in self.path or self.path.startswith("/busy"):
            self.send_response(200)
            self.send_header("Content-Length", "5")
            self.end_headers()
            self.wfile.write(b"sound")
        else:
            self.send_error({"/secret.mp3": 403, "/limit.mp3": 429}.get(self.path.partition("?")[0], 404))

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("MUSCAPS_RETRY_SECONDS", "0.5")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Audio)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def test_audio_is_read_over_http(web: str) -> None:
    assert storage.read_bytes(f"{web}/x%20y.mp3?sig=1") == b"sound"
    assert storage.open_for_reading(f"{web}/x%20y.mp3").read() == b"sound"
    assert storage.exists(f"{web}/x%20y.mp3")
    assert not storage.exists(f"{web}/no.mp3")
    with pytest.raises(StorageError, match="allowed"):
        storage.read_bytes(f"{web}/x%20y.mp3", max_bytes=4)


def test_a_busy_web_server_is_asked_again(web: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUSCAPS_RETRY_SECONDS", "20")
    monkeypatch.setattr(_Audio, "busy", 3)
    assert storage.read_bytes(f"{web}/busy.mp3") == b"sound"
    assert _Audio.busy == 0


@pytest.mark.parametrize(
    ("path", "error_type", "retryable"),
    [("/no.mp3", "not_found", False), ("/secret.mp3", "forbidden", False), ("/limit.mp3", "throttled", True)],
)
def test_web_errors_say_why_without_the_signature(web: str, path: str, error_type: str, retryable: bool) -> None:
    with pytest.raises(StorageError, match=path) as caught:
        storage.read_bytes(f"{web.replace('//', '//ann:hunter2@')}{path}?signature=deadbeef")
    assert (caught.value.error_type, caught.value.retryable) == (error_type, retryable)
    assert caught.value.__suppress_context__
    assert "hunter2" not in str(caught.value)
    assert "deadbeef" not in str(caught.value)


def test_a_web_server_that_is_gone_is_reported_as_such(web: str) -> None:
    with pytest.raises(StorageError, match="does not answer") as caught:
        storage.read_bytes("http://127.0.0.1:9/x.mp3")
    assert (caught.value.error_type, caught.value.retryable) == ("unavailable", True)
