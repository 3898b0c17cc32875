"""The whole job on local files, with Ray.

Covered here:

- end to end: good, corrupt, missing and hostile URIs -> captions, failures, features, the run's record
- a relaunch reports that nothing is to do; only new and changed tracks are processed
- pandas, DuckDB and PyArrow read the output; verify agrees
- retry: only failed tracks, counted as another attempt
- a killed captioning or decode worker: nothing lost, nothing doubled
- a file that crashes its decoder: everything else is captioned, it gets a failure row
- SIGTERM while Ray starts
- SIGKILL of the driver, SIGTERM, relaunch: verify agrees, captions equal those of an undisturbed run
- two runs at once: the second names the first and ends
- too many failures stop a run; a time limit drains it
- the command line: exit statuses, JSON, no stack trace for wrong use
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import duckdb
import pandas as pd
import pyarrow.parquet as pq
import pytest
import soundfile
from click.testing import Result
from typer.testing import CliRunner

from jobs.cli import app
from muscaps.config import DecodingOptions
from pipeline.captioning import CaptioningConfig, caption_catalogue, stages
from pipeline.output.catalogue_order import read_order
from pipeline.output.lease import Lease, LeaseHeldError, current_holder
from pipeline.output.schema import CAPTION_SCHEMA
from pipeline.output.verification import verify
from tests.conftest import tones

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def music(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of six tracks, 2 to 40 s."""
    folder = tmp_path_factory.mktemp("music")
    for index, seconds in enumerate((2.0, 5.0, 9.0, 15.0, 25.0, 40.0)):
        soundfile.write(folder / f"track-{index}.flac", tones(seconds, index), 16_000)
    return folder


def catalogue_of(folder: Path, music: Path, count: int, extra: str = "") -> Path:
    """A catalogue in which many tracks share a few files."""
    path = folder / "catalogue.csv"
    lines = [f"t{number:03d},{music}/track-{number % 6}.flac,mood {number % 3}" for number in range(count)]
    path.write_text("track_id,uri,mood\n" + "\n".join(lines) + "\n" + extra)
    return path


def config_for(catalogue: Path, output: Path, checkpoint: Path, **settings: object) -> CaptioningConfig:
    options = DecodingOptions(beam_size=2)
    values: dict[str, object] = {"options": options, "gpus": 0, "commit_seconds": 0.2, **settings}
    return CaptioningConfig(
        catalogue=str(catalogue),
        output=str(output),
        checkpoint=str(checkpoint),
        **values,  # type: ignore[arg-type]
    )


def captions_of(output: Path) -> dict[str, tuple[str, float]]:
    """{track: (caption, log-probability)}; fails where a track has two rows."""
    rows = [
        (row["track_id"], (row["caption"], row["log_prob"]))
        for path in sorted((output / "captions").glob("*.parquet"))
        for row in pq.read_table(path, columns=["track_id", "caption", "log_prob"]).to_pylist()
    ]
    assert len(rows) == len(dict(rows)), "a track has two rows"
    return dict(rows)


def equal(found: dict[str, tuple[str, float]], expected: dict[str, tuple[str, float]]) -> bool:
    """Whether captions are equal, and scores up to what batching may change."""
    return found.keys() == expected.keys() and all(
        found[name][0] == expected[name][0] and found[name][1] == pytest.approx(expected[name][1], rel=1e-5)
        for name in expected
    )


