"""What a benchmark says of the machine it runs on."""

import time

import torch

from muscaps import Captioner
from pipeline.bench.hardware import GpuWatch, flops_per_chunk, multiplying_rate


def test_the_network_is_counted_as_it_is_arranged(tiny_checkpoint):
    captioner = Captioner.load(tiny_checkpoint)
    arranged = flops_per_chunk(captioner)
    captioner._extract = captioner.model.feature_extractor
    assert 0 < arranged < flops_per_chunk(captioner)  # the tall filters are a quarter of the arithmetic


def test_products_in_place_are_counted_too(tiny_checkpoint):
    captioner = Captioner.load(tiny_checkpoint)
    samples = captioner.chunk_samples
    weights = torch.zeros(samples, 3)
    captioner._extract = lambda chunks: (chunks @ weights).addmm_(chunks, weights)
    assert flops_per_chunk(captioner) == 2 * (2 * samples * 3)


def test_a_processor_multiplies_at_some_pace(tiny_checkpoint, monkeypatch):
    monkeypatch.setattr("pipeline.bench.hardware.PEAK_SIZE", {"cpu": 64})
    assert multiplying_rate(Captioner.load(tiny_checkpoint)) > 0


def test_gpus_are_watched_through_nvidia_smi(tmp_path, monkeypatch):
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\nprintf '80\\n40\\n'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    began = time.time()
    with GpuWatch(interval_s=0.01) as watch:
        time.sleep(0.3)
    assert watch.busy_since(began) == 0.6
    assert watch.busy_since(time.time()) is None


def test_without_gpus_nobody_can_tell(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with GpuWatch(interval_s=0.01) as watch:
        pass
    assert watch.busy_since(0.0) is None
