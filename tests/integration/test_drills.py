"""Injected faults, on an S3 server: no row may be lost or doubled (docs/drills.md has the table).

Every drill ends with the same checks: `verify` agrees, there is one row per track, and the captions are those of an
undisturbed run, which are those of the library. Covered here:

- SIGKILL of the driver at 20 random moments, relaunched until done
- SIGKILL of a random worker process every few seconds
- the store stops for 20 s and starts again
- throttling, reset connections and lost answers
- two runs at once; SIGTERM drains; the second takes over once the first is dead, here or elsewhere
- damaged and hostile files among good ones
"""

import contextlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import ray
import soundfile

from muscaps.config import DecodingOptions
from pipeline import storage
from pipeline.captioning import CaptioningConfig, RunSummary, caption_catalogue
from pipeline.catalogue import read_catalogue
from pipeline.cluster.session import ray_session
from pipeline.output.lease import HEARTBEAT_SECONDS, LEASE_SECONDS, Lease, LeaseHeldError
from pipeline.output.verification import verify
from tests.conftest import save_tiny_checkpoint, tones
from tests.faulty_proxy import FaultyProxy
from tests.hostile_files import make_files
from tests.s3_server import S3Server

pytestmark = pytest.mark.drills

ROOT = Path(__file__).parents[2]
NUM_FILES = 8
OPTIONS = DecodingOptions(beam_size=2)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny captioner."""
    return save_tiny_checkpoint(tmp_path_factory.mktemp("checkpoint") / "tiny")


@pytest.fixture(scope="module")
def proxy(s3_server: S3Server) -> Iterator[FaultyProxy]:
    """A proxy for every request of this module, without faults until a drill injects them."""
    with FaultyProxy(s3_server.endpoint_url) as proxy, pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", proxy.endpoint_url)
        yield proxy
        proxy.inject()


@pytest.fixture(scope="module")
def our_ray(proxy: FaultyProxy) -> Iterator[None]:
    """One Ray for all drills, its workers behind the proxy; drivers that are killed connect to it."""
    with ray_session(num_cpus=2):
        yield


@pytest.fixture(scope="module")
def expected(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A folder of short tracks, and the library's caption of each."""
    from muscaps import Captioner

    folder = tmp_path_factory.mktemp("music")
    captioner = Captioner.load(checkpoint)
    captions = []
    for index in range(NUM_FILES):
        path = folder / f"{index}.flac"
        soundfile.write(path, tones(3.0 + 2 * index, index), 16_000)
        pcm, _ = soundfile.read(path, dtype="int16")
        captions.append(captioner.caption([pcm], OPTIONS)[0].text)
    return folder, captions


@pytest.fixture
def catalogue(request: pytest.FixtureRequest, proxy: FaultyProxy, s3_bucket: str, expected: Any) -> str:
    """A catalogue on S3; the test's parameter is the number of tracks."""
    folder, _ = expected
    proxy.inject()
    for path in folder.iterdir():
        storage.write_once(storage.join(s3_bucket, "music", path.name), path.read_bytes())
    lines = [f"t{number:05d},music/{number % NUM_FILES}.flac" for number in range(request.param)]
    storage.write_once(f"{s3_bucket}/catalogue.csv", ("track_id,uri\n" + "\n".join(lines) + "\n").encode())
    return f"{s3_bucket}/catalogue.csv"


def output_of(catalogue: str, name: str = "out") -> str:
    return catalogue.replace("catalogue.csv", name)


def run(catalogue: str, checkpoint: Path, *, name: str = "out", **settings: Any) -> RunSummary:
    callbacks = {"on_results": settings.pop("on_results")} if "on_results" in settings else {}
    values = {"options": OPTIONS, "gpus": 0, "commit_seconds": 0.3, **settings}
    config = CaptioningConfig(
        catalogue=catalogue, output=output_of(catalogue, name), checkpoint=str(checkpoint), **values
    )
    return caption_catalogue(config, **callbacks)


def rows_of(output: str) -> list[dict[str, Any]]:
    filesystem, path = storage.filesystem(f"{output}/captions")
    return pq.read_table(path, filesystem=filesystem, columns=["track_id", "caption"]).to_pylist()


_undisturbed: dict[int, tuple[float, dict[str, str]]] = {}


def undisturbed(catalogue: str, checkpoint: Path, captions: list[str]) -> tuple[float, dict[str, str]]:
    """Seconds and captions of an undisturbed run of the same tracks; each size is run once."""
    num_tracks = read_catalogue(catalogue).num_tracks
    if num_tracks not in _undisturbed:
        started = time.monotonic()
        assert run(catalogue, checkpoint, name="undisturbed").status == "done"
        seconds = time.monotonic() - started
        rows = {row["track_id"]: row["caption"] for row in rows_of(output_of(catalogue, "undisturbed"))}
        assert rows == {f"t{number:05d}": captions[number % NUM_FILES] for number in range(num_tracks)}
        _undisturbed[num_tracks] = seconds, rows
    return _undisturbed[num_tracks]