@pytest.fixture(scope="module")
def undisturbed(our_ray: None, music: Path, tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output of an undisturbed run of 60 tracks; `catalogue.csv` is beside it."""
    folder = tmp_path_factory.mktemp("undisturbed")
    catalogue = catalogue_of(folder, music, 60)
    summary = caption_catalogue(config_for(catalogue, folder / "out", tiny_checkpoint))
    assert (summary.status, summary.captioned, summary.failed) == ("done", 60, 0)
    return folder / "out"


BAD = "page,page.mp3,\ngone,none.wav,\nevil,gopher://x/y.mp3,\nempty,empty.flac,\n"


def test_every_track_ends_in_captions_or_failures(
    our_ray: None, music: Path, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    (tmp_path / "page.mp3").write_text("<!DOCTYPE html><html><body>Not found</body></html>" * 9)
    (tmp_path / "empty.flac").touch()
    catalogue = catalogue_of(tmp_path, music, 12, BAD)
    output = tmp_path / "out"
    options = DecodingOptions(beam_size=3, num_alternatives=2, attention=True, segment_seconds=6)
    config = config_for(catalogue, output, tiny_checkpoint, options=options, save_features=True)
    seen: list[int] = []
    summary = caption_catalogue(config, on_progress=lambda progress: seen.append(progress.captioned))

    assert (summary.status, summary.captioned, summary.failed, summary.left) == ("done", 12, 4, 0)
    assert summary.failures_by_reason == {
        "decode/not_audio": 1,
        "fetch/not_found": 1,
        "fetch/bad_uri": 1,
        "decode/empty_file": 1,
    }
    assert seen[-1] == 12
    order = read_order(str(output))
    assert order is not None and order.num_tracks == 16
    table = pq.read_table(output / "captions")
    assert table.schema.names == [*CAPTION_SCHEMA.names, "mood"]
    row = next(row for row in table.to_pylist() if row["track_id"] == "t005")
    assert row["uri"] == str(music / "track-5.flac")
    assert (row["num_chunks"], row["coverage"], row["mood"]) == (13, 1.0, "mood 2")
    assert row["duration_s"] == pytest.approx(40.0, abs=0.01)
    assert len(row["alternatives"]) == 2
    assert [segment["start_s"] for segment in row["segments"]] == [0, 6, 12, 18, 24, 30, 36]
    assert all(len(weights) == 13 for weights in row["attention"])
    features = pq.read_table(output / "features").to_pylist()
    assert {feature["track_id"] for feature in features} == set(table["track_id"].to_pylist())
    for row in pq.read_table(output / "failures").to_pylist():
        assert row["attempt"] == 1
        assert len(row["message"]) > 15

    assert len(pd.read_parquet(output / "captions")) == 12
    query = f"select count(distinct track_id) from '{output}/captions/*.parquet'"
    assert duckdb.sql(query).fetchall() == [(12,)]
    checked = verify(str(catalogue), str(output))
    assert (checked.captioned, checked.failed, checked.missing, checked.doubled) == (12, 4, 0, 0)

    record = json.loads((output / "runs" / f"{summary.run_id}.json").read_text())
    assert record["status"] == "done"
    assert record["captioned"] == 12
    assert record["audio_seconds"] == pytest.approx(2 * (2 + 5 + 9 + 15 + 25 + 40), rel=0.01)
    assert record["stage_seconds"].keys() == {"fetch", "decode", "feature", "search", "commit"}
    assert all(record["stage_seconds"].values())
    assert record["peak_memory_bytes"].keys() == {"driver", "decode", "caption"}
    assert current_holder(str(output)) is None

    again = caption_catalogue(config)
    assert (again.status, again.already_captioned, again.already_failed) == ("nothing_to_do", 12, 4)

    (tmp_path / "empty.flac").write_bytes((music / "track-1.flac").read_bytes())
    retried = caption_catalogue(config_for(catalogue, output, tiny_checkpoint, options=options, only_failed=True))
    assert (retried.to_do, retried.captioned, retried.failed) == (4, 1, 3)
    failures = pq.read_table(output / "failures", filters=[("run_id", "=", retried.run_id)])
    assert sorted(failures["track_id"].to_pylist()) == ["evil", "gone", "page"]
    assert set(failures["attempt"].to_pylist()) == {2}
    assert verify(str(catalogue), str(output)).is_complete


def test_a_relaunch_does_nothing_and_needs_no_ray(
    undisturbed: Path, tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.captioning.run.Session", None)
    summary = caption_catalogue(config_for(undisturbed.parent / "catalogue.csv", undisturbed, tiny_checkpoint))
    assert (summary.status, summary.already_captioned, summary.captioned) == ("nothing_to_do", 60, 0)


def test_only_new_and_changed_tracks_are_done(
    our_ray: None, music: Path, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    for index in range(3):
        (tmp_path / "songs").mkdir(exist_ok=True)
        (tmp_path / "songs" / f"s{index}.flac").write_bytes((music / f"track-{index}.flac").read_bytes())
    config = config_for(tmp_path / "songs", tmp_path / "out", tiny_checkpoint)
    assert caption_catalogue(config).captioned == 3
    (tmp_path / "songs" / "s1.flac").write_bytes((music / "track-4.flac").read_bytes())
    (tmp_path / "songs" / "s2.flac").unlink()
    (tmp_path / "songs" / "new.flac").write_bytes((music / "track-3.flac").read_bytes())
    summary = caption_catalogue(config)
    assert (summary.to_do, summary.captioned, summary.already_captioned) == (2, 2, 1)
    newest = pq.read_table(tmp_path / "out" / "captions", filters=[("run_id", "=", summary.run_id)])
    assert sorted(newest["track_id"].to_pylist()) == ["new.flac", "s1.flac"]
    checked = verify(str(tmp_path / "songs"), str(tmp_path / "out"))
    assert (checked.is_complete, checked.not_in_catalogue) == (True, 1)


def test_relative_paths_count_from_the_folder_of_the_command_and_not_from_rays(
    our_ray: None, music: Path, tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("music").symlink_to(music)
    Path("tracks.csv").write_text("track_id,uri\na,music/track-0.flac\nb,music/track-1.flac\n")
    summary = caption_catalogue(config_for(Path("tracks.csv"), Path("out"), tiny_checkpoint))
    assert (summary.captioned, summary.failures_by_reason) == (2, {})
    uris = pq.read_table(tmp_path / "out" / "captions")["uri"].to_pylist()
    assert sorted(uris) == [str(tmp_path / "music" / f"track-{n}.flac") for n in (0, 1)]


def our_workers(name: str) -> list[int]:
    """Processes of the Ray this process started whose title begins like that."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                title = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                grandparent = int(Path(f"/proc/{parent}/stat").read_text().rpartition(")")[2].split()[1])
            except (OSError, ValueError, IndexError):
                continue
            if title.startswith(f"ray::{name}") and os.getpid() in (parent, grandparent):
                found.append(int(entry.name))
    return found


