"""The experiment end to end at toy size.

Interactions covered: pre-training, features, all seven systems trained, decoded, scored and tabled; a relaunch that
does nothing twice; another experiment refused; a failed cell that costs only itself; cells on Ray; and the DCASE
baseline through `muscaps train`, `caption_features` and `evaluate`.
"""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from jobs.cli import app
from muscaps.config import ExtractorConfig, ModelConfig
from muscaps.evaluation import caption_metrics
from muscaps.training.captioner_config import CaptionTrainingConfig
from muscaps.training.dataset.pairs import Pair
from muscaps.training.dataset.writer import DatasetWriter
from muscaps.training.tagger_config import TaggingConfig
from pipeline.paper import experiment
from pipeline.paper.experiment import run_experiment
from pipeline.paper.plan import SYSTEMS, Cell, ExperimentConfig
from pipeline.threads import torch_threads
from tests.conftest import tones

WORDS = (("calm", "piano"), ("fast", "drums"), ("dark", "strings"))


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(caption_metrics, "find_java", lambda: None)
    with torch_threads(1):
        yield


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("experiment") / "dataset"
    writer, pairs = DatasetWriter(directory), []
    for index in range(40):
        mood, instrument = WORDS[index % 3]
        samples = (tones(6, seed=index % 3 + 100 * (index % 2)) * 20_000).astype(np.int16)
        split = "train" if index < 24 else "validation" if index < 32 else "test"
        writer.store(f"t{index}", audio=samples)
        pairs.append(
            Pair(
                track_id=f"t{index}",
                uri="",
                captions=(f"a {mood} {instrument} tune",),
                tags=(mood, instrument),
                split=split,
            )
        )
    writer.finish(pairs)
    return directory


def tiny_experiment(dataset: Path, output: Path) -> ExperimentConfig:
    return ExperimentConfig(
        dataset=dataset,
        output=output,
        seeds=(0,),
        musicnn_config=ExtractorConfig(num_channels=4, frontend_scale=0.05),
        ours_config=ExtractorConfig(num_channels=4, frontend_scale=0.05),
        hcnn_config=ExtractorConfig(name="hcnn", num_channels=2),
        pretraining=TaggingConfig(max_epochs=1, batch_size=8),
        training=CaptionTrainingConfig(max_epochs=2, learning_rate=1e-2, excerpt_seconds=3.0),
        model=ModelConfig(hidden_dim=8, audio_embedding_dim=8, word_embedding_dim=8, attention_dim=8),
        dcase_hidden_dim=4,
        beam_sizes=(1, 3),
        num_queries=4,
    )


