"""Training on Ray Train, real processes throughout.

Covered: one worker against two with the same global batch; a worker killed (SIGKILL) in the middle of training; the
driver killed or interrupted and the command given again; arguments refused; the commands of the README in order, from
rendered music to captions, small; and the bundled captioner fine-tuned on a few pairs with a word it does not know.
"""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
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
from tests.conftest import tones

EXTRACTOR = ExtractorConfig(num_channels=2, frontend_scale=0.02)
MODEL = ModelConfig(
    extractor=EXTRACTOR,
    fusion="attention",
    word_embedding_dim=12,
    audio_embedding_dim=16,
    hidden_dim=16,
    attention_dim=8,
)
ROOT = Path(__file__).parents[2]
CLI = "from jobs.cli import main; main()"
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


def test_two_workers_give_the_curve_of_one(our_ray: None, prepared: tuple[Path, Path], tmp_path: Path) -> None:
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
    our_ray: None, prepared: tuple[Path, Path], tmp_path: Path
) -> None:
    killed: list[int] = []
    epochs: list[int] = []

    def kill_one(metrics: object) -> None:
        epochs.append(metrics["epoch"])  # type: ignore[index]
        if len(epochs) >= 3 and not killed:
            killed.append(our_train_workers()[0])
            os.kill(killed[0], signal.SIGKILL)

    settings = {"batch_size": 2, "max_epochs": 25}
    train_captioner(a_run(prepared, tmp_path / "undisturbed", **settings), Hardware(num_workers=2, threads=1))
    train_captioner(a_run(prepared, tmp_path / "drill", **settings), Hardware(num_workers=2, threads=1), kill_one)
    assert killed
    assert curve(tmp_path / "drill") == curve(tmp_path / "undisturbed")
    expected, drill = weights(tmp_path / "undisturbed"), weights(tmp_path / "drill")
    assert all(np.array_equal(value, drill[name]) for name, value in expected.items())


def test_a_folder_keeps_to_its_training(our_ray: None, prepared: tuple[Path, Path], tmp_path: Path) -> None:
    run = a_run(prepared, tmp_path / "out", max_epochs=1)
    first = train_captioner(run, Hardware(threads=1))
    again: list[object] = []
    assert train_captioner(run, Hardware(threads=1), again.append) == first
    assert not again  # finished: nothing was trained anew
    with pytest.raises(ValueError, match=r"has another training \(run.config.max_epochs was 1, is 2\)"):
        train_captioner(a_run(prepared, tmp_path / "out", max_epochs=2), Hardware(threads=1))
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "poem.txt").write_text("mine")
    with pytest.raises(ValueError, match="has no training"):
        train_captioner(a_run(prepared, tmp_path / "notes"), Hardware(threads=1))


def muscaps(
    *arguments: object, check: bool = True, timeout: float = 280, folder: Path | None = None
) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", CLI, *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=timeout, env=environment, cwd=folder, check=False
    )
    assert not check or done.returncode == 0, done.stderr[-3000:]
    return done


def test_a_killed_and_an_interrupted_driver_go_on_where_they_were(
    prepared: tuple[Path, Path], undisturbed: Path, tmp_path: Path
) -> None:
    drill = tmp_path / "drill"
    arguments = stopped_command(prepared, drill)
    start_until_saved(arguments, drill, tmp_path / "log", signal.SIGKILL)
    interrupted = start_until_saved(arguments, drill, tmp_path / "log", signal.SIGINT)
    assert interrupted == 75
    log_text = (tmp_path / "log").read_text()
    assert log_text.endswith("muscaps: interrupted; the same command continues from the finished work\n")
    assert "Traceback" not in log_text
    assert not (drill / "last").exists()
    muscaps(*arguments)
    expected, resumed = weights(undisturbed), weights(drill)
    assert all(np.array_equal(value, resumed[name]) for name, value in expected.items())


def start_until_saved(arguments: list[str], output: Path, log_file: Path, stop: signal.Signals) -> int:
    """Start a training, stop it when it has reported an epoch and saved a state, and return its exit status."""
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
    saved = output / "ray"
    while not ("epoch" in log_file.read_text() and list(saved.glob("checkpoint_*/state/state.safetensors"))):
        assert driver.poll() is None, log_file.read_text()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    if stop is signal.SIGKILL:
        os.killpg(driver.pid, stop)
    else:
        driver.send_signal(stop)
    return driver.wait(timeout=60)


