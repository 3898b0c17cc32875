"""Training on Ray Train, real processes throughout.

Covered: one worker against two with the same global batch; a worker killed (SIGKILL) in the middle of training; the
driver killed and the command given again; arguments refused; and the whole way by the commands of the README, from
rendered music to captions.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from muscaps.config import ExtractorConfig, ModelConfig
from muscaps.dataset import DatasetWriter, Pair
from muscaps.training import CaptionTrainingConfig
from pipeline.distributed_training import CaptionRun, Hardware, train_captioner

pytestmark = pytest.mark.slow  # minutes on two cores, and not yet seen to pass whole on an idle machine

EXTRACTOR = ExtractorConfig(num_channels=2, frontend_scale=0.02)
MODEL = ModelConfig(
    extractor=EXTRACTOR,
    fusion="attention",
    word_embedding_dim=12,
    audio_embedding_dim=16,
    hidden_dim=16,
    attention_dim=8,
)
CLI = "from jobs.cli import main; main()"
WORDS = ("piano", "guitar", "drums", "strings", "flute", "harp", "brass", "organ")


@pytest.fixture(scope="module")
def ray_here() -> Iterator[None]:
    import ray

    ray.init(num_cpus=2, include_dashboard=False, object_store_memory=200_000_000, log_to_driver=False)
    yield
    ray.shutdown()


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A dataset of 16 + 8 pairs with features, and the extractor they are by."""
    import torch

    from muscaps.checkpoint import save_extractor
    from muscaps.dataset import extractor_digest
    from muscaps.feature_extractors import build_extractor

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


def a_run(prepared: tuple[Path, Path], output: Path, **settings: object) -> CaptionRun:
    dataset, extractor = prepared
    config = CaptionTrainingConfig(**{"batch_size": 16, "learning_rate": 1e-2, "patience": 999, **settings})
    return CaptionRun(dataset=dataset, output=output, extractor=extractor, model=MODEL, config=config)


def curve(output: Path) -> list[tuple[float, float]]:
    import csv

    with (output / "curve.csv").open() as stream:
        return [(float(row["train_loss"]), float(row["validation_loss"])) for row in csv.DictReader(stream)]


def weights(output: Path) -> dict[str, np.ndarray]:
    return load_file(output / "last" / "model.safetensors")


def test_two_workers_give_the_curve_of_one(ray_here: None, prepared: tuple[Path, Path], tmp_path: Path) -> None:
    # One step an epoch, so that the curve's first 20 epochs are its first 20 steps.
    for count in (1, 2):
        run = a_run(prepared, tmp_path / str(count), max_epochs=20)
        train_captioner(run, Hardware(num_workers=count, threads=1))
    one, two = np.array(curve(tmp_path / "1")), np.array(curve(tmp_path / "2"))
    assert one.shape == (20, 2)
    assert one[-1, 0] < 0.95 * one[0, 0]
    assert np.abs(one - two).max() < 1e-4
    for name in ("best/model_card.json", "curve.png", "curve.csv"):
        assert (tmp_path / "2" / name).stat().st_size > 100


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
    ray_here: None, prepared: tuple[Path, Path], tmp_path: Path
) -> None:
    killed: list[int] = []
    epochs: list[int] = []

    def kill_one(metrics: object) -> None:
        epochs.append(metrics["epoch"])  # type: ignore[index]
        if len(epochs) >= 3 and not killed:
            killed.append(our_train_workers()[0])
            os.kill(killed[0], signal.SIGKILL)

    settings = {"batch_size": 2, "max_epochs": 25}
    train_captioner(a_run(prepared, tmp_path / "calm", **settings), Hardware(num_workers=2, threads=1))
    train_captioner(a_run(prepared, tmp_path / "drill", **settings), Hardware(num_workers=2, threads=1), kill_one)
    assert killed
    assert curve(tmp_path / "drill") == curve(tmp_path / "calm")
    calm, drill = weights(tmp_path / "calm"), weights(tmp_path / "drill")
    assert all(np.array_equal(value, drill[name]) for name, value in calm.items())


def test_a_folder_keeps_to_its_training(ray_here: None, prepared: tuple[Path, Path], tmp_path: Path) -> None:
    run = a_run(prepared, tmp_path / "out", max_epochs=1)
    first = train_captioner(run, Hardware(threads=1))
    again: list[object] = []
    assert train_captioner(run, Hardware(threads=1), again.append) == first
    assert not again  # finished: nothing was trained anew
    with pytest.raises(ValueError, match=r"holds another training \(run.config.max_epochs was 1, is 2\)"):
        train_captioner(a_run(prepared, tmp_path / "out", max_epochs=2), Hardware(threads=1))
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "poem.txt").write_text("mine")
    with pytest.raises(ValueError, match="holds no training"):
        train_captioner(a_run(prepared, tmp_path / "notes"), Hardware(threads=1))


