"""A real S3 server on loopback: OpenStack Swift with its s3api, and a proxy that makes it misbehave.

Account, container, object and proxy server are four processes of one replica each, with their data, rings and
logs in one temporary folder. Signatures are checked: a wrong secret is refused.

Conditional writes. Swift's s3api takes `If-None-Match: *`, but looks before it receives the body, so two PUTs at
once may both win; `If-Match` on a PUT it refuses (501). AWS S3 promises both. `ConditionalWrites`, a filter in
the proxy server's pipeline, adds the promise: one write at a time per object, and `If-Match` compared under the
same lock. Everything else is Swift as published.

`python tests/s3_server.py` serves until Ctrl-C and prints the environment to use it with.
"""

import argparse
import atexit
import contextlib
import http.client
import http.server
import io
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Any, Self

ACCESS_KEY = "muscaps:tests"
SECRET_KEY = "correct-horse-battery-staple"
REGION = "us-east-1"
ROLES = ("account", "container", "object", "proxy")
START_SECONDS = 60


class S3Server:
    """One Swift, started by `start` and surely gone after `close` or the end of this process.

    Attributes:
        endpoint_url: Where it answers; the same after `stop` and `start`.
        environment: The AWS_* variables with which boto3, pyarrow and muscaps find it.
    """

    def __init__(self) -> None:
        self._folder = _folder_with_attributes()
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        ports = dict(zip(ROLES, _free_ports(len(ROLES)), strict=True))
        self._port = ports["proxy"]
        self.endpoint_url = f"http://127.0.0.1:{self._port}"
        self.environment = {
            "AWS_ENDPOINT_URL": self.endpoint_url,
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "AWS_DEFAULT_REGION": REGION,
            # Nothing of the machine's own AWS settings may reach a test.
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        _write_configuration(self._folder, ports)
        atexit.register(self.close)

    def start(self) -> None:
        """Start whatever does not run; return when the proxy server answers."""
        for role in ROLES:
            if role not in self._processes:
                self._processes[role] = self._launch(role)
        deadline = monotonic() + START_SECONDS
        while not self._answers():
            ended = [role for role, process in self._processes.items() if process.poll() is not None]
            if ended or monotonic() > deadline:
                logs = "\n".join(f"{role}:\n{self._log(role).read_text()[-2000:]}" for role in ended or ROLES)
                self.close()
                raise RuntimeError(f"the S3 server did not start in {START_SECONDS} s; its logs:\n{logs}")
            time.sleep(0.05)

    def stop(self) -> None:
        """Kill the proxy server: connections break and are refused until `start`; data stays.

        The servers behind it go on, as they would behind a real one's front, so that no object that was
        acknowledged misses its listing.
        """
        _kill(self._processes.pop("proxy"))

    def pause(self) -> None:
        """Freeze the proxy server: connections are taken and never answered, until `resume`."""
        self._processes["proxy"].send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a paused proxy server go on."""
        self._processes["proxy"].send_signal(signal.SIGCONT)

    def close(self) -> None:
        """Kill all four servers and remove their data."""
        atexit.unregister(self.close)
        while self._processes:
            _kill(self._processes.popitem()[1])
        shutil.rmtree(self._folder, ignore_errors=True)

    def client(self) -> Any:
        """Return a plain boto3 client of this server, whatever the environment says."""
        import boto3
        from botocore.config import Config

        return boto3.Session().client(
            "s3",
            endpoint_url=self.endpoint_url,
            region_name=REGION,
            aws_access_key_id=ACCESS_KEY,
            aws_secret_access_key=SECRET_KEY,
            config=Config(request_checksum_calculation="when_required", response_checksum_validation="when_required"),
        )

    def create_bucket(self) -> str:
        """Make a bucket of a fresh name and return its URI, `s3://...`."""
        name = f"test-{uuid.uuid4().hex[:12]}"
        self.client().create_bucket(Bucket=name)
        return f"s3://{name}"

    def _launch(self, role: str) -> subprocess.Popen[bytes]:
        with self._log(role).open("ab") as log:
            return subprocess.Popen(
                [sys.executable, __file__, "--role", role, "--folder", str(self._folder)],
                stdin=subprocess.PIPE,  # its end tells the server that this process is gone
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C in pytest must not reach it before the tests' clean-up
            )

    def _log(self, role: str) -> Path:
        return self._folder / f"{role}.log"

    def _answers(self) -> bool:
        """Ask for the list of buckets, which takes the proxy and the account server."""
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(f"{self.endpoint_url}/healthcheck", timeout=5):
                pass
            self.client().list_buckets()
        except Exception:
            return False
        return True


class ConditionalWrites:
    """WSGI filter behind s3api: writes of one object one at a time, `If-Match` honoured."""

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
    """WSGI filter in front: what the proxy server knows of accounts and buckets, in this one process.

    Swift's own asks whatever memcached runs on the machine; with none, every request costs two more.
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


class FaultyProxy:
    """An HTTP proxy in front of an S3 server that injects faults; a context manager.

    Clients use `endpoint_url`; requests go on byte for byte with their Host header, so signatures stay valid.
    Faults are counted over all requests: `slow_down_every=5` answers 503 SlowDown to every fifth.

    Args:
        target: The server's endpoint URL.
        slow_down_every: Answer 503 SlowDown to one in so many requests; 0 for none.
        reset_every: Reset the connection of one in so many before the request is passed on; 0 for none.
        lose_answer_every: Pass one in so many on, then reset the connection half-way through the answer.
        delay_seconds: Hold every request for so long.
        only: HTTP methods concerned; all if empty.

    Attributes:
        endpoint_url: Where it answers.
        counts: How many requests met with `passed`, `slow_down`, `reset`, `lost_answer`.
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
                self._reset()  # the server behind is down, which a client sees as just this
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

_COMMON_SETTINGS = """[DEFAULT]
bind_ip = 127.0.0.1
bind_port = {port}
workers = 0
swift_dir = {folder}
devices = {folder}/devices
mount_check = false
disable_fallocate = true
fallocate_reserve = 0
log_level = WARNING
log_address = {folder}/no-syslog
"""

# On a loaded machine the container server may be slow; an object that misses its listing is worse than a wait.
_STORAGE_SETTINGS = """
[pipeline:main]
pipeline = {role}-server

[app:{role}-server]
use = egg:swift#{role}
container_update_timeout = 60
"""

_PROXY_SETTINGS = """
[pipeline:main]
pipeline = catch_errors gatekeeper healthcheck memory_cache s3api tempauth conditional_writes slo proxy-server

[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
node_timeout = 60
recoverable_node_timeout = 60
conn_timeout = 10
error_suppression_limit = 1000000

[filter:catch_errors]
use = egg:swift#catch_errors

[filter:gatekeeper]
use = egg:swift#gatekeeper

[filter:healthcheck]
use = egg:swift#healthcheck

[filter:s3api]
use = egg:swift#s3api
location = {region}

[filter:tempauth]
use = egg:swift#tempauth
user_{user} = {secret} .admin

[filter:conditional_writes]
paste.filter_factory = s3_server:conditional_writes

[filter:memory_cache]
paste.filter_factory = s3_server:memory_cache

[filter:slo]
use = egg:swift#slo
"""


def _write_configuration(folder: Path, ports: dict[str, int]) -> None:
    (folder / "devices" / "disk").mkdir(parents=True)
    (folder / "swift.conf").write_text("[swift-hash]\nswift_hash_path_suffix = tests\n")
    for role, port in ports.items():
        settings = _COMMON_SETTINGS.format(port=port, folder=folder)
        if role == "proxy":
            user = ACCESS_KEY.replace(":", "_")
            settings += _PROXY_SETTINGS.format(region=REGION, user=user, secret=SECRET_KEY)
        else:
            settings += _STORAGE_SETTINGS.format(role=role)
        (folder / f"{role}-server.conf").write_text(settings)
    (folder / "ports").write_text("\n".join(f"{role} {port}" for role, port in ports.items()))


def _build_rings(folder: Path) -> None:
    """Write the three rings, each of one device."""
    from swift.common.ring import RingBuilder

    for line in (folder / "ports").read_text().splitlines():
        role, port = line.split()
        if role == "proxy" or (folder / f"{role}.ring.gz").exists():
            continue
        builder = RingBuilder(part_power=2, replicas=1, min_part_hours=0)
        builder.add_dev({"region": 1, "zone": 1, "ip": "127.0.0.1", "port": int(port), "device": "disk", "weight": 1.0})
        builder.rebalance(seed=0)
        builder.get_ring().save(str(folder / f"{role}.ring.gz"))


def _serve(role: str, folder: Path) -> None:
    """Be one of the four servers, until killed or until the parent process is gone."""
    # Standard input is a pipe whose other end only the parent holds: it ends when the parent does, even killed.
    lifeline = os.dup(0)

    def die_with_parent() -> None:
        os.read(lifeline, 1)
        if role == "account":  # one of them clears up, once the others are gone too
            time.sleep(0.5)
            shutil.rmtree(folder, ignore_errors=True)
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=die_with_parent, daemon=True).start()
    from importlib import import_module

    from swift.common import utils, wsgi

    # Swift wants to become the user `swift`; we stay who we are.
    utils.drop_privileges = wsgi.drop_privileges = lambda user: None
    utils.set_swift_dir(str(folder))
    if role == "proxy":
        _build_rings(folder)
    sys.argv = [f"swift-{role}-server", str(folder / f"{role}-server.conf"), "--verbose"]
    import_module({"object": "swift.obj.server"}.get(role, f"swift.{role}.server")).main()


def _folder_with_attributes() -> Path:
    """Make a folder whose file system keeps extended attributes, in memory if it can be: Swift syncs every write."""
    tried = []
    for parent in ("/dev/shm", tempfile.gettempdir(), "/var/tmp", str(Path.home()), os.getcwd()):
        if not os.access(parent, os.W_OK) or (parent == "/dev/shm" and shutil.disk_usage(parent).free < 2**31):
            continue
        folder = Path(tempfile.mkdtemp(prefix="muscaps-s3-", dir=parent))
        try:
            os.setxattr(folder, "user.swift.metadata", b"x" * 1024)
        except OSError:  # tmpfs before Linux 6.6
            folder.rmdir()
            tried.append(parent)
        else:
            os.removexattr(folder, "user.swift.metadata")
            return folder
    raise RuntimeError(f"no extended attributes in {', '.join(tried)}; set TMPDIR to a folder on ext4, xfs or btrfs")


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def _kill(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)  # also ends a stopped process
    process.wait()
    if process.stdin is not None:
        process.stdin.close()


@contextlib.contextmanager
def running_s3_server() -> Iterator[S3Server]:
    """Start a server and close it at the end, whatever happens."""
    server = S3Server()
    try:
        server.start()
        yield server
    finally:
        server.close()


def _main() -> None:
    parser = argparse.ArgumentParser(description="Serve S3 on loopback until Ctrl-C.")
    parser.add_argument("--role", choices=ROLES, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.role:
        _serve(options.role, options.folder)
        return
    with running_s3_server() as server, contextlib.suppress(KeyboardInterrupt):
        for name, value in server.environment.items():
            print(f"export {name}={value}", flush=True)
        print(f"# bucket: {server.create_bucket()}", flush=True)
        signal.pause()


if __name__ == "__main__":
    _main()
