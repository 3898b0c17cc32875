"""Many tracks and long ones; each run is a process, so that its peak memory is measured separately.

Covered here:

- 20,000 short tracks in the memory of 2,000; a relaunch that finds all done
- a 10-hour file among 3-minute ones: bounded memory, `--max-chunks`, `coverage`
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import soundfile

from pipeline.output.verification import verify
from tests.conftest import tones

pytestmark = [pytest.mark.drills, pytest.mark.slow]

ROOT = Path(__file__).parents[2]
MIB = 2**20


def caption(catalogue: Path, output: Path, *options: object) -> dict[str, Any]:
    """Run `muscaps caption`; its summary, with the `seconds` of the whole command."""
    program = "import sys; from jobs.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", program, "caption", catalogue, output, "--gpus", 0, "--json", *options]
    started = time.monotonic()
    done = subprocess.run([str(word) for word in command], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return {**json.loads(done.stdout), "seconds": time.monotonic() - started}


def peaks(summary: dict[str, Any]) -> str:
    """Peak memory in words."""
    return ", ".join(f"{name} {size // MIB} MiB" for name, size in summary["peak_memory_bytes"].items())


def test_twenty_thousand_tracks_take_the_memory_of_two_thousand(
    tiny_checkpoint: Path, tmp_path: Path, note_result: Callable[[str], None]
) -> None:
    for index in range(20):
        soundfile.write(tmp_path / f"{index}.wav", tones(0.6 + 0.04 * index, index), 16_000)
    found = {}
    for count in (2_000, 20_000):
        catalogue, output = tmp_path / f"{count}.csv", tmp_path / f"out-{count}"
        lines = [f"t{number:05d},{number % 20}.wav\n" for number in range(count)]
        catalogue.write_text("track_id,uri\n" + "".join(lines))
        found[count] = caption(catalogue, output, "--checkpoint", tiny_checkpoint, "--beam-size", 2)
        checked = verify(str(catalogue), str(output))
        assert (checked.captioned, checked.missing, checked.doubled) == (count, 0, 0)
    few, many = found[2_000], found[20_000]
    again = caption(catalogue, output, "--checkpoint", tiny_checkpoint, "--beam-size", 2)
    assert again["status"] == "nothing_to_do"
    assert again["seconds"] < 10
    note_result(
        f"2,000 tracks: {few['seconds']:.0f} s, {peaks(few)}; 20,000: {many['seconds']:.0f} s, {peaks(many)}; "
        f"relaunch: {again['seconds']:.1f} s"
    )
    for name, size in many["peak_memory_bytes"].items():
        assert size < 1.1 * few["peak_memory_bytes"][name], name


def long_flac(path: Path, seconds: int) -> None:
    """Write a mono FLAC of 22.05 kHz: a minute of notes, again and again."""
    minute = tones(60, 0, 22_050)
    with soundfile.SoundFile(path, "w", samplerate=22_050, channels=1, subtype="PCM_16") as file:
        for _ in range(seconds // 60):
            file.write(minute)


def test_a_ten_hour_file_takes_bounded_memory(tmp_path: Path, note_result: Callable[[str], None]) -> None:
    music = tmp_path / "music"
    music.mkdir()
    long_flac(music / "mix.flac", 10 * 3600)
    for index in range(6):
        soundfile.write(music / f"{index}.flac", tones(180, index), 16_000)
    program = (
        "import resource; from muscaps import Captioner; from muscaps.checkpoint import BUNDLED; "
        "Captioner.load(BUNDLED); print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)"
    )
    model = int(subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, check=True).stdout)
    summary = caption(music, tmp_path / "out", "--max-chunks", 600)
    for row in pq.read_table(tmp_path / "out" / "captions").to_pylist():
        long = row["track_id"] == "mix.flac"
        assert row["num_chunks"] == (600 if long else 60)
        assert row["coverage"] == pytest.approx(600 / 12_000 if long else 1.0, rel=0.01)
        assert row["duration_s"] == pytest.approx(36_000 if long else 180, rel=0.01)
    for name in ("decode", "caption"):
        assert summary["peak_memory_bytes"][name] < model + 1024 * MIB, name
    note_result(f"{summary['seconds']:.0f} s, {peaks(summary)}; a process with the model loaded: {model // MIB} MiB")


def test_max_chunks_limits_what_is_processed_of_a_long_track(tiny_checkpoint: Path, tmp_path: Path) -> None:
    music = tmp_path / "music"
    music.mkdir()
    long_flac(music / "hour.flac", 3600)
    caption(music, tmp_path / "out", "--checkpoint", tiny_checkpoint, "--beam-size", 1, "--max-chunks", 50)
    [row] = pq.read_table(tmp_path / "out" / "captions").to_pylist()
    assert row["num_chunks"] == 50
    assert row["coverage"] == pytest.approx(50 / 1_200, rel=0.01)
