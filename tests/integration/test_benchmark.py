"""`muscaps bench` end to end on the tiny model: parts, ceiling, job, plain program, JSON."""

import contextlib
import json

import pytest
import ray
from typer.testing import CliRunner

from jobs.cli import app
from pipeline.bench.benchmark import benchmark
from pipeline.bench.config import BenchmarkConfig
from tests.conftest import tones


@contextlib.contextmanager
def two_core_ray(num_gpus=0):
    ray.init(
        num_cpus=2, num_gpus=num_gpus, object_store_memory=200_000_000, include_dashboard=False, log_to_driver=False
    )
    try:
        yield
    finally:
        ray.shutdown()


@pytest.fixture
def music(tmp_path):
    soundfile = pytest.importorskip("soundfile")
    for seed in range(6):
        soundfile.write(tmp_path / f"tone-{seed}.wav", tones(12.0, seed), 16_000)
    return str(tmp_path)


def test_bench_measures_parts_job_and_reference(music, tiny_checkpoint):
    arguments = ["bench", music, "--checkpoint", str(tiny_checkpoint), "--tracks", "3,6", "--repeats", "2"]
    with two_core_ray():
        done = CliRunner().invoke(app, [*arguments, "--json"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["job"]["captioned"] == 6
    assert [one["captioned"] for one in found["by_size"]] == [3, 6]
    assert found["efficiency"] == pytest.approx(found["job"]["ceiling_seconds"] / found["job"]["seconds"], abs=0.02)
    assert all(found["parts"][name]["real_time_factor"] > 0 for name in ("decode", "features", "search"))
    assert 0 < found["parts"]["features"]["matmul_peak_fraction"] < 1.2
    assert found["reference"]["num_passes"] >= found["reference"]["num_timed_passes"] > 0
    assert found["reference"]["audio_seconds"] == pytest.approx(12.0)  # the whole track
    assert found["speedup_over_reference"] > 0


def test_captioning_workers_share_a_gpu_that_every_core_decodes_for(music, tiny_checkpoint):
    """On a GPU that Ray assigns and torch does not find: the shares and the ceiling are those of a GPU."""
    config = BenchmarkConfig(
        catalogue=music, checkpoint=str(tiny_checkpoint), num_tracks=(6,), repeats=1, reference_words=0
    )
    with two_core_ray(num_gpus=1):
        found = benchmark(config)
    parts, job = found["parts"], found["job"]
    assert [parts[name]["num_workers"] for name in ("decode", "features", "search")] == [2, 2, 2]
    assert job["captioned"] == 6
    rest = job["audio_seconds"] / parts["features"]["real_time_factor"] + 6 / parts["search"]["tracks_per_second"]
    decode = job["audio_seconds"] / parts["decode"]["real_time_factor"]
    assert job["ceiling_seconds"] == pytest.approx(max(rest, decode), abs=0.01)


def test_bench_refuses_tracks_that_are_no_numbers(tmp_path):
    done = CliRunner().invoke(app, ["bench", str(tmp_path), "--tracks", "many"])
    assert done.exit_code == 2
    assert "30,60,120" in done.stderr