def assert_nothing_lost_or_doubled(catalogue: str, expected: dict[str, str], name: str = "out") -> None:
    checked = verify(catalogue, output_of(catalogue, name))
    assert (checked.missing, checked.doubled, checked.failed) == (0, 0, 0)
    assert checked.num_tracks == len(expected)
    rows = [(row["track_id"], row["caption"]) for row in rows_of(output_of(catalogue, name))]
    assert sorted(rows) == sorted(expected.items())


DRIVER = """
import sys
from muscaps.config import DecodingOptions
from pipeline.captioning import CaptioningConfig, caption_catalogue
from pipeline.output.lease import LeaseHeldError
catalogue, output, checkpoint, address = sys.argv[1:]
try:
    summary = caption_catalogue(CaptioningConfig(
        catalogue=catalogue, output=output, checkpoint=checkpoint, options=DecodingOptions(beam_size=2),
        gpus=0, address=address, commit_seconds=0.3))
except LeaseHeldError as error:
    sys.exit(f"held: {error}")
print(summary.status, summary.captioned, summary.left, flush=True)
sys.exit({"done": 0, "nothing_to_do": 0, "drained": 75}[summary.status])
"""


_started: list[subprocess.Popen[str]] = []


@pytest.fixture(autouse=True)
def no_driver_left_behind() -> Iterator[None]:
    """Kill what a failed drill leaves running."""
    yield
    while _started:
        _started.pop().kill()


def start_driver(catalogue: str, checkpoint: Path, name: str = "out") -> subprocess.Popen[str]:
    address = ray.get_runtime_context().gcs_address
    command = [sys.executable, "-c", DRIVER, catalogue, output_of(catalogue, name), str(checkpoint), address]
    _started.append(
        subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
        )
    )
    return _started[-1]


def parts_of(output: str) -> int:
    return sum(1 for _ in storage.list_files(f"{output}/captions", suffix=".parquet"))


def wait_for_parts(process: subprocess.Popen[str], output: str, count: int) -> bool:
    """Wait until an output has so many parts; false when the process ended before."""
    while parts_of(output) < count:
        if process.poll() is not None:
            return False
        time.sleep(0.05)
    return True


@pytest.mark.slow
@pytest.mark.parametrize("catalogue", [200], indirect=True)
def test_a_driver_killed_at_20_random_moments_loses_and_doubles_nothing(
    our_ray: None, catalogue: str, checkpoint: Path, expected: Any, note_result: Callable[[str], None]
) -> None:
    undisturbed_seconds, captions = undisturbed(catalogue, checkpoint, expected[1])
    moments = random.Random(20)
    kills, outputs, launches = 0, 1, 0
    started = time.monotonic()
    while True:
        name = f"out-{outputs}"
        driver = start_driver(catalogue, checkpoint, name)
        launches += 1
        if kills < 20:
            if moments.random() < 0.3:
                time.sleep(moments.uniform(0, 15))  # often before anything is committed
            else:
                wait_for_parts(driver, output_of(catalogue, name), parts_of(output_of(catalogue, name)) + 1)
                time.sleep(moments.uniform(0, 1))
            if driver.poll() is None:
                driver.send_signal(signal.SIGKILL)
                kills += 1
        _, errors = driver.communicate(timeout=300)
        if driver.returncode == 0:
            assert_nothing_lost_or_doubled(catalogue, captions, name)
            if kills >= 20:
                break
            outputs += 1
        else:
            assert driver.returncode == -signal.SIGKILL, errors
    note_result(
        f"{kills} kills, {launches} launches, {outputs} outputs of 200 tracks completed, "
        f"{time.monotonic() - started:.0f} s; undisturbed, Ray and imports ready: {undisturbed_seconds:.0f} s an output"
    )


@pytest.mark.slow
@pytest.mark.parametrize("catalogue", [600], indirect=True)
def test_workers_killed_every_five_seconds_lose_and_double_nothing(
    our_ray: None, catalogue: str, checkpoint: Path, expected: Any, note_result: Callable[[str], None]
) -> None:
    undisturbed_seconds, captions = undisturbed(catalogue, checkpoint, expected[1])
    chance, killed, ended = random.Random(3), [], threading.Event()

    def kill_repeatedly() -> None:
        # A dozen, then no more: if every worker is killed before it has started, the run cannot finish.
        while not ended.wait(5.0) and len(killed) < 12:
            if workers := our_workers():
                killed.append(chance.choice(workers))
                with contextlib.suppress(ProcessLookupError):
                    os.kill(killed[-1], signal.SIGKILL)

    killer = threading.Thread(target=kill_repeatedly)
    killer.start()
    try:
        started = time.monotonic()
        summary = run(catalogue, checkpoint)
        seconds = time.monotonic() - started
    finally:
        ended.set()
        killer.join()
    assert len(killed) >= 5
    assert summary.status == "done"
    assert_nothing_lost_or_doubled(catalogue, captions)
    note_result(
        f"{len(killed)} workers killed, {summary.rounds} rounds, {seconds:.0f} s; "
        f"undisturbed {undisturbed_seconds:.0f} s"
    )