def stopped_command(prepared: tuple[Path, Path], output: Path) -> list[str]:
    dataset, extractor = prepared
    return [
        *("train", str(dataset), str(output), "--extractor", str(extractor), "--fusion", "late"),
        *("--hidden-dim", "16", "--word-dim", "12", "--batch-size", "2", "--learning-rate", "1e-3"),
        *("--max-epochs", "16", "--patience", "99", "--threads", "1"),
    ]


@pytest.fixture(scope="module")
def undisturbed(prepared: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the command makes when nothing stops it."""
    output = tmp_path_factory.mktemp("undisturbed") / "out"
    muscaps(*stopped_command(prepared, output))
    return output


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


SMALL = {
    "render": "--num-clips 24 --seconds 6",
    "prepare": "",
    "pretrain": "--channels 4 --frontend-scale 0.05 --max-epochs 2 --batch-size 8 --threads 1",
    "train": "--hidden-dim 32 --word-dim 16 --learning-rate 5e-3 --max-epochs 3 --threads 1",
    "caption": "",
}
"""What makes the README's training small enough for a test; a later option wins."""


def test_from_rendered_music_to_captions(tmp_path: Path) -> None:
    """The README's commands from rendering to captions, as they stand there, with smaller sizes."""
    pytest.importorskip("symusic")
    import pyarrow.parquet as pq
    import soundfile

    from muscaps.corpus.soundfont import find_soundfonts

    if not find_soundfonts():
        pytest.skip("no soundfont is installed")
    (tmp_path / "my-music").mkdir()
    for seed in range(2):
        soundfile.write(tmp_path / "my-music" / f"{seed}.wav", tones(7.0, seed), 16_000)
    [block] = re.findall(r"^```sh\n(muscaps corpus render .*?)^```", (ROOT / "README.md").read_text(), re.M | re.S)
    results = {}
    for line in block.splitlines():
        words = shlex.split(line, comments=True)[1:]
        name = next(word for word in words if word in SMALL)
        results[name] = muscaps(*words, *shlex.split(SMALL[name]), folder=tmp_path)
    assert list(results) == list(SMALL)
    assert "24 clips (24 rendered now" in results["render"].stdout
    assert results["prepare"].stdout.startswith("24 of 24 tracks kept")
    assert (tmp_path / "tagger" / "tags.csv").read_text().startswith("tag,roc_auc,pr_auc")
    assert re.search(r"epoch 1/3 .* ETA at most \d+ ", results["train"].stderr)
    assert re.search(r"best epoch \d of 3: validation loss [\d.]+, CIDEr [\d.]+", results["train"].stdout)
    captions = pq.read_table(tmp_path / "captions" / "captions").to_pylist()
    assert [row["track_id"] for row in sorted(captions, key=lambda row: row["track_id"])] == ["0.wav", "1.wav"]
    assert all(row["caption"] for row in captions)


def test_the_bundled_captioner_learns_a_word_from_a_few_pairs(tmp_path: Path) -> None:
    import soundfile

    from muscaps.checkpoint import BUNDLED, load_checkpoint

    rows = ["uri,caption,split"]
    for index in range(12):
        soundfile.write(tmp_path / f"{index}.wav", tones(4.0, index), 16_000)
        rows.append(f'{index}.wav,"a slow, bouncetastic piece for piano",{"train" if index < 8 else "validation"}')
    (tmp_path / "pairs.csv").write_text("\n".join(rows) + "\n")
    muscaps("dataset", "prepare", "pairs.csv", "data", "--min-seconds", 0, "--keep-duplicates", folder=tmp_path)
    settings = ("--learning-rate", 2e-3, "--max-epochs", 30, "--threads", 1, "--json")
    done = muscaps("train", "data", "tuned", "--from", "bundled", *settings, folder=tmp_path)
    assert json.loads(done.stdout)["epochs"] == 30
    before, after = load_checkpoint(BUNDLED), load_checkpoint(tmp_path / "tuned" / "best")
    assert after.card["training"]["started_from"] == before.model_id
    assert after.vocabulary.words[: len(before.vocabulary)] == before.vocabulary.words
    assert "bouncetastic" in after.vocabulary.words[len(before.vocabulary) :]
    muscaps("caption", ".", "captions", "--checkpoint", "tuned/best", "--limit", 1, folder=tmp_path)
    import pyarrow.parquet as pq

    [row] = pq.read_table(tmp_path / "captions" / "captions").to_pylist()
    assert row["caption"] == "A slow, bouncetastic piece for piano."
