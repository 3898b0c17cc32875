"""Jobs on a real Ray head with its job server, against the loopback S3 server.

Covers: a run followed to its end with its exit status; uploads of a local catalogue and checkpoint; a run
stopped midway with everything in flight written, and submitted again; a failing command; metrics the
dashboard asks for.
"""

import contextlib
import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import soundfile

from pipeline import storage
from pipeline.ledger import part_files
from tests.conftest import tones
from tests.s3_server import S3Server

pytestmark = [pytest.mark.s3, pytest.mark.slow]
BIN = Path(sys.executable).parent


def free_port() -> int:
    """A port of its own, beyond those Ray gives its workers and those the system hands out."""
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


class Head:
    """A Ray head of two cores; every process of it names its folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port, self.dashboard, self.metrics = free_port(), free_port(), free_port()
        self.address = f"http://127.0.0.1:{self.dashboard}"

    def start(self) -> None:
        flags = {
            "node-ip-address": "127.0.0.1",
            "port": self.port,
            "num-cpus": 2,
            "object-store-memory": 200_000_000,
            "dashboard-host": "127.0.0.1",
            "dashboard-port": self.dashboard,
            "metrics-export-port": self.metrics,
            # Fixed ports for all agents: else the raylet gives them 15 s to name theirs, too few on a busy machine.
            "dashboard-agent-grpc-port": free_port(),
            "dashboard-agent-listen-port": free_port(),
            "runtime-env-agent-port": free_port(),
            "ray-client-server-port": free_port(),
            "temp-dir": self.folder,
        }
        command = [str(BIN / "ray"), "start", "--head", *(f"--{name}={value}" for name, value in flags.items())]
        environment = {k: v for k, v in os.environ.items() if k != "RAY_ADDRESS"} | {
            "RAY_USAGE_STATS_ENABLED": "0",
            "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
            # A loaded machine takes its time.
            "RAY_raylet_start_wait_time_s": "300",
            "RAY_DASHBOARD_STARTUP_TIMEOUT_S": "600",
            "RAY_agent_register_timeout_ms": "600000",
        }
        started = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=900)
        assert started.returncode == 0, started.stdout + started.stderr
        deadline = time.monotonic() + 180
        while (answer := muscaps("job", "list", "--address", self.address)).returncode:
            assert time.monotonic() < deadline, answer.stderr
            time.sleep(1)

    def end(self) -> None:
        for member in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if f"{self.folder}/session".encode() in (member / "cmdline").read_bytes():
                    os.kill(int(member.name), signal.SIGKILL)


def muscaps(*arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
    command = [str(BIN / "muscaps"), *(str(argument) for argument in arguments)]
    environment = {k: v for k, v in os.environ.items() if k != "RAY_ADDRESS"}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=400, **options)


@pytest.fixture(scope="module")
def head(s3_server: S3Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Head]:
    import tempfile

    # A short path: Ray puts Unix sockets below it, whose names may have 107 bytes.
    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as folder:
        started = Head(Path(folder))
        try:
            started.start()
            yield started
        finally:
            started.end()


def catalogue_of(bucket: str, count: int, folder: Path) -> Path:
    """Put `count` short tracks into the bucket and list them in a local file."""
    file = folder / "tracks.csv"
    lines = ["track_id,uri"]
    for n in range(count):
        path = folder / f"{n % 8}.wav"
        if not path.exists():
            soundfile.write(path, tones(6.0, n % 8), 16_000)
        storage.write_once(f"{bucket}/audio/{n:03d}.wav", path.read_bytes())
        lines.append(f"t{n:03d},{bucket}/audio/{n:03d}.wav")
    file.write_text("\n".join(lines) + "\n")
    return file


def captioned(output: str) -> int:
    import pyarrow.parquet as pq

    total = 0
    for file in part_files(output, "captions"):
        filesystem, path = storage.filesystem(file.uri)
        total += pq.ParquetFile(path, filesystem=filesystem).metadata.num_rows
    return total


def test_a_job_is_followed_stopped_with_all_written_and_finished_by_the_next(
    head: Head, s3_bucket: str, tmp_path: Path, tiny_checkpoint: Path
) -> None:
    catalogue, output = catalogue_of(s3_bucket, 120, tmp_path), f"{s3_bucket}/out"
    command = ["caption", catalogue, output, "--checkpoint", tiny_checkpoint, "--json"]
    submit = ["submit", "--address", head.address]
    first = muscaps(*submit, "--no-wait", "--id", "first", "--", *command)
    assert (first.returncode, first.stdout.strip()) == (0, "first")
    deadline = time.monotonic() + 240
    while not captioned(output):
        state = json.loads(muscaps("job", "status", "first", "--address", head.address, "--json").stdout)
        assert state["status"] in ("PENDING", "RUNNING"), muscaps("job", "logs", "first", "--address", head.address)
        assert time.monotonic() < deadline
        time.sleep(1)
    stopped = muscaps("job", "stop", "first", "--address", head.address)
    assert stopped.returncode == 0, stopped.stderr
    records = [json.loads(storage.read_bytes(f.uri)) for f in storage.list_files(f"{output}/runs", suffix=".json")]
    assert [record["status"] for record in records] in (["drained"], ["done"])  # never "running": it said goodbye
    assert captioned(output) == records[0]["captioned"]

    second = muscaps(*submit, "--id", "second", "--", *command)
    assert second.returncode == 0, second.stdout + second.stderr
    assert captioned(output) == 120
    verified = muscaps(*submit, "--", "verify", catalogue, output)
    assert verified.returncode == 0, verified.stdout + verified.stderr


def test_the_exit_status_is_the_commands_own(head: Head, s3_bucket: str) -> None:
    failed = muscaps(
        "submit",
        "--address",
        head.address,
        "--id",
        "failing",
        "--",
        "caption",
        f"{s3_bucket}/none.csv",
        f"{s3_bucket}/out",
    )
    assert failed.returncode == 2, failed.stdout + failed.stderr
    assert "none.csv" in failed.stdout
    again = muscaps("job", "status", "failing", "--address", head.address, "--json")
    assert (again.returncode, json.loads(again.stdout)["exit_status"]) == (2, 2)
    listed = json.loads(muscaps("job", "list", "--address", head.address, "--json").stdout)
    assert "failing" in [job["job"] for job in listed]
    unknown = muscaps("job", "logs", "nobody", "--address", head.address)
    assert unknown.returncode == 2
    assert "no job nobody on this cluster" in unknown.stderr


def test_the_dashboard_asks_only_for_metrics_a_node_gives(head: Head) -> None:
    script = (
        "import ray, time; ray.init(address='auto', log_to_driver=False);"
        "from pipeline.telemetry import RunMetrics; m = RunMetrics('r1');"
        "[m.update(captioned=n, failed=1, left=9 - n, audio_seconds=3.0 * n, wall_seconds=n,"
        " failures_by_reason={'fetch/not_found': 1}, stage_seconds={'decode': 1.0 * n}) for n in (2, 5)];"
        "time.sleep(12)"
    )
    address = f"127.0.0.1:{head.port}"
    subprocess.run(
        [sys.executable, "-c", script],
        env=os.environ | {"RAY_ADDRESS": address, "RAY_AUTH_MODE": "token"},
        check=True,
        timeout=120,
    )
    with urllib.request.urlopen(f"http://127.0.0.1:{head.metrics}/metrics", timeout=30) as answer:
        text = answer.read().decode()
    given = set(re.findall(r"^(\w+)[{ ]", text, re.MULTILINE))
    dashboard = json.loads((Path(__file__).parents[2] / "infra" / "grafana-dashboard.json").read_text())
    expressions = " ".join(target["expr"] for panel in dashboard["panels"] for target in panel["targets"])
    asked = set(re.findall(r"\bray_\w+", expressions)) - {"ray_node_gpus_utilization"}  # none without a GPU
    assert asked <= given, asked - given
    assert re.search(r'ray_muscaps_tracks_total\{.*run="r1".*status="captioned".*\} 5\.0', text)
