"""`muscaps bench` end to end on the tiny model: parts, ceiling, job, plain program, JSON."""

import json

import pytest
import ray
from typer.testing import CliRunner

from jobs.cli import app
from tests.conftest import tones

pytestmark = pytest.mark.slow  # minutes on two cores, and not yet seen to pass whole on an idle machine


@pytest.fixture(scope="module", autouse=True)
def two_core_ray():
    ray.init(num_cpus=2, object_store_memory=200_000_000, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


def test_bench_measures_parts_job_and_reference(tmp_path, tiny_checkpoint):
    soundfile = pytest.importorskip("soundfile")
    for seed in range(6):
        soundfile.write(tmp_path / f"tone-{seed}.wav", tones(12.0, seed), 16_000)
    arguments = ["bench", str(tmp_path), "--checkpoint", str(tiny_checkpoint), "--tracks", "3,6", "--repeats", "2"]
    done = CliRunner().invoke(app, [*arguments, "--json"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["job"]["captioned"] == 6
    assert [one["captioned"] for one in found["by_size"]] == [3, 6]
    assert found["efficiency"] == pytest.approx(found["job"]["ceiling_seconds"] / found["job"]["seconds"], abs=0.02)
    assert all(found["parts"][name]["times_real_time"] > 0 for name in ("decode", "features", "search"))
    assert found["reference"]["copies_heard"] >= found["reference"]["copies_timed"] > 0
    assert found["speedup_over_reference"] > 0


def test_bench_refuses_tracks_that_are_no_numbers(tmp_path):
    done = CliRunner().invoke(app, ["bench", str(tmp_path), "--tracks", "many"])
    assert done.exit_code == 2
    assert "30,60,120" in done.stderr
