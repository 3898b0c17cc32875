"""Jobs on a real Ray cluster, a head without cores and one worker, against the loopback S3 server.

Covers: a run stopped midway with everything finished written, submitted again and followed to its end; uploads of a
local catalogue and checkpoint; `--env`; a failing command and its exit status; metrics of the dashboard.
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
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import soundfile

from pipeline import storage
from pipeline.output.parts import part_files
from tests.conftest import tones
from tests.faulty_proxy import FaultyProxy
from tests.s3_server import S3Server

pytestmark = [pytest.mark.s3]
BIN = Path(sys.executable).parent


def environment(**more: str) -> dict[str, str]:
    """Environment of nodes and clients: the S3 server and the cluster's token."""
    inherited = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    return inherited | {"RAY_AUTH_TOKEN": "the-token-of-the-test", "RAY_USAGE_STATS_ENABLED": "0"} | more


PORTS = list(range(20_000, 32_000))  # outside the ranges of Ray's workers and of the system
random.SystemRandom().shuffle(PORTS)


def free_port() -> int:
    """Return a free port that no other call of this process has returned.

    Nothing listens on a port between this call and the start of its process, so a free port alone could be given to
    two components of one node; Ray refuses that.
    """
    while True:
        port = PORTS.pop()
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


class Cluster:
    """A Ray head without tasks and a worker of two cores; the command line of each process has the cluster's folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port, self.dashboard = free_port(), free_port()
        self.metrics = {"head": free_port(), "worker": free_port()}
        self.address = f"http://127.0.0.1:{self.dashboard}"

    def start(self) -> None:
        self._node(
            "head",
            "--head",
            f"--port={self.port}",
            "--num-cpus=0",
            "--dashboard-host=127.0.0.1",
            f"--dashboard-port={self.dashboard}",
            f"--ray-client-server-port={free_port()}",
        )
        self._node("worker", f"--address=127.0.0.1:{self.port}", "--num-cpus=2")
        deadline = time.monotonic() + 180
        while (answer := muscaps("job", "list", "--address", self.address)).returncode:
            assert time.monotonic() < deadline, answer.stderr
            time.sleep(1)

    def _node(self, role: str, *flags: str) -> None:
        common = {
            "temp-dir": self.folder / role,  # one per node: with a shared folder, one deletes the uploads of the other
            "node-ip-address": "127.0.0.1",
            "object-store-memory": 200_000_000,
            "metrics-export-port": self.metrics[role],
            # Fixed ports for all agents: otherwise the raylet waits 15 s for them, too short on a busy machine.
            "dashboard-agent-grpc-port": free_port(),
            "dashboard-agent-listen-port": free_port(),
            "runtime-env-agent-port": free_port(),
        }
        command = [str(BIN / "ray"), "start", *flags, *(f"--{name}={value}" for name, value in common.items())]
        settings = environment(
            RAY_AUTH_MODE="token",
            PATH=f"{BIN}{os.pathsep}{os.environ['PATH']}",
            # Long timeouts for a busy machine.
            RAY_raylet_start_wait_time_s="300",
            RAY_DASHBOARD_STARTUP_TIMEOUT_S="600",
            RAY_agent_register_timeout_ms="600000",
        )
        started = subprocess.run(command, capture_output=True, text=True, check=False, env=settings, timeout=900)
        assert started.returncode == 0, started.stdout + started.stderr

    def metrics_text(self) -> str:
        """Return the metrics of both nodes as Prometheus reads them."""
        text = ""
        for port in self.metrics.values():
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
                text += answer.read().decode()
        return text

    def end(self) -> None:
        for member in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if f"{self.folder}/".encode() in (member / "cmdline").read_bytes():
                    os.kill(int(member.name), signal.SIGKILL)


def muscaps(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [str(BIN / "muscaps"), *(str(argument) for argument in arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment(), timeout=400)


@pytest.fixture(scope="module")
def cluster(s3_server: S3Server) -> Iterator[Cluster]:
    # A short path: Ray puts Unix sockets below it, whose names may have 107 bytes.
    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as folder:
        started = Cluster(Path(folder))
        try:
            started.start()
            yield started
        finally:
            started.end()


def catalogue_of(bucket: str, count: int, folder: Path) -> Path:
    """List `count` tracks in a local file; eight recordings in the bucket serve them all."""
    for n in range(8):
        path = folder / f"{n}.wav"
        soundfile.write(path, tones(6.0, n), 16_000)
        storage.write_once(f"{bucket}/audio/{n}.wav", path.read_bytes())
    lines = ["track_id,uri", *(f"t{n:03d},{bucket}/audio/{n % 8}.wav" for n in range(count))]
    file = folder / "tracks.csv"
    file.write_text("\n".join(lines) + "\n")
    storage.write_once(f"{bucket}/tracks.csv", file.read_bytes())
    return file


def captioned(output: str) -> int:
    import pyarrow.parquet as pq

    total = 0
    for file in part_files(output, "captions"):
        filesystem, path = storage.filesystem(file.uri)
        total += pq.ParquetFile(path, filesystem=filesystem).metadata.num_rows
    return total


def test_a_stopped_job_keeps_finished_tracks_and_the_next_does_the_rest(
    cluster: Cluster, s3_server: S3Server, s3_bucket: str, tmp_path: Path, tiny_checkpoint: Path
) -> None:
    tracks, output = 400, f"{s3_bucket}/out"
    local = catalogue_of(s3_bucket, tracks, tmp_path)
    command = ["caption", f"{s3_bucket}/tracks.csv", output, "--checkpoint", tiny_checkpoint, "--json"]
    submit, at = ["submit", "--address", cluster.address], ["--address", cluster.address]
    with FaultyProxy(s3_server.endpoint_url, delay_seconds=0.5) as slow:
        endpoint = f"AWS_ENDPOINT_URL={slow.endpoint_url}"
        first = muscaps(*submit, "--no-wait", "--id", "first", "--env", endpoint, "--", *command)
        assert (first.returncode, first.stdout.strip()) == (0, "first")
        while slow.counts["passed"] < 100:  # a track is one request
            assert muscaps("job", "status", "first", *at).returncode == 0, muscaps("job", "logs", "first", *at).stdout
        stopped = muscaps("job", "stop", "first", *at)
    assert (stopped.returncode, stopped.stdout.strip()) == (0, "STOPPED"), stopped.stderr
    assert muscaps("job", "status", "first", *at).returncode == 75
    [record] = [json.loads(storage.read_bytes(f.uri)) for f in storage.list_files(f"{output}/runs", suffix=".json")]
    assert (record["status"], record["captioned"] + record["left"]) == ("drained", tracks)
    assert 0 < captioned(output) == record["captioned"] < tracks

    second = muscaps(*submit, "--json", "--id", "second", "--", *command)
    assert second.returncode == 0, second.stdout + second.stderr
    assert f'"captioned": {tracks - record["captioned"]}' in second.stderr  # its log, followed
    assert json.loads(second.stdout)["status"] == "SUCCEEDED"
    assert captioned(output) == tracks
    verified = muscaps(*submit, "--", "verify", local, output)
    assert verified.returncode == 0, verified.stdout + verified.stderr


def test_the_exit_status_is_that_of_the_command(cluster: Cluster, s3_bucket: str) -> None:
    failed = muscaps(
        "submit",
        "--address",
        cluster.address,
        "--id",
        "failing",
        "--",
        "caption",
        f"{s3_bucket}/none.csv",
        f"{s3_bucket}/out",
    )
    assert failed.returncode == 2, failed.stdout + failed.stderr
    assert "none.csv" in failed.stdout
    again = muscaps("job", "status", "failing", "--address", cluster.address, "--json")
    assert (again.returncode, json.loads(again.stdout)["exit_status"]) == (2, 2)
    listed = json.loads(muscaps("job", "list", "--address", cluster.address, "--json").stdout)
    assert "failing" in [job["job"] for job in listed]
    unknown = muscaps("job", "logs", "nobody", "--address", cluster.address)
    assert unknown.returncode == 2
    assert "no job nobody on this cluster" in unknown.stderr


def test_the_dashboard_uses_only_metrics_of_a_node(cluster: Cluster) -> None:
    script = (
        "import ray, time; ray.init(address='auto', log_to_driver=False);"
        "from pipeline.captioning.telemetry import RunMetrics; m = RunMetrics('r1');"
        "[m.update(captioned=n, failed=1, left=9 - n, audio_seconds=3.0 * n, wall_seconds=n,"
        " failures_by_reason={'fetch/not_found': 1}, stage_seconds={'decode': 1.0 * n}) for n in (2, 5)];"
        "time.sleep(12)"
    )
    address = f"127.0.0.1:{cluster.port}"
    subprocess.run(
        [sys.executable, "-c", script],
        env=environment(RAY_ADDRESS=address, RAY_AUTH_MODE="token"),
        check=True,
        timeout=120,
    )
    text = cluster.metrics_text()
    given = set(re.findall(r"^(\w+)[{ ]", text, re.MULTILINE))
    dashboard = json.loads((Path(__file__).parents[2] / "infra" / "grafana-dashboard.json").read_text())
    expressions = " ".join(target["expr"] for panel in dashboard["panels"] for target in panel["targets"])
    asked = set(re.findall(r"\bray_\w+", expressions)) - {"ray_node_gpus_utilization"}  # none without a GPU
    assert asked <= given, asked - given
    assert re.search(r'ray_muscaps_tracks_total\{.*run="r1".*status="captioned".*\} 5\.0', text)