def test_a_killed_worker_loses_and_doubles_nothing(undisturbed: Path, tiny_checkpoint: Path, tmp_path: Path) -> None:
    killed: list[int] = []

    def kill_one(rows: object) -> None:
        if len(killed) < 2:
            victims = our_workers("MapWorker") if not killed else our_workers("Map(")
            victims = victims or our_workers("MapBatches") or our_workers("MapWorker")
            if victims:
                os.kill(victims[0], signal.SIGKILL)
                killed.append(victims[0])

    config = config_for(undisturbed.parent / "catalogue.csv", tmp_path / "out", tiny_checkpoint)
    summary = caption_catalogue(config, on_results=kill_one)
    assert killed
    assert (summary.status, summary.captioned, summary.failed) == ("done", 60, 0)
    assert equal(captions_of(tmp_path / "out"), captions_of(undisturbed))


def test_a_file_that_crashes_its_decoder_gets_a_failure_row_and_stops_no_other(
    our_ray: None, music: Path, tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalogue = catalogue_of(tmp_path, music, 8, f"killer,{music}/killer.flac,\n")
    monkeypatch.setattr(stages, "fetch_and_decode", _crash_on_killer)
    summary = caption_catalogue(config_for(catalogue, tmp_path / "out", tiny_checkpoint))
    assert (summary.status, summary.captioned, summary.failed) == ("done", 8, 1)
    assert summary.failures_by_reason == {"decode/worker_died": 1}
    assert verify(str(catalogue), str(tmp_path / "out")).is_complete


_fetch_and_decode = stages.fetch_and_decode


def _crash_on_killer(rows, **settings):  # type: ignore[no-untyped-def]
    """Decode like the real stage, except that one file breaks the process."""
    if any(uri.endswith("killer.flac") for uri in rows["uri"].to_pylist()):
        os.kill(os.getpid(), signal.SIGKILL)
    yield from _fetch_and_decode(rows, **settings)


def test_a_second_run_is_refused_with_the_name_of_the_first(music: Path, tiny_checkpoint: Path, tmp_path: Path) -> None:
    catalogue = catalogue_of(tmp_path, music, 3)
    with (
        Lease(str(tmp_path / "out"), "first"),
        pytest.raises(LeaseHeldError, match=rf"run first \(process {os.getpid()} "),
    ):
        caption_catalogue(config_for(catalogue, tmp_path / "out", tiny_checkpoint))


def test_too_many_failures_stop_the_run(our_ray: None, music: Path, tiny_checkpoint: Path, tmp_path: Path) -> None:
    missing = "".join(f"m{number},none-{number}.wav,\n" for number in range(150))
    catalogue = catalogue_of(tmp_path, music, 12, missing)
    summary = caption_catalogue(config_for(catalogue, tmp_path / "out", tiny_checkpoint, max_error_rate=0.5))
    assert summary.status == "stopped"
    assert "fetch/not_found" in summary.reason
    assert summary.failed >= 50


def test_a_time_limit_drains_the_run(undisturbed: Path, tiny_checkpoint: Path, tmp_path: Path) -> None:
    catalogue = undisturbed.parent / "catalogue.csv"
    config = config_for(catalogue, tmp_path / "out", tiny_checkpoint, max_runtime_s=0.5)
    summary = caption_catalogue(config)
    assert summary.status == "drained"
    assert summary.captioned + summary.left == 60
    assert summary.left > 0


DRIVER = """
import sys
from muscaps.config import DecodingOptions
from pipeline.captioning import CaptioningConfig, caption_catalogue
catalogue, output, checkpoint = sys.argv[1:]
summary = caption_catalogue(CaptioningConfig(
    catalogue=catalogue, output=output, checkpoint=checkpoint, options=DecodingOptions(beam_size=2),
    gpus=0, cpus=2, commit_seconds=0.2))
print(summary.status, summary.captioned, summary.left, flush=True)
sys.exit({"done": 0, "drained": 75}[summary.status])
"""


_started: list[subprocess.Popen[str]] = []


@pytest.fixture(autouse=True)
def stop_drivers() -> Iterator[None]:
    """Kill what a failed test leaves running."""
    yield
    while _started:
        _started.pop().kill()


def start_driver(catalogue: Path, output: Path, checkpoint: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", DRIVER, str(catalogue), str(output), str(checkpoint)]
    _started.append(subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, start_new_session=True))
    return _started[-1]


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[str], seconds: float = 180) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, f"the driver ended with {process.returncode}"
        assert time.monotonic() < deadline, "nothing was committed"
        time.sleep(0.02)


