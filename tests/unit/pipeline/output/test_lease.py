"""The lease: one run at a time, and when another may take over."""

import json
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pipeline.output.lease import Lease, LeaseHeldError, current_holder


def test_a_running_holder_is_named_and_keeps_its_lease(tmp_path: Path) -> None:
    with Lease(str(tmp_path), "run-1"):
        started = time.monotonic()
        with pytest.raises(LeaseHeldError, match=r"run run-1 \(process \d+ on .* expires in \d+ s"):
            Lease(str(tmp_path), "run-2").__enter__()
        assert time.monotonic() - started < 1
    assert current_holder(str(tmp_path)) is None
    with Lease(str(tmp_path), "run-3"):
        pass


def hold_in_a_process_and_kill_it(output: Path) -> None:
    code = (
        "import os, signal, sys; from pipeline.output.lease import Lease\n"
        "Lease(sys.argv[1], 'dead').__enter__(); os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", code, str(output)], check=False, cwd=Path(__file__).parents[4])


def test_a_dead_process_of_this_machine_is_replaced_at_once(tmp_path: Path) -> None:
    hold_in_a_process_and_kill_it(tmp_path)
    assert (tmp_path / "lease.json").exists()
    started = time.monotonic()
    with Lease(str(tmp_path), "run-2"):
        assert time.monotonic() - started < 1


def test_a_silent_holder_elsewhere_is_replaced_after_the_stated_time(tmp_path: Path) -> None:
    hold_in_a_process_and_kill_it(tmp_path)
    path = tmp_path / "lease.json"
    record = json.loads(path.read_text()) | {"process": "another machine/1-2", "host": "far"}
    path.write_text(json.dumps(record))
    with pytest.raises(LeaseHeldError, match="on far"):
        Lease(str(tmp_path), "run-2").__enter__()
    silent = datetime.now(UTC) - timedelta(seconds=61)
    path.write_text(json.dumps(record | {"heartbeat_at": silent.isoformat()}))
    with Lease(str(tmp_path), "run-2", heartbeat_seconds=0.1):
        assert json.loads(path.read_text())["run_id"] == "run-2"


def test_a_holder_whose_clock_is_wrong_is_not_replaced_while_it_moves(tmp_path: Path) -> None:
    with Lease(str(tmp_path), "run-1") as lease:
        record = json.loads(lease._record())
        record |= {"process": "another machine/1-2", "heartbeat_at": datetime(2020, 1, 1, tzinfo=UTC).isoformat()}
        (tmp_path / "lease.json").write_text(json.dumps(record))
        second = Lease(str(tmp_path), "run-2", heartbeat_seconds=0.4)
        import threading

        threading.Timer(0.2, lambda: (tmp_path / "lease.json").write_text(json.dumps(record | {"pid": 1}))).start()
        with pytest.raises(LeaseHeldError, match="clock differs"):
            second.__enter__()


def test_an_unreadable_lease_is_taken_over(tmp_path: Path) -> None:
    (tmp_path / "lease.json").write_text("{")
    with Lease(str(tmp_path), "run-2", heartbeat_seconds=0.1):
        assert current_holder(str(tmp_path)).run_id == "run-2"  # type: ignore[union-attr]
