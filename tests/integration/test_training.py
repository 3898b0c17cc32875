"""Training on Ray Train, real processes throughout.

Covered: one worker against two with the same global batch; a worker killed (SIGKILL) in the middle of training; the
driver killed or interrupted and the command given again; arguments refused.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file
from typer.testing import CliRunner

from jobs.cli import app
from muscaps.config import ExtractorConfig, ModelConfig
from muscaps.training.captioner_config import CaptionTrainingConfig
from muscaps.training.dataset.pairs import Pair
from muscaps.training.dataset.writer import DatasetWriter
from pipeline.training.captioner_run import CaptionRun, train_captioner
from pipeline.training.distributed import Hardware
from tests.muscaps_command import CLI, ROOT, muscaps

EXTRACTOR = ExtractorConfig(num_channels=2, frontend_scale=0.02)
MODEL = ModelConfig(extractor=EXTRACTOR, fusion="late", word_embedding_dim=12, audio_embedding_dim=16, hidden_dim=16)
EPOCHS = 20
WORDS = ("piano", "guitar", "drums", "strings", "flute", "harp", "brass", "organ")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A dataset of 16 + 8 pairs with features, and the extractor they are by."""
    import torch

    from muscaps.checkpoint import save_extractor
    from muscaps.models.architectures import build_extractor
    from muscaps.training.dataset.feature_cache import extractor_digest

    folder = tmp_path_factory.mktemp("training")
    torch.manual_seed(0)
    extractor = build_extractor(EXTRACTOR)
    save_extractor(folder / "extractor", extractor, EXTRACTOR, name="tiny", training={}, metrics={})
    rng = np.random.default_rng(0)
    writer, pairs = DatasetWriter(folder / "dataset"), []
    for index in range(24):
        name = f"t{index}"
        writer.store(name, features=rng.normal(size=(1 + index % 3, extractor.feature_dim)))
        captions = (f"a tune for {WORDS[index % 8]}", f"music with {WORDS[index % 8]} and {WORDS[index // 8]}")
        split = "train" if index < 16 else "validation"
        pairs.append(Pair(track_id=name, uri=name, captions=captions, split=split))
    writer.finish(pairs, min_count=1, card={"extractor": extractor_digest(extractor)})
    return folder / "dataset", folder / "extractor"


def a_run(prepared: tuple[Path, Path], output: Path, max_epochs: int = EPOCHS) -> CaptionRun:
    dataset, extractor = prepared
    config = CaptionTrainingConfig(batch_size=4, learning_rate=1e-2, patience=99, max_epochs=max_epochs)
    return CaptionRun(dataset=dataset, output=output, extractor=extractor, model=MODEL, config=config)


def the_same_run(prepared: tuple[Path, Path], output: Path) -> list[str]:
    """The run of `a_run` as a command."""
    dataset, extractor = prepared
    return [
        *("train", str(dataset), str(output), "--extractor", str(extractor), "--fusion", "late"),
        *("--hidden-dim", "16", "--word-dim", "12", "--batch-size", "4", "--learning-rate", "1e-2"),
        *("--max-epochs", str(EPOCHS), "--patience", "99", "--threads", "1"),
    ]


@pytest.fixture(scope="module")
def one_worker(our_ray: None, prepared: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an undisturbed training with one worker."""
    output = tmp_path_factory.mktemp("one") / "out"
    train_captioner(a_run(prepared, output), Hardware(threads=1))
    return output


@pytest.fixture(scope="module")
def two_workers(our_ray: None, prepared: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an undisturbed training with two workers."""
    output = tmp_path_factory.mktemp("two") / "out"
    train_captioner(a_run(prepared, output), Hardware(num_workers=2, threads=1))
    return output


def curve(output: Path) -> list[tuple[float, float]]:
    import csv

    with (output / "curve.csv").open() as stream:
        return [(float(row["train_loss"]), float(row["validation_loss"])) for row in csv.DictReader(stream)]


def weights(output: Path) -> dict[str, np.ndarray]:
    return load_file(output / "last" / "model.safetensors")


def test_two_workers_give_the_curve_of_one(one_worker: Path, two_workers: Path) -> None:
    one, two = np.array(curve(one_worker)), np.array(curve(two_workers))
    assert one.shape == (EPOCHS, 2)
    assert one[-1, 0] < 0.95 * one[0, 0]
    assert np.abs(one - two)[:, 0].max() < 1e-5
    # The bias before a batch norm has no gradient but rounding errors, which Adam scales up, and the running mean
    # follows it with a delay: validation differs more than training.
    assert np.abs(one - two)[:, 1].max() < 1e-3
    for name in ("best/model_card.json", "curve.png", "curve.csv"):
        assert (two_workers / name).stat().st_size > 100


def our_train_workers() -> list[int]:
    """Processes of Ray Train below this one."""

    def parent(pid: int) -> int:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])

    found = []
    for entry in Path("/proc").iterdir():
        try:
            is_worker = entry.name.isdigit() and b"ray::RayTrainWorker" in (entry / "cmdline").read_bytes()
            if is_worker and parent(parent(int(entry.name))) == os.getpid():
                found.append(int(entry.name))
        except (OSError, ValueError):
            continue
    return found


