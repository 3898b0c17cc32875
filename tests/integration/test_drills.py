"""Faults on purpose, on an S3 server: nothing may be lost, nothing doubled.

Every drill ends with the same questions: does `verify` agree, is there one row a track, and are the captions those
the library gives for the same files. The quick forms run with the other tests; `make drills` runs the full counts:

- SIGKILL of the driver at random moments, relaunched until done
- SIGKILL of random worker processes
- the store stops for a while and comes back
- throttling, reset connections and lost answers
- two runs at once; the second takes over once the first is dead
- SIGTERM drains
- damaged and hostile files among good ones
- nodes with pretend GPUs come and go
- 20,000 tracks in the memory of 2,000; a 10-hour file
"""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import ray
import soundfile

from muscaps.config import DecodingOptions
from pipeline import ledger, storage
from pipeline.captioning import CaptioningConfig, RunSummary, caption_catalogue
from pipeline.verification import verify
from tests.conftest import save_tiny_checkpoint, tones
from tests.hostile_files import make_files
from tests.s3_server import FaultyProxy, S3Server

pytestmark = [pytest.mark.drills, pytest.mark.slow]

ROOT = Path(__file__).parents[2]
NUM_FILES = 8
OPTIONS = DecodingOptions(beam_size=2)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny captioner."""
    return save_tiny_checkpoint(tmp_path_factory.mktemp("checkpoint") / "tiny")


@pytest.fixture(scope="module")
def proxy(s3_server: S3Server) -> Iterator[FaultyProxy]:
    """A proxy every request of this module goes through, faultless until a drill says otherwise."""
    with FaultyProxy(s3_server.endpoint_url) as proxy, pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", proxy.endpoint_url)
        yield proxy
        proxy.inject()


@pytest.fixture(scope="module")
def our_ray(proxy: FaultyProxy) -> Iterator[None]:
    """One Ray for all drills; drivers that are to die connect to it."""
    for attempt in range(3):
        try:
            ray.init(num_cpus=2, object_store_memory=200_000_000, include_dashboard=False, log_to_driver=False)
            break
        except Exception:  # "timed out during startup": a busy machine is too slow for Ray's fixed 30 s
            ray.shutdown()
            if attempt == 2:
                raise
    yield
    ray.shutdown()


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
    """A catalogue on S3; the test's parameter says of how many tracks."""
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


def assert_nothing_lost_or_doubled(catalogue: str, captions: list[str], name: str = "out") -> None:
    checked = verify(catalogue, output_of(catalogue, name))
    assert (checked.missing, checked.doubled, checked.failed) == (0, 0, 0)
    rows = rows_of(output_of(catalogue, name))
    assert len(rows) == checked.num_tracks == len({row["track_id"] for row in rows})
    for row in rows:
        assert row["caption"] == captions[int(row["track_id"][1:]) % NUM_FILES]