def test_an_experiment_fills_every_table_and_a_relaunch_repeats_nothing(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny_experiment(dataset, tmp_path / "out")
    summary = run_experiment(config, on_ray=False)
    assert summary.failed == {}
    assert summary.done == 3 + 4 + 7
    report = summary.report.read_text()
    for system in SYSTEMS:
        result = json.loads((config.output / "cells" / f"{system}-0" / "result.json").read_text())
        assert len(result["validation_cider"]) == 2
        assert set(result["predictions"]) == {"1", "3"}
        assert len(result["track_ids"]) == 8
        assert not (config.output / "cells" / f"{system}-0" / "state").exists()
    for name in ("table_1_published", "table_2_published", "table_2_default", "table_3", "table_4", "decoding"):
        assert (config.output / f"{name}.md").read_text() in report
        assert (config.output / f"{name}.csv").stat().st_size > 0
    assert "![CIDEr" in report
    assert (config.output / "figure_4.png").stat().st_size > 10_000

    def refuse(*_: object) -> None:
        raise AssertionError("a cell was done twice")

    monkeypatch.setattr(experiment, "run_cell", refuse)
    again = run_experiment(config, on_ray=False)
    assert (again.done, again.failed) == (summary.done, {})
    with pytest.raises(ValueError, match=r"has another experiment .dcase_hidden_dim was"):
        run_experiment(replace(config, dcase_hidden_dim=5), on_ray=False)


def test_a_failed_cell_costs_only_what_needs_it(dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = replace(tiny_experiment(dataset, tmp_path / "out"), systems=("dcase", "musicnn", "late"), num_cpus=2)
    threads: list[int] = []
    real = experiment.run_cell

    def fail_late(config: ExperimentConfig, cell: Cell) -> None:
        threads.append(torch.get_num_threads())
        if cell.name == "extractor-musicnn":
            raise ValueError("no tags\nat all")
        real(config, cell)

    monkeypatch.setattr(experiment, "run_cell", fail_late)
    summary = run_experiment(config, on_ray=False)
    assert summary.failed == {
        "extractor-musicnn": "ValueError: no tags",
        "features-musicnn": "needs extractor-musicnn, which failed",
        "musicnn-0": "needs features-musicnn, which failed",
        "late-0": "needs features-musicnn, which failed",
    }
    assert set(threads) == {2}
    assert torch.get_num_threads() == 1
    assert "Not every seed is done: musicnn 0 of 1, late 0 of 1." in summary.report.read_text()
    assert "DCASE baseline, greedy" in summary.report.read_text()


@pytest.mark.slow
def test_cells_run_on_ray_and_a_cut_short_training_goes_on(dataset: Path, tmp_path: Path) -> None:
    import ray

    from pipeline.paper.cells import run_cell

    config = replace(tiny_experiment(dataset, tmp_path / "out"), systems=("dcase",), seeds=(0, 1), num_cpus=2)
    undisturbed = replace(config, output=tmp_path / "undisturbed")
    cells = [Cell(name="features-log_mel", kind="features", subject="log_mel")]
    cells += [Cell(name="dcase-0", kind="captioner", subject="dcase")]
    for cell in cells:
        run_cell(undisturbed, cell)
    summary = run_experiment(config)
    assert not ray.is_initialized()
    assert (summary.done, summary.failed) == (3, {})
    here, there = (
        json.loads((output / "cells" / "dcase-0" / "result.json").read_text())
        for output in (config.output, undisturbed.output)
    )
    assert here["validation_loss"] == pytest.approx(there["validation_loss"], rel=1e-5)
    assert here["predictions"] == there["predictions"]


@pytest.mark.slow
def test_the_baseline_is_trained_and_measured_by_the_same_commands(dataset: Path, tmp_path: Path) -> None:
    runner = CliRunner()
    out = tmp_path / "dcase"
    trained = runner.invoke(
        app,
        ["train", str(dataset), str(out), "--fusion", "dcase", "--hidden-dim", "4", "--max-epochs", "2", "--json"],
    )
    assert trained.exit_code == 0, trained.output
    measured = runner.invoke(app, ["evaluate", str(dataset), str(out / "best"), "--json"])
    assert measured.exit_code == 0, measured.output
    assert json.loads(measured.stdout)["num_captions"] == 8
    refused = runner.invoke(app, ["train", str(dataset), str(tmp_path / "x"), "--fusion", "dcase", "--scratch"])
    assert refused.exit_code == 2


def test_bad_arguments_of_the_command_are_refused_in_one_line(dataset: Path, tmp_path: Path) -> None:
    for arguments, complaint in (
        (["--scale", "huge"], "--scale must be paper, cpu or small"),
        (["--system", "rnn"], "systems must be among"),
        (["--ablation", "vgg"], "ablation must be"),
    ):
        result = CliRunner().invoke(app, ["experiment", str(dataset), str(tmp_path / "out"), *arguments])
        assert result.exit_code == 2, result.output
        assert complaint in result.stderr
    missing = CliRunner().invoke(app, ["experiment", str(tmp_path / "absent"), str(tmp_path / "out")])
    assert missing.exit_code == 2
    assert "no prepared dataset" in missing.stderr