def muscaps(*arguments: object, check: bool = True, timeout: float = 280) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", CLI, *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, env=environment, check=False)
    assert not check or done.returncode == 0, done.stderr[-3000:]
    return done


@pytest.mark.slow
def test_a_killed_driver_goes_on_where_it_was(prepared: tuple[Path, Path], tmp_path: Path) -> None:
    dataset, extractor = prepared

    def command(output: str) -> list[str]:
        return [
            *("train", str(dataset), str(tmp_path / output), "--extractor", str(extractor), "--fusion", "late"),
            *("--hidden-dim", "16", "--word-dim", "12", "--batch-size", "2", "--learning-rate", "1e-3"),
            *("--max-epochs", "40", "--patience", "99", "--threads", "1"),
        ]

    muscaps(*command("calm"))
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    driver = subprocess.Popen(
        [sys.executable, "-c", CLI, *command("drill")],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    deadline = time.monotonic() + 200
    while not list((tmp_path / "drill" / "ray").glob("checkpoint_*/state/state.safetensors")):
        assert driver.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.killpg(driver.pid, signal.SIGKILL)
    driver.wait()
    assert not (tmp_path / "drill" / "last").exists()
    muscaps(*command("drill"))
    calm, drill = weights(tmp_path / "calm"), weights(tmp_path / "drill")
    assert all(np.array_equal(value, drill[name]) for name, value in calm.items())


def test_wrong_use_gets_one_line_and_status_2(prepared: tuple[Path, Path], tmp_path: Path) -> None:
    dataset, _ = prepared
    (tmp_path / "nouri.csv").write_text("track,caption\na,some words here\n")
    for arguments, message in (
        (("train", tmp_path / "none", tmp_path / "o", "--scratch"), "no prepared dataset"),
        (("train", dataset, tmp_path / "o"), "give --extractor, --from, or --scratch"),
        (("train", dataset, tmp_path / "o", "--scratch", "--fine-tune"), "exclude each other"),
        (("train", dataset, tmp_path / "o", "--extractor", tmp_path / "none"), "not a checkpoint"),
        (("dataset", "prepare", tmp_path / "nouri.csv", tmp_path / "o"), "needs the columns `uri` and `caption`"),
    ):
        done = muscaps(*arguments, check=False)
        assert done.returncode == 2, done.stderr
        assert message in done.stderr
        assert "Traceback" not in done.stderr


def test_from_rendered_music_to_captions(tmp_path: Path) -> None:
    """Render -> prepare -> pretrain -> train -> caption, as the README has it."""
    pytest.importorskip("symusic")
    from muscaps.corpus.soundfont import find_soundfonts

    if not find_soundfonts():
        pytest.skip("no soundfont is installed")
    data, ears, model = tmp_path / "data", tmp_path / "ears", tmp_path / "model"
    muscaps("corpus", "render", tmp_path / "corpus", "--num-clips", 48, "--seconds", 6)
    prepared = muscaps("dataset", "prepare", tmp_path / "corpus" / "pairs.parquet", data, "--min-seconds", 3, "--json")
    card = json.loads(prepared.stdout)
    assert card["cleaning"]["pairs"] == 48
    assert sum(card["splits"].values()) == card["cleaning"]["kept_pairs"]
    muscaps(
        "pretrain",
        data,
        ears,
        "--channels",
        4,
        "--frontend-scale",
        0.05,
        "--max-epochs",
        2,
        "--batch-size",
        8,
        "--threads",
        1,
    )
    assert (ears / "tags.csv").read_text().startswith("tag,roc_auc,pr_auc")
    settings = ("--hidden-dim", 32, "--word-dim", 16, "--learning-rate", 5e-3, "--max-epochs", 3, "--threads", 1)
    muscaps("train", data, model, "--extractor", ears / "extractor", *settings)
    muscaps("caption", tmp_path / "corpus" / "audio", tmp_path / "out", "--checkpoint", model / "best", "--limit", 4)
    import pyarrow.parquet as pq

    captions = pq.read_table(tmp_path / "out" / "captions").to_pylist()
    assert len(captions) == 4
    assert all(row["caption"] for row in captions)
