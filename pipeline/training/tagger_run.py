"""Training of a tagger on Ray Train."""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from muscaps.checkpoint import load_extractor
from muscaps.config import ExtractorConfig
from muscaps.training.checkpoints import save_tagger
from muscaps.training.dataset.reader import PreparedDataset
from muscaps.training.loop import Metrics, TrainingLoop
from muscaps.training.tagger_config import TaggingConfig
from muscaps.training.tagger_objective import TaggerObjective
from pipeline.cluster.session import ray_session
from pipeline.training.curve import write_curve
from pipeline.training.distributed import (
    Hardware,
    OnEpoch,
    fit,
    last_checkpoint,
    read_history,
    set_up_worker,
    train_in_worker,
)
from pipeline.training.run_folder import claim_output, read_result, record_result, replace_folder

CURVE_COLUMNS = ("train_loss", "validation_roc_auc", "validation_pr_auc", "learning_rate")


@dataclass(frozen=True, kw_only=True)
class TaggerRun:
    """Settings of the training of a tagger."""

    dataset: Path
    """Prepared dataset with audio and tags."""
    output: Path
    """Folder of `extractor/`, the scores and the curve."""
    config: TaggingConfig = TaggingConfig()  # noqa: RUF009  (frozen)
    """Settings of the training loop."""
    extractor: ExtractorConfig = ExtractorConfig()  # noqa: RUF009  (frozen)
    """The network."""
    name: str = "muscaps-tagger"
    """Short name, the first part of the extractor's `model_id`."""


def train_tagger(
    run: TaggerRun,
    hardware: Hardware = Hardware(),  # noqa: B008  (frozen)
    on_epoch: OnEpoch | None = None,
) -> Metrics:
    """Train a tagger and write `extractor/`, `tags.csv`, `curve.csv` and `curve.png`.

    A second call with the same arguments resumes an interrupted training; after a finished one it does nothing.

    Args:
        run: Settings of the training.
        hardware: Workers and devices.
        on_epoch: Called with the metrics of every new epoch.

    Returns:
        The metrics of the last epoch, with `roc_auc` and `pr_auc` by tag.

    Raises:
        ValueError: The arguments are inconsistent, or the output has another training.
    """
    dataset = PreparedDataset(run.dataset)
    claim_output(run.output, run, dataset, hardware.num_workers)
    finished = read_result(run.output)
    if finished is not None:
        return finished
    with ray_session(hardware.address, num_cpus=hardware.num_cpus):
        result = fit(_train_in_worker, run, run.output, hardware, on_epoch)
    with last_checkpoint(result) as checkpoint:
        replace_folder(checkpoint / "extractor", run.output / "extractor")
        history = read_history(checkpoint)
    write_curve(run.output, history, CURVE_COLUMNS)
    metrics: dict[str, Any] = load_extractor(run.output / "extractor")[2]["metrics"]
    _write_tags(run.output / "tags.csv", metrics)
    return record_result(run.output, {**history[-1], "roc_auc": metrics["roc_auc"], "pr_auc": metrics["pr_auc"]})


def _write_tags(path: Path, metrics: Mapping[str, Any]) -> None:
    """Write the scores of every tag as CSV."""
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["tag", "roc_auc", "pr_auc"])
        writer.writerows([tag, metrics["roc_auc"][tag], metrics["pr_auc"][tag]] for tag in metrics["roc_auc"])


def _train_in_worker(config: dict[str, Any]) -> None:
    """Train a tagger in one worker process."""
    run: TaggerRun = config["run"]
    device = set_up_worker(config)
    loop = TrainingLoop(TaggerObjective(PreparedDataset(run.dataset), run.extractor, run.config, device=device))

    def save_models(directory: Path) -> None:
        assert loop.objective.latest is not None
        save_tagger(loop, directory / "extractor", loop.objective.latest, name=run.name)

    train_in_worker(loop, config, save_models)
