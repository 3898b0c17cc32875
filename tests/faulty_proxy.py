"""An HTTP proxy that injects faults in front of an S3 server: throttling, reset connections, lost answers, delays."""

import contextlib
import http.client
import http.server
import io
import socket
import struct
import threading
import time
from collections import Counter
from types import TracebackType
from typing import Any, Self


class FaultyProxy:
    """An HTTP proxy in front of an S3 server that injects faults; a context manager.

    Clients use `endpoint_url`; requests are passed on unchanged with their Host header, so signatures stay valid.
    Faults are counted over all requests: `slow_down_every=5` answers 503 SlowDown to every fifth.

    Args:
        target: The server's endpoint URL.
        slow_down_every: Answer 503 SlowDown to one in so many requests; 0 for none.
        reset_every: Reset the connection of one in so many instead of passing the request on; 0 for none.
        lose_answer_every: Pass one in so many on, then reset the connection half-way through the answer.
        delay_seconds: Delay of every request.
        only: HTTP methods with faults; all if empty.

    Attributes:
        endpoint_url: Its address.
        counts: Number of requests by outcome: `passed`, `slow_down`, `reset`, `lost_answer`.
    """

    def __init__(
        self,
        target: str,
        *,
        slow_down_every: int = 0,
        reset_every: int = 0,
        lose_answer_every: int = 0,
        delay_seconds: float = 0.0,
        only: tuple[str, ...] = (),
    ) -> None:
        self.target = target.removeprefix("http://")
        self.delay_seconds = delay_seconds
        self.counts: Counter[str] = Counter()
        self._every = {"slow_down": slow_down_every, "reset": reset_every, "lost_answer": lose_answer_every}
        self._only = only
        self._seen = 0
        self._lock = threading.Lock()
        handler = type("Handler", (_FaultyHandler,), {"proxy": self})
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.endpoint_url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def inject(self, *, slow_down_every: int = 0, reset_every: int = 0, lose_answer_every: int = 0) -> None:
        """Change the faults from now on; without arguments there are none."""
        self._every = {"slow_down": slow_down_every, "reset": reset_every, "lost_answer": lose_answer_every}

    def fault(self, method: str) -> str:
        """Decide what happens to the next request: `passed`, `slow_down`, `reset` or `lost_answer`."""
        with self._lock:
            chosen = "passed"
            if not self._only or method in self._only:
                self._seen += 1
                for name, every in self._every.items():
                    if every and self._seen % every == 0:
                        chosen = name
            self.counts[chosen] += 1
            return chosen


class _FaultyHandler(http.server.BaseHTTPRequestHandler):
    """One client connection of a FaultyProxy."""

    proxy: FaultyProxy
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_request(self) -> None:
        body = self._body()
        time.sleep(self.proxy.delay_seconds)
        fault = self.proxy.fault(self.command)
        if fault == "slow_down":
            self._answer(503, [("Content-Type", "application/xml")], _SLOW_DOWN)
        elif fault == "reset":
            self._reset()
        else:
            try:
                status, headers, answer = self._ask(body)
            except OSError:
                self._reset()  # the server is down, which a client sees as a reset
                return
            if fault == "lost_answer":
                self._answer(status, headers, answer[: len(answer) // 2], announced=len(answer) or 1)
                self._reset()
            else:
                self._answer(status, headers, answer)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = do_request  # noqa: N815

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        chunks = []
        while length := int(self.rfile.readline().partition(b";")[0], 16):  # pyarrow's SDK sends chunks
            chunks.append(self.rfile.read(length))
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass  # trailers
        return b"".join(chunks)

    def _ask(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        connection = http.client.HTTPConnection(self.proxy.target, timeout=120)
        with contextlib.closing(connection):
            connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() not in ("expect", "connection", "transfer-encoding", "content-length"):
                    connection.putheader(name, value)
            if body or "Content-Length" in self.headers:
                connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body)
            response = connection.getresponse()
            return response.status, response.getheaders(), response.read()

    def _answer(self, status: int, headers: list[tuple[str, str]], body: bytes, announced: int | None = None) -> None:
        self.send_response_only(status)
        for name, value in headers:
            length = name.lower() == "content-length"
            if name.lower() not in ("connection", "transfer-encoding") and not (length and self.command != "HEAD"):
                self.send_header(name, value)
        if self.command != "HEAD" and status not in (204, 304):
            self.send_header("Content-Length", str(len(body) if announced is None else announced))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _reset(self) -> None:
        self.close_connection = True
        # Lingering for 0 s makes close() send RST instead of FIN.
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.wfile.close()
        self.rfile.close()
        self.connection.close()
        self.wfile = self.rfile = io.BytesIO()  # for the base class, which flushes once more

    def log_message(self, format: str, *args: Any) -> None:
        pass


_SLOW_DOWN = b"""<?xml version="1.0" encoding="UTF-8"?>
<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"""
