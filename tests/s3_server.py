"""A real S3 server on loopback: OpenStack Swift with its s3api.

Account, container, object and proxy server are four processes of one replica each, with their data, rings and logs in
one temporary folder. Signatures are checked: a wrong secret is refused. `swift_filters.py` adds the conditional writes
that AWS promises and Swift lacks. Everything else is Swift as published.

`python tests/s3_server.py` serves until Ctrl-C and prints the environment to use it with.
"""

import argparse
import atexit
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path
from time import monotonic
from typing import Any

ACCESS_KEY = "muscaps:tests"
SECRET_KEY = "correct-horse-battery-staple"
REGION = "us-east-1"
ROLES = ("account", "container", "object", "proxy")
START_SECONDS = 60


class S3Server:
    """One Swift, started by `start`, stopped by `close` or at the end of this process.

    Attributes:
        endpoint_url: Its address; the same after `stop` and `start`.
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
            # The machine's own AWS settings must not reach a test.
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        _write_configuration(self._folder, ports)
        atexit.register(self.close)

    def start(self) -> None:
        """Start the processes that do not run; return when the proxy server answers."""
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

        The other servers keep running, so that every acknowledged object reaches its listing.
        """
        _kill(self._processes.pop("proxy"))

    def pause(self) -> None:
        """Stop the proxy server's process: connections are accepted but not answered until `resume`."""
        self._processes["proxy"].send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Continue a paused proxy server."""
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
                stdin=subprocess.PIPE,  # the server ends when this pipe closes
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C in pytest must not end it before the clean-up of the tests
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

# On a loaded machine the container server may be slow; waiting is better than an object that its listing lacks.
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
paste.filter_factory = swift_filters:conditional_writes

[filter:memory_cache]
paste.filter_factory = swift_filters:memory_cache

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
    """Run one of the four servers until it is killed or the parent process ends."""
    # Standard input is a pipe whose other end only the parent holds: it closes when the parent ends, even when killed.
    parent_pipe = os.dup(0)

    def end_with_parent() -> None:
        os.read(parent_pipe, 1)
        if role == "account":  # one of them removes the data, once the others have ended
            time.sleep(0.5)
            shutil.rmtree(folder, ignore_errors=True)
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=end_with_parent, daemon=True).start()
    from importlib import import_module

    from swift.common import utils, wsgi

    # Swift would change to the user `swift`; the tests keep their own.
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
        for listener in sockets:
            listener.bind(("127.0.0.1", 0))
        return [listener.getsockname()[1] for listener in sockets]


def _kill(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)  # also ends a stopped process
    process.wait()
    if process.stdin is not None:
        process.stdin.close()


@contextlib.contextmanager
def running_s3_server() -> Iterator[S3Server]:
    """Start a server; close it at the end, also after an error."""
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