DRIVER = """
import sys
from muscaps.config import DecodingOptions
from pipeline.captioning import CaptioningConfig, caption_catalogue
from pipeline.ledger import LeaseHeldError
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


@pytest.mark.parametrize(
    ("catalogue", "kills"),
    [pytest.param(80, 2, id="2 kills"), pytest.param(200, 20, id="20 kills", marks=pytest.mark.slow)],
    indirect=["catalogue"],
)
def test_a_driver_killed_at_random_moments_loses_and_doubles_nothing(
    our_ray: None, catalogue: str, kills: int, checkpoint: Path, expected: Any
) -> None:
    _, captions = expected
    moments = random.Random(kills)
    done, outputs = 0, 1
    while True:
        name = f"out-{outputs}"
        driver = start_driver(catalogue, checkpoint, name)
        if done < kills:
            if moments.random() < 0.3:
                time.sleep(moments.uniform(0, 15))  # often before there is anything to lose
            else:
                wait_for_parts(driver, output_of(catalogue, name), parts_of(output_of(catalogue, name)) + 1)
                time.sleep(moments.uniform(0, 1))
            if driver.poll() is None:
                driver.send_signal(signal.SIGKILL)
                done += 1
        _, errors = driver.communicate(timeout=300)
        if driver.returncode == 0:
            assert_nothing_lost_or_doubled(catalogue, captions, name)
            if done >= kills:
                return
            outputs += 1
        else:
            assert driver.returncode == -signal.SIGKILL, errors


@pytest.mark.parametrize(
    ("catalogue", "kills"),
    [pytest.param(100, 2, id="2 kills"), pytest.param(1000, 12, id="12 kills", marks=pytest.mark.slow)],
    indirect=["catalogue"],
)
def test_killed_workers_lose_and_double_nothing(
    our_ray: None, catalogue: str, kills: int, checkpoint: Path, expected: Any
) -> None:
    chance = random.Random(kills)
    killed: list[int] = []

    def kill_some(rows: Any) -> None:
        workers = our_workers()
        if len(killed) < kills and workers and chance.random() < 0.5:
            killed.append(chance.choice(workers))
            os.kill(killed[-1], signal.SIGKILL)

    summary = run(catalogue, checkpoint, on_results=kill_some)
    assert killed
    assert summary.status == "done"
    assert_nothing_lost_or_doubled(catalogue, expected[1])


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


@pytest.mark.parametrize(
    ("catalogue", "seconds"),
    [pytest.param(100, 4, id="4 s"), pytest.param(600, 20, id="20 s", marks=pytest.mark.slow)],
    indirect=["catalogue"],
)
def test_a_store_that_goes_away_and_comes_back_costs_only_time(
    our_ray: None, s3_server: S3Server, catalogue: str, seconds: int, checkpoint: Path, expected: Any
) -> None:
    gone = threading.Event()

    def fail() -> None:
        s3_server.stop()
        time.sleep(seconds)
        s3_server.start()

    outage = threading.Thread(target=fail)

    def begin(rows: Any) -> None:
        if not gone.is_set():
            gone.set()
            outage.start()

    summary = run(catalogue, checkpoint, on_results=begin)
    outage.join()
    assert gone.is_set()
    assert summary.status == "done"
    assert_nothing_lost_or_doubled(catalogue, expected[1])


@pytest.mark.parametrize(
    "catalogue", [pytest.param(60, id="60"), pytest.param(400, id="400", marks=pytest.mark.slow)], indirect=True
)
def test_throttling_resets_and_lost_answers_cost_only_time(
    our_ray: None, proxy: FaultyProxy, catalogue: str, checkpoint: Path, expected: Any
) -> None:
    proxy.counts.clear()
    proxy.inject(slow_down_every=5, reset_every=17, lose_answer_every=23)
    summary = run(catalogue, checkpoint, save_features=True)
    proxy.inject()
    assert min(proxy.counts[name] for name in ("slow_down", "reset", "lost_answer")) > 2
    assert summary.status == "done"
    assert_nothing_lost_or_doubled(catalogue, expected[1])


@pytest.mark.parametrize("catalogue", [200], indirect=True)
def test_two_runs_exclude_each_other_and_a_term_signal_drains(
    our_ray: None, catalogue: str, checkpoint: Path, expected: Any
) -> None:
    output = output_of(catalogue)
    first, second = start_driver(catalogue, checkpoint), start_driver(catalogue, checkpoint)
    while first.poll() is None and second.poll() is None:
        time.sleep(0.05)
    loser, winner = (first, second) if first.poll() is not None else (second, first)
    assert "held: " in loser.communicate()[1]
    assert loser.returncode == 1
    assert wait_for_parts(winner, output, 1)

    winner.send_signal(signal.SIGTERM)
    started = time.monotonic()
    said, errors = winner.communicate(timeout=60)
    assert winner.returncode == 75, errors
    assert time.monotonic() - started < 30
    assert len(rows_of(output)) == int(said.split()[1])

    third = start_driver(catalogue, checkpoint)
    _, errors = third.communicate(timeout=300)
    assert third.returncode == 0, errors
    assert_nothing_lost_or_doubled(catalogue, expected[1])


@pytest.mark.parametrize("catalogue", [10], indirect=True)
def test_a_dead_run_elsewhere_is_replaced_within_the_stated_time(
    our_ray: None, catalogue: str, checkpoint: Path, monkeypatch: pytest.MonkeyPatch, expected: Any
) -> None:
    holder = ledger.Lease(output_of(catalogue), "elsewhere", heartbeat_seconds=1e6)
    monkeypatch.setattr(ledger, "_machine", lambda: "another machine")
    holder.__enter__()
    monkeypatch.undo()
    monkeypatch.setattr(ledger.Lease.__init__, "__kwdefaults__", {"heartbeat_seconds": 0.5, "lease_seconds": 4.0})
    started = time.monotonic()
    with pytest.raises(ledger.LeaseHeldError, match="run elsewhere"):
        run(catalogue, checkpoint)
    time.sleep(4.0)
    assert run(catalogue, checkpoint).status == "done"
    assert time.monotonic() - started < 60
    assert_nothing_lost_or_doubled(catalogue, expected[1])


@pytest.mark.parametrize("count", [pytest.param(30, id="30"), pytest.param(100, id="100", marks=pytest.mark.slow)])
def test_every_good_file_is_captioned_and_every_bad_one_explained(
    our_ray: None, s3_bucket: str, checkpoint: Path, tmp_path: Path, count: int
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


def _has_audio_suffix(path: Path) -> bool:
    from pipeline.catalogue import AUDIO_SUFFIXES

    return path.suffix.lower() in AUDIO_SUFFIXES