def test_a_killed_worker_leaves_no_trace_in_the_weights(
    prepared: tuple[Path, Path], two_workers: Path, tmp_path: Path
) -> None:
    killed: list[int] = []
    epochs: list[int] = []

    def kill_one(metrics: object) -> None:
        epochs.append(metrics["epoch"])  # type: ignore[index]
        if len(epochs) >= 3 and not killed:
            killed.append(our_train_workers()[0])
            os.kill(killed[0], signal.SIGKILL)

    train_captioner(a_run(prepared, tmp_path / "drill"), Hardware(num_workers=2, threads=1), kill_one)
    assert killed
    assert curve(tmp_path / "drill") == curve(two_workers)
    expected, drill = weights(two_workers), weights(tmp_path / "drill")
    assert all(np.array_equal(value, drill[name]) for name, value in expected.items())


def test_a_folder_keeps_to_its_training(prepared: tuple[Path, Path], one_worker: Path, tmp_path: Path) -> None:
    again: list[object] = []
    finished = train_captioner(a_run(prepared, one_worker), Hardware(threads=1), again.append)
    assert finished["epochs"] == EPOCHS
    assert not again  # finished: nothing was trained anew
    with pytest.raises(ValueError, match=rf"has another training \(run.config.max_epochs was {EPOCHS}, is 2\)"):
        train_captioner(a_run(prepared, one_worker, max_epochs=2), Hardware(threads=1))
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "poem.txt").write_text("mine")
    with pytest.raises(ValueError, match="has no training"):
        train_captioner(a_run(prepared, tmp_path / "notes"), Hardware(threads=1))


def test_an_interrupted_and_a_killed_driver_go_on_where_they_were(
    prepared: tuple[Path, Path], one_worker: Path, tmp_path: Path
) -> None:
    drill, log = tmp_path / "drill", tmp_path / "log"
    arguments = the_same_run(prepared, drill)
    assert stop_driver(arguments, log, signal.SIGINT, lambda: "epoch" in log.read_text() and has_state(drill)) == 75
    log_text = log.read_text()
    assert log_text.endswith("muscaps: interrupted; the same command continues from the finished work\n")
    assert "Traceback" not in log_text
    assert not (drill / "last").exists()
    # Workers train on for some seconds after their driver, perhaps to the last epoch, so the second stop comes early.
    stop_driver(arguments, log, signal.SIGKILL, lambda: "starting Ray" in log.read_text())
    muscaps(*arguments)
    expected, resumed = weights(one_worker), weights(drill)
    assert all(np.array_equal(value, resumed[name]) for name, value in expected.items())


def has_state(output: Path) -> bool:
    """Return whether a training has saved a state."""
    return bool(list((output / "ray").glob("checkpoint_*/state/state.safetensors")))


def stop_driver(arguments: list[str], log_file: Path, stop: signal.Signals, when: Callable[[], bool]) -> int:
    """Start a training, stop it as soon as a condition holds, and return its exit status."""
    # A shell starts background jobs, the tests among them, with SIGINT ignored; a terminal does not.
    restore = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    with log_file.open("w") as log:
        driver = subprocess.Popen(
            [sys.executable, "-c", restore + CLI, *arguments],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.DEVNULL,
            stderr=log,
            start_new_session=True,
        )
    deadline = time.monotonic() + 200
    while not when():
        assert driver.poll() is None, log_file.read_text()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    if stop is signal.SIGKILL:
        os.killpg(driver.pid, stop)
    else:
        driver.send_signal(stop)
    return driver.wait(timeout=60)


def test_wrong_use_gets_one_line_and_status_2(prepared: tuple[Path, Path], tmp_path: Path) -> None:
    dataset, _ = prepared
    (tmp_path / "nouri.csv").write_text("track,caption\na,some words here\n")
    for arguments, message in (
        (("train", tmp_path / "none", tmp_path / "o", "--scratch"), "no prepared dataset"),
        (("train", dataset, tmp_path / "o"), "give --extractor or --from, or --scratch"),
        (("train", dataset, tmp_path / "o", "--scratch", "--fine-tune"), "exclude each other"),
        (("train", dataset, tmp_path / "o", "--extractor", tmp_path / "none"), "not a checkpoint"),
        (("dataset", "prepare", tmp_path / "nouri.csv", tmp_path / "o"), "needs the columns `uri` and `caption`"),
    ):
        done = CliRunner().invoke(app, [str(argument) for argument in arguments])
        assert done.exit_code == 2, done.output
        assert message in done.output
        assert "Traceback" not in done.output
