"""Shared fixtures: a tiny seeded captioner, synthetic tones, the S3 server."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch: several threads on a busy machine wait for each other

import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from pipeline.cluster.session import ray_session
from tests.s3_server import S3Server, running_s3_server

TINY_WORDS = (
    "a slow fast bright dark calm driving piano guitar drums strings synth brass flute with and over , tune theme"
).split()


def tones(seconds: float, seed: int, sample_rate: int = 16_000) -> np.ndarray:
    """Four decaying notes over faint noise, mono float32 in [-1, 1], (samples,)."""
    rng = np.random.default_rng(seed)
    time = np.arange(int(seconds * sample_rate)) / sample_rate
    signal = 0.02 * rng.standard_normal(len(time))
    for _ in range(4):
        hertz = 110 * 2 ** (rng.integers(0, 36) / 12)
        period = 0.25 * rng.integers(1, 5)
        signal += np.sin(2 * np.pi * hertz * time) * np.exp(-3 * np.mod(time, period) / period)
    return (0.8 * signal / np.abs(signal).max()).astype(np.float32)


def save_tiny_checkpoint(directory: Path, fusion: str = "attention", seed: int = 0) -> Path:
    """Write a captioner of a few kilobytes whose captions vary with the audio."""
    import torch

    from muscaps.checkpoint import save_checkpoint
    from muscaps.config import ExtractorConfig, ModelConfig
    from muscaps.models.architectures import build_captioner
    from muscaps.vocabulary import SPECIAL_TOKENS, Vocabulary, vectors_from_captions

    torch.manual_seed(seed)
    vocabulary = Vocabulary([*SPECIAL_TOKENS, *TINY_WORDS])
    config = ModelConfig(
        extractor=ExtractorConfig(name="musicnn", num_channels=8, frontend_scale=0.05),
        fusion=fusion,
        vocabulary_size=len(vocabulary),
        word_embedding_dim=16,
        audio_embedding_dim=32,
        hidden_dim=32,
        attention_dim=16,
    )
    model = build_captioner(config, vectors_from_captions([TINY_WORDS], vocabulary, dim=16))
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "decoder.weight" in name or "encoder.weight" in name or "output.length" in name:
                weight.mul_(4.0)  # untrained, but decided enough that captions differ between tracks
        model.output.bias[:4] = torch.tensor([-20.0, -20.0, -20.0, -1.0])  # no special tokens except <eos>
    save_checkpoint(directory, model, vocabulary, name="tiny", training={"data": "none"}, metrics={})
    return directory


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A seeded, untrained captioner with temporal attention; its captions mean nothing."""
    return save_tiny_checkpoint(tmp_path_factory.mktemp("checkpoint") / "tiny")


@pytest.fixture
def tone_files(tmp_path: Path) -> list[Path]:
    """Five WAV files of different lengths, 1 to 13 s, in a folder of their own."""
    import soundfile

    folder = tmp_path / "tones"
    folder.mkdir()
    paths = []
    for index, seconds in enumerate((1.0, 3.0, 4.5, 7.0, 13.0)):
        path = folder / f"tone-{index}.wav"
        soundfile.write(path, tones(seconds, index), 16_000)
        paths.append(path)
    return paths


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    """The loopback S3 server; from its first use on, AWS_* of this process and its children point at it."""
    with running_s3_server() as server, pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            patch.delenv(name)
        for name, value in server.environment.items():
            patch.setenv(name, value)
        yield server


@pytest.fixture
def s3_bucket(s3_server: S3Server) -> str:
    """The URI of a fresh, empty bucket, `s3://...`."""
    return s3_server.create_bucket()


@pytest.fixture(scope="module")
def our_ray() -> Iterator[None]:
    """One Ray of two cores for every test of a module that does not kill its driver."""
    with ray_session(num_cpus=2):
        yield


@pytest.fixture
def note_result(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """Note what a drill did and what it cost; the lines are printed at the end of `make drills`."""
    return lambda line: record_property("drill", line)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the notes of the drills."""
    for report in terminalreporter.getreports("passed"):
        for name, line in report.user_properties:
            if name == "drill":
                terminalreporter.write_line(f"{report.nodeid.rpartition('::')[2]}: {line}")


@pytest.fixture(autouse=True)
def own_logging() -> Iterator[None]:
    """Undo `jobs.progress.set_up_logging`, after which `caplog` of later tests would get nothing."""
    loggers = [logging.getLogger(name) for name in ("muscaps", "pipeline", "jobs")]
    before = [(logger.level, logger.handlers[:], logger.propagate) for logger in loggers]
    yield
    for logger, (level, handlers, propagate) in zip(loggers, before, strict=True):
        logger.setLevel(level)
        logger.handlers[:], logger.propagate = handlers, propagate