def test_a_term_signal_while_ray_starts_ends_the_run_with_status_75(
    music: Path, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    driver = start_driver(catalogue_of(tmp_path, music, 20), output, tiny_checkpoint)
    wait_for(lambda: any((output / "runs").glob("*.json")), driver)  # written just before Ray is started
    time.sleep(1.0)
    driver.send_signal(signal.SIGTERM)
    started = time.monotonic()
    printed, _ = driver.communicate(timeout=60)
    assert time.monotonic() - started < 30
    assert (driver.returncode, printed.split()) == (75, ["drained", "0", "20"])
    assert current_holder(str(output)) is None


@pytest.mark.slow
def test_a_killed_and_a_drained_driver_leave_work_that_a_relaunch_completes(
    undisturbed: Path, music: Path, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    catalogue, output = catalogue_of(tmp_path, music, 300), tmp_path / "out"

    def parts() -> int:
        return len(list((output / "captions").glob("*.parquet")))

    first = start_driver(catalogue, output, tiny_checkpoint)
    wait_for(lambda: parts() >= 2, first)
    first.send_signal(signal.SIGKILL)
    first.wait()
    before, done = parts(), len(captions_of(output))
    assert 0 < done < 300
    assert current_holder(str(output)) is not None

    second = start_driver(catalogue, output, tiny_checkpoint)
    wait_for(lambda: parts() > before, second)
    second.send_signal(signal.SIGTERM)
    started = time.monotonic()
    printed, _ = second.communicate(timeout=60)
    assert second.returncode == 75
    assert time.monotonic() - started < 30
    status, captioned, left = printed.split()
    assert status == "drained"
    assert len(captions_of(output)) == done + int(captioned)
    assert int(left) == 300 - done - int(captioned) > 0

    third = start_driver(catalogue, output, tiny_checkpoint)
    printed, _ = third.communicate(timeout=300)
    assert third.returncode == 0
    assert printed.split()[0] == "done"
    checked = verify(str(catalogue), str(output))
    assert (checked.captioned, checked.missing, checked.doubled) == (300, 0, 0)
    expected = captions_of(undisturbed)
    found = captions_of(output)
    assert all(equal({"": found[f"t{n:03d}"]}, {"": expected[f"t{n % 6:03d}"]}) for n in range(300))


def muscaps(*arguments: object) -> Result:
    """Run a command; an exception other than an exit fails the test."""
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done


def test_the_command_line_reports_that_nothing_is_to_do(undisturbed: Path, tiny_checkpoint: Path) -> None:
    catalogue = undisturbed.parent / "catalogue.csv"
    asked = (catalogue, undisturbed, "--checkpoint", tiny_checkpoint, "--beam-size", 2)
    done = muscaps("caption", *asked)
    assert (done.exit_code, done.stdout) == (0, f"Nothing to do: {undisturbed}/captions has 60 of 60 tracks.\n")
    assert json.loads(muscaps("caption", *asked, "--json").stdout)["status"] == "nothing_to_do"
    assert "60 captioned, 0 failed, 0 missing, 0 doubled" in muscaps("verify", catalogue, undisturbed).stdout
    status = json.loads(muscaps("status", undisturbed, "--json").stdout)
    assert (status["state"], status["captioned"], status["left"]) == ("done", 60, 0)


def test_verify_fails_when_a_track_is_missing_or_doubled(undisturbed: Path, music: Path, tmp_path: Path) -> None:
    more = catalogue_of(tmp_path, music, 61)
    missing = muscaps("verify", more, undisturbed, "--json")
    assert missing.exit_code == 1
    assert json.loads(missing.stdout)["examples"] == ["t060"]
    for table in ("captions", "runs"):
        (tmp_path / "copy" / table).mkdir(parents=True)
        for path in (undisturbed / table).iterdir():
            (tmp_path / "copy" / table / path.name).write_bytes(path.read_bytes())
    part = next((tmp_path / "copy" / "captions").iterdir())
    part.with_name("part-again.parquet").write_bytes(part.read_bytes())
    doubled = verify(str(undisturbed.parent / "catalogue.csv"), str(tmp_path / "copy"))
    assert doubled.doubled == pq.read_table(part).num_rows
    assert not doubled.is_complete


def test_wrong_use_is_explained_in_one_line_with_status_2(music: Path, tiny_checkpoint: Path, tmp_path: Path) -> None:
    good = catalogue_of(tmp_path, music, 2)
    (tmp_path / "titles.csv").write_text("title\nx\n")
    (tmp_path / "twice.csv").write_text("uri\na\nb\na\n")
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "model_card.json").write_text("{")
    out = tmp_path / "out"
    for arguments, complaint in (
        ((tmp_path / "none.csv", out), "no such file or folder"),
        ((tmp_path / "titles.csv", out), "no column 'uri'"),
        ((tmp_path / "twice.csv", out), "lines 2 and 4"),
        ((tmp_path / "empty", out), "no audio below this folder"),
        ((good, tmp_path / "file"), "is a file; choose a folder"),
        ((good, out, "--checkpoint", tmp_path / "broken"), "not readable as JSON"),
        ((good, out, "--alternatives", 9), "num_alternatives=9"),
    ):
        chosen = arguments if "--checkpoint" in arguments else (*arguments, "--checkpoint", tiny_checkpoint)
        done = muscaps("caption", *chosen)
        assert done.exit_code == 2, done.stderr
        assert complaint in done.stderr
        assert done.stderr.strip().splitlines()[-1].startswith("muscaps: ")
        assert not done.stdout
    assert not out.exists()