def our_workers() -> list[int]:
    """The Ray workers below this process that run our stages."""
    parents, titles = {}, {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                titles[int(entry.name)] = (entry / "cmdline").read_bytes().decode(errors="replace")
            except (OSError, ValueError, IndexError):
                continue

    def is_ours(pid: int) -> bool:
        while pid > 1:
            if pid == os.getpid():
                return True
            pid = parents.get(pid, 0)
        return False

    return [
        pid for pid, title in titles.items() if title.startswith("ray::Map") and "MapBatches" in title and is_ours(pid)
    ]


@pytest.mark.slow
@pytest.mark.parametrize("catalogue", [600], indirect=True)
def test_a_store_outage_of_20_seconds_costs_only_time(
    our_ray: None,
    s3_server: S3Server,
    catalogue: str,
    checkpoint: Path,
    expected: Any,
    note_result: Callable[[str], None],
) -> None:
    undisturbed_seconds, captions = undisturbed(catalogue, checkpoint, expected[1])

    def fail() -> None:
        s3_server.stop()
        time.sleep(20)
        s3_server.start()

    outage = threading.Thread(target=fail)

    def begin(rows: Any) -> None:
        if outage.ident is None:
            outage.start()

    started = time.monotonic()
    summary = run(catalogue, checkpoint, on_results=begin)
    seconds = time.monotonic() - started
    outage.join()
    assert summary.status == "done"
    assert_nothing_lost_or_doubled(catalogue, captions)
    note_result(
        f"store stopped for 20 s, {summary.rounds} rounds, {seconds:.0f} s; undisturbed {undisturbed_seconds:.0f} s"
    )


@pytest.mark.slow
@pytest.mark.parametrize("catalogue", [600], indirect=True)
def test_throttling_resets_and_lost_answers_cost_only_time(
    our_ray: None,
    proxy: FaultyProxy,
    catalogue: str,
    checkpoint: Path,
    expected: Any,
    note_result: Callable[[str], None],
) -> None:
    undisturbed_seconds, captions = undisturbed(catalogue, checkpoint, expected[1])
    proxy.counts.clear()
    proxy.inject(slow_down_every=5, reset_every=17, lose_answer_every=23)
    started = time.monotonic()
    summary = run(catalogue, checkpoint, save_features=True)
    seconds = time.monotonic() - started
    counts = dict(proxy.counts)
    proxy.inject()
    assert min(counts[name] for name in ("slow_down", "reset", "lost_answer")) > 2
    assert summary.status == "done"
    assert_nothing_lost_or_doubled(catalogue, captions)
    note_result(
        f"of {sum(counts.values())} requests {counts['slow_down']} SlowDown, {counts['reset']} reset, "
        f"{counts['lost_answer']} answers cut; {summary.rounds} rounds, {seconds:.0f} s; "
        f"undisturbed {undisturbed_seconds:.0f} s"
    )


@pytest.mark.slow
@pytest.mark.parametrize("catalogue", [600], indirect=True)
def test_two_runs_exclude_each_other_and_a_successor_takes_over(
    our_ray: None, catalogue: str, checkpoint: Path, expected: Any, note_result: Callable[[str], None]
) -> None:
    _, captions = undisturbed(catalogue, checkpoint, expected[1])
    output = output_of(catalogue)
    first, second = start_driver(catalogue, checkpoint), start_driver(catalogue, checkpoint)
    while first.poll() is None and second.poll() is None:
        time.sleep(0.05)
    loser, winner = (first, second) if first.poll() is not None else (second, first)
    refusal = loser.communicate()[1]
    assert f"process {winner.pid} on" in refusal
    assert loser.returncode == 1
    assert wait_for_parts(winner, output, 1)
    winner.send_signal(signal.SIGKILL)
    winner.communicate()

    started = time.monotonic()
    successor = start_driver(catalogue, checkpoint)
    assert wait_for_parts(successor, output, parts_of(output) + 1)
    taken = time.monotonic() - started
    assert taken < LEASE_SECONDS

    successor.send_signal(signal.SIGTERM)
    started = time.monotonic()
    output_text, errors = successor.communicate(timeout=60)
    drained = time.monotonic() - started
    assert successor.returncode == 75, errors
    assert drained < 30
    status, captioned, left = output_text.split()
    assert status == "drained"
    assert len(rows_of(output)) == 600 - int(left) > int(captioned)

    last = start_driver(catalogue, checkpoint)
    _, errors = last.communicate(timeout=300)
    assert last.returncode == 0, errors
    assert_nothing_lost_or_doubled(catalogue, captions)
    note_result(
        f"the second named the first and ended with status 1; the successor of a killed run wrote after {taken:.0f} s, "
        f"imports included; SIGTERM ended it with status 75 after {drained:.1f} s"
    )


@pytest.mark.slow
@pytest.mark.parametrize("catalogue", [10], indirect=True)
def test_a_dead_run_elsewhere_is_replaced_within_the_stated_time(
    our_ray: None,
    catalogue: str,
    checkpoint: Path,
    monkeypatch: pytest.MonkeyPatch,
    expected: Any,
    note_result: Callable[[str], None],
) -> None:
    _, captions = undisturbed(catalogue, checkpoint, expected[1])
    holder = Lease(output_of(catalogue), "elsewhere", heartbeat_seconds=1e6)
    monkeypatch.setattr("pipeline.output.process_identity.machine_identity", lambda: "another machine")
    holder.__enter__()
    monkeypatch.undo()
    started = time.monotonic()
    refusals: list[str] = []
    while True:
        try:
            with Lease(output_of(catalogue), "successor"):
                break
        except LeaseHeldError as error:
            refusals.append(str(error))
            time.sleep(5)
    seconds = time.monotonic() - started
    assert len(refusals) >= 10
    assert "run elsewhere" in refusals[0]
    assert LEASE_SECONDS < seconds < LEASE_SECONDS + 1.5 * HEARTBEAT_SECONDS + 10
    assert run(catalogue, checkpoint).status == "done"
    assert_nothing_lost_or_doubled(catalogue, captions)
    note_result(
        f"a run of another machine stopped renewing its lease; "
        f"refused {len(refusals)} times, replaced after {seconds:.0f} s"
    )


@pytest.mark.parametrize("count", [pytest.param(30, id="30"), pytest.param(100, id="100", marks=pytest.mark.slow)])
def test_every_good_file_is_captioned_and_every_bad_one_has_a_reason(
    our_ray: None, s3_bucket: str, checkpoint: Path, tmp_path: Path, count: int, note_result: Callable[[str], None]
) -> None:
    made = make_files(tmp_path / "files", num_good=count, num_hostile=count)
    for file in made:
        storage.write_once(storage.join(s3_bucket, "files", file.path.name), file.path.read_bytes())
    config = CaptioningConfig(
        catalogue=f"{s3_bucket}/files",
        output=f"{s3_bucket}/out",
        checkpoint=str(checkpoint),
        options=OPTIONS,
        gpus=0,
        max_error_rate=1.0,
    )
    listed = [file for file in made if file.path.stat().st_size]
    if len(listed) < len(made) or any(not _has_audio_suffix(file.path) for file in made):
        lines = "".join(f'"files/{file.path.name}"\n' for file in made)
        storage.write_once(f"{s3_bucket}/catalogue.csv", f"uri\n{lines}".encode())
        config = CaptioningConfig(**{**config.__dict__, "catalogue": f"{s3_bucket}/catalogue.csv"})
    summary = caption_catalogue(config)
    assert summary.status == "done"
    assert summary.rounds == 1, "a worker died"
    filesystem, path = storage.filesystem(config.output)
    captioned = pq.read_table(f"{path}/captions", filesystem=filesystem)["track_id"].to_pylist()
    failed = pq.read_table(f"{path}/failures", filesystem=filesystem).to_pylist()
    reasons = {Path(row["track_id"]).name: row for row in failed}
    captions = {Path(name).name for name in captioned}
    assert len(captions) + len(reasons) == len(made)
    for file in made:
        name = file.path.name
        assert (name in captions) != (name in reasons)
        if file.outcome != "either":
            assert (name in captions) == (file.outcome == "captioned"), (name, reasons.get(name))
        if name in reasons and file.error_types:
            assert reasons[name]["error_type"] in file.error_types, reasons[name]
        if name in reasons:
            assert len(reasons[name]["message"]) > 15
    assert verify(config.catalogue, config.output).is_complete
    note_result(
        f"{count} good and {count} damaged or hostile files: {len(captions)} captioned, {len(reasons)} with a reason "
        f"of {len(set(summary.failures_by_reason))} kinds, no worker died; {summary.wall_seconds:.0f} s"
    )


def _has_audio_suffix(path: Path) -> bool:
    from pipeline.catalogue import AUDIO_SUFFIXES

    return path.suffix.lower() in AUDIO_SUFFIXES
