"""muscaps beside what a user would install from PyPI instead, and beside a plain Ray Data script.

Programs for single tracks (see `peer_programs.py`) process the same three-minute MP3s, one core each, one after the
other. What cannot run is printed with its reason. The other packages come from an environment of their own:

    python3 -m venv peers && peers/bin/pip install essentia librosa tensorflow-cpu tf_keras
    peers/bin/pip install --no-deps musicnn      # its own requirements are of 2019
    python tests/benchmark/peers.py --python peers/bin/python --tracks 10

With `--jobs N` the plain script (`plain_ray_data.py`) and `muscaps caption` caption N tracks of 30 s on all cores. Then
each is killed (SIGKILL to all of its processes) when a third of its rows are written, or after half of its time if it
writes none before, and started again. Rows lost and doubled are counted in the Parquet files.
"""

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from pipeline.bench.medleys import write_medleys
from tests.benchmark.peer_programs import PROGRAMS

ROOT = Path(__file__).parents[2]
DEMO_TRACKS = sorted((ROOT / "jobs" / "demo_tracks").glob("*.opus"))
OWN = ("muscaps", "torch")
"""Programs whose name has one of these words run under this interpreter."""
SAMPLE_SECONDS = 0.5


def environment() -> dict[str, str]:
    """Return an environment in which libraries use one thread and import this working tree."""
    threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    keras = {"TF_USE_LEGACY_KERAS": "1", "TF_CPP_MIN_LOG_LEVEL": "2"}  # musicnn uses layers that Keras 3 lacks
    return {**os.environ, **threads, **keras, "PYTHONPATH": str(ROOT)}


def one_core() -> None:
    """Keep a child process on one core."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def time_programs(names: Sequence[str], files: Sequence[str], other_python: str) -> None:
    """Print a line for each program."""
    print(f"{'program':22} {'s/track':>8} {'CPU s':>8} {'first, s':>9} {'MiB':>6}")
    for name in names:
        python = sys.executable if any(word in name for word in OWN) else other_python
        command = [python, str(Path(__file__).with_name("peer_programs.py")), name, *files]
        done = subprocess.run(command, env=environment(), preexec_fn=one_core, capture_output=True, text=True)
        if done.returncode:
            print(f"{name:22} not run: {(done.stderr.strip().splitlines() or ['no message'])[-1][:150]}", flush=True)
            continue
        found = json.loads(done.stdout.strip().splitlines()[-1])
        print(
            f"{name:22} {found['seconds_per_track']:8.3f} {found['processor_seconds_per_track']:8.3f} "
            f"{found['first_track_seconds']:9.1f} {found['peak_memory_bytes'] / 2**20:6.0f}",
            flush=True,
        )


class Job:
    """A command in a process group of its own, with its memory."""

    def __init__(self, command: Sequence[str], log: Path) -> None:
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                command, env=environment(), stdout=output, stderr=output, start_new_session=True
            )
        self._started, self._log = time.perf_counter(), log
        self.peak_bytes = 0

    def wait(self, until: Callable[[float], bool] = lambda seconds: False) -> float:
        """Wait for the end, or until a condition on the seconds so far; return the seconds.

        Raises:
            RuntimeError: The command failed.
        """
        while self._process.poll() is None:
            self.peak_bytes = max(self.peak_bytes, sum(_memory(number) for number in _descendants(self._process.pid)))
            seconds = time.perf_counter() - self._started
            if until(seconds):
                return seconds
            time.sleep(SAMPLE_SECONDS)
        if self._process.returncode:
            raise RuntimeError(f"exit status {self._process.returncode}; {self._log} has its output")
        return time.perf_counter() - self._started

    def kill(self) -> None:
        """Kill the command and everything that it started."""
        for number in list(_descendants(self._process.pid)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(number, signal.SIGKILL)
        self._process.wait()


def _descendants(root: int) -> Iterator[int]:
    """Yield a process and its children, and theirs."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError, IndexError):
            number = int(entry.name)
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(number)
    waiting = [root]
    while waiting:
        number = waiting.pop()
        yield number
        waiting += children.get(number, [])


