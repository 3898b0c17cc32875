"""Rendering a corpus on Ray, the driver killed (SIGKILL) in the middle and the command given again."""

import hashlib
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("scipy")

ROOT = Path(__file__).parents[2]


def command(output: Path, workers: int) -> list[str]:
    program = [sys.executable, "-c", "from jobs.cli import main; main()", "corpus", "render", str(output)]
    return [*program, "--num-clips", "60", "--seconds", "3", "--num-workers", str(workers)]


def render(output: Path, workers: int) -> str:
    done = subprocess.run(command(output, workers), capture_output=True, text=True, timeout=200, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def digest(output: Path) -> str:
    """Of the pairs, the audio and which files there are."""
    total = hashlib.sha256()
    for path in [output / "pairs.parquet", *sorted((output / "audio").rglob("*")), *sorted(output.glob("rows/*"))]:
        total.update(str(path.relative_to(output)).encode())
        total.update(path.read_bytes() if path.is_file() else b"")
    return total.hexdigest()


def test_a_killed_driver_leaves_no_trace_in_the_corpus(tmp_path: Path) -> None:
    assert "(60 rendered now" in render(tmp_path / "undisturbed", 1)
    drill = tmp_path / "drill"
    driver = subprocess.Popen(
        command(drill, 2), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    deadline = time.monotonic() + 120
    while not list(drill.glob("rows/*.jsonl")):
        assert driver.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.killpg(driver.pid, signal.SIGKILL)
    driver.wait()
    assert not (drill / "pairs.parquet").exists()
    found = re.search(r"\((\d+) rendered now", render(drill, 2))
    assert found is not None and 0 < int(found[1]) < 60
    assert digest(drill) == digest(tmp_path / "undisturbed")
