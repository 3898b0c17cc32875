"""`--address` with a Ray head on loopback that requires a token, as `ray start --head` does where a token exists.

Covers: HOST:PORT without `RAY_AUTH_MODE`; Ray Client is refused and nothing is written; without an address an own Ray
starts although a head runs, `RAY_ADDRESS` and `ray_current_cluster` name other clusters, and `TMPDIR` is long.
"""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.test_submission import free_port

pytestmark = pytest.mark.slow
BIN = Path(sys.executable).parent
ROOT = Path(__file__).parents[2]
LONG_STARTS = {
    "RAY_raylet_start_wait_time_s": "300",
    "RAY_DASHBOARD_STARTUP_TIMEOUT_S": "600",
    "RAY_agent_register_timeout_ms": "600000",
}
"""Long timeouts for a busy machine."""


class Head:
    """A Ray head of two cores, with a home folder that holds a token."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port, self.client_port = free_port(), free_port()
        (folder / ".ray").mkdir()
        (folder / ".ray" / "auth_token").write_text("the-token-of-this-test-0123456789")

    def environment(self, **more: str) -> dict[str, str]:
        """Environment of the head and of the commands: no variable of Ray, the token in the home folder."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
        path = f"{BIN}{os.pathsep}{os.environ['PATH']}"
        return inherited | LONG_STARTS | {"HOME": str(self.folder), "PATH": path, "PYTHONPATH": str(ROOT)} | more

    def start(self) -> None:
        flags = {
            "port": self.port,
            "ray-client-server-port": self.client_port,
            "temp-dir": self.folder / "head",
            "num-cpus": 2,
            "object-store-memory": 200_000_000,
            "include-dashboard": "false",
            "metrics-export-port": free_port(),
            "dashboard-agent-grpc-port": free_port(),
            "dashboard-agent-listen-port": free_port(),
            "runtime-env-agent-port": free_port(),
        }
        command = [str(BIN / "ray"), "start", "--head", *(f"--{name}={value}" for name, value in flags.items())]
        started = subprocess.run(
            command, capture_output=True, text=True, check=False, env=self.environment(), timeout=600
        )
        assert started.returncode == 0, started.stdout + started.stderr

    def end(self) -> None:
        for member in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if f"{self.folder}/".encode() in (member / "cmdline").read_bytes():
                    os.kill(int(member.name), signal.SIGKILL)

    def caption(self, source: Path, output: Path, *more: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run `muscaps caption`."""
        program = [
            sys.executable,
            "-c",
            "from jobs.cli import main; main()",
            "caption",
            str(source),
            str(output),
            *more,
        ]
        return subprocess.run(
            program, capture_output=True, text=True, check=False, env=self.environment(**variables), timeout=300
        )


@pytest.fixture(scope="module")
def head() -> Iterator[Head]:
    # A short path: Ray puts Unix sockets below it.
    with tempfile.TemporaryDirectory(prefix="muscaps-head-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        head = Head(Path(folder))
        try:
            head.start()
            yield head
        finally:
            head.end()


def test_an_address_works_without_setting_the_authentication_mode(
    head: Head, tone_files: list[Path], tiny_checkpoint: Path, tmp_path: Path
) -> None:
    address = f"127.0.0.1:{head.port}"
    output = tmp_path / "out"
    done = head.caption(tone_files[0].parent, output, "--address", address, "--checkpoint", str(tiny_checkpoint))
    assert done.returncode == 0, done.stderr
    assert f"{len(tone_files)} captioned, 0 failed" in done.stdout


def test_ray_client_is_refused_before_anything_is_written(head: Head, tone_files: list[Path], tmp_path: Path) -> None:
    source, output = tone_files[0].parent, tmp_path / "out"
    address = f"ray://127.0.0.1:{head.client_port}"
    done = head.caption(source, output, "--address", address)
    assert done.returncode == 2
    assert done.stderr.endswith(f"muscaps submit --address http://127.0.0.1:8265 -- caption {source} {output}\n")
    assert done.stderr.count("\n") == 1
    assert not output.exists()


def test_without_an_address_an_own_ray_starts(
    head: Head, tone_files: list[Path], tiny_checkpoint: Path, tmp_path: Path
) -> None:
    long = tmp_path / ("long" * 20)
    (long / "ray").mkdir(parents=True)
    (long / "ray" / "ray_current_cluster").write_text("127.0.0.1:1")
    environment = {"TMPDIR": str(long), "RAY_ADDRESS": f"ray://127.0.0.1:{head.client_port}"}
    arguments = ("--checkpoint", str(tiny_checkpoint))
    done = head.caption(tone_files[0].parent, tmp_path / "out", *arguments, **environment)
    assert done.returncode == 0, done.stderr
    assert f"{len(tone_files)} captioned, 0 failed" in done.stdout
    assert list((long / "ray").glob("session_*"))
