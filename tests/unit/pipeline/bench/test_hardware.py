"""The description of a benchmark's machine."""

import time

import torch

from muscaps import Captioner
from pipeline.bench.hardware import GpuUtilization, flops_per_chunk, matmul_flops_per_second


def test_the_network_that_runs_is_counted(tiny_checkpoint):
    captioner = Captioner.load(tiny_checkpoint)
    arranged = flops_per_chunk(captioner)
    captioner._extract = captioner.model.feature_extractor
    assert 0 < arranged < flops_per_chunk(captioner)  # the tall filters are a quarter of the arithmetic


def test_in_place_products_are_counted(tiny_checkpoint):
    captioner = Captioner.load(tiny_checkpoint)
    samples = captioner.chunk_samples
    weights = torch.zeros(samples, 3)
    captioner._extract = lambda chunks: (chunks @ weights).addmm_(chunks, weights)
    assert flops_per_chunk(captioner) == 2 * (2 * samples * 3)


def test_a_matrix_product_is_timed(tiny_checkpoint, monkeypatch):
    monkeypatch.setattr("pipeline.bench.hardware.MATMUL_SIZE", {"cpu": 64})
    assert matmul_flops_per_second(Captioner.load(tiny_checkpoint)) > 0


def test_gpu_utilization_is_read_from_nvidia_smi(tmp_path, monkeypatch):
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\nprintf '80\\n40\\n'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    began = time.time()
    with GpuUtilization(interval_s=0.01) as watch:
        time.sleep(0.3)
    assert watch.utilization_since(began) == 0.6
    assert watch.utilization_since(time.time()) is None


def test_without_gpus_there_is_no_utilization(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with GpuUtilization(interval_s=0.01) as watch:
        pass
    assert watch.utilization_since(0.0) is None