def _memory(number: int) -> int:
    """Return the memory of a process in bytes, its share of what several processes use."""
    with contextlib.suppress(OSError, StopIteration, ValueError):
        lines = Path(f"/proc/{number}/smaps_rollup").read_text().splitlines()
        return 1024 * int(next(line for line in lines if line.startswith("Pss:")).split()[1])
    return 0


def _rows(folder: Path, column: str) -> list[str]:
    """Return a column of every whole Parquet file of a folder."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    found: list[str] = []
    for file in folder.rglob("*.parquet"):
        with contextlib.suppress(OSError, pa.ArrowInvalid):
            found += pq.ParquetFile(file).read(columns=[column])[column].to_pylist()
    return found


def _is_time_to_kill(rows: Path, column: str, num_tracks: int, latest: float, seconds: float) -> bool:
    """Return whether a third of the rows is written, or it is late."""
    return seconds > latest or 3 * len(_rows(rows, column)) > num_tracks


def compare_jobs(num_tracks: int, effort: str, folder: Path) -> None:
    """Print seconds, memory, and rows lost and doubled after a kill, of the plain script and of muscaps."""
    music, plain = folder / "music", str(Path(__file__).with_name("plain_ray_data.py"))
    write_medleys(DEMO_TRACKS, music, num_tracks, seconds=30)
    caption = [sys.executable, "-c", "from jobs.cli import main; main()", "caption", str(music / "catalogue.csv")]
    engines: dict[str, tuple[Callable[[Path], list[str]], str, str]] = {
        "plain Ray Data": (lambda output: [sys.executable, plain, str(music), str(output), effort], "", "path"),
        "muscaps caption": (lambda output: [*caption, str(output), "--effort", effort], "captions", "track_id"),
    }
    print(f"\n{num_tracks} tracks of 30 s, {effort}\n{'engine':16} {'s':>7} {'MiB':>6} {'again, s':>9} lost doubled")
    for name, (command, table, column) in engines.items():
        log = folder / f"{table or 'plain'}.log"
        try:
            whole = Job(command(folder / f"{table}-whole"), log)
            seconds = whole.wait()
            output = folder / f"{table}-killed"
            output.mkdir()
            killed, rows = Job(command(output), log), output / table
            killed.wait(partial(_is_time_to_kill, rows, column, num_tracks, seconds / 2))
            killed.kill()
            again = Job(command(output), log).wait()
        except RuntimeError as error:
            print(f"{name:16} not run: {error}\n{log.read_text()[-2000:]}", flush=True)
            continue
        found = _rows(rows, column)
        print(
            f"{name:16} {seconds:7.1f} {whole.peak_bytes / 2**20:6.0f} {again:9.1f} "
            f"{num_tracks - len(set(found)):4d} {len(found) - len(set(found)):7d}",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", default=sys.executable, help="interpreter that has the other packages")
    parser.add_argument("--tracks", type=int, default=10, help="three-minute MP3s; the first is a warm-up")
    parser.add_argument("--programs", nargs="+", choices=PROGRAMS, default=list(PROGRAMS))
    parser.add_argument("--jobs", type=int, default=0, help="tracks of the jobs; 0: none")
    parser.add_argument("--effort", default="balanced")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="muscaps-peers-") as folder:
        if options.tracks:
            write_medleys(DEMO_TRACKS, Path(folder) / "tracks", options.tracks)
            files = [str(path) for path in sorted((Path(folder) / "tracks").glob("*.mp3"))]
            time_programs(options.programs, files, options.python)
        if options.jobs:
            compare_jobs(options.jobs, options.effort, Path(folder))


if __name__ == "__main__":
    main()
