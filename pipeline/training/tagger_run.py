"""Training a tagger on Ray Train."""

import csv
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from muscaps.checkpoint import load_extractor
from muscaps.config import ExtractorConfig
from muscaps.training.dataset.reader import PreparedDataset
from muscaps.training.tagger_config import TaggingConfig
from muscaps.training.tagger_objective import TaggerTraining
from pipeline.cluster.session import ray_session
from pipeline.training.curve import write_curve
from pipeline.training.distributed import (
    Hardware,
    Metrics,
    OnEpoch,
    checkpoint_directory,
    epoch_reporter,
    fit,
    resume_from_checkpoint,
    set_up_worker,
)
from pipeline.training.run_folder import RESULT, claim_output, record_result, replace_folder


@dataclass(frozen=True, kw_only=True)
class TaggerRun:
    """A tagging network to be trained."""

    dataset: Path
    """Prepared dataset with audio and tags."""
    output: Path
    """Where `extractor/`, the scores and the curve go."""
    config: TaggingConfig = TaggingConfig()  # noqa: RUF009  (frozen)
    """The training."""
    extractor: ExtractorConfig = ExtractorConfig()  # noqa: RUF009  (frozen)
    """The network."""
    name: str = "muscaps-tagger"
    """Short name, the first part of the extractor's `model_id`."""


def train_tagger(
    run: TaggerRun,
    hardware: Hardware = Hardware(),  # noqa: B008  (frozen)
    on_epoch: OnEpoch | None = None,
) -> Metrics:
    """Train a tagger; `output` ends with `extractor/`, `tags.csv`, `curve.csv` and `curve.png`.

    Called again with the same arguments it goes on where it stopped, or, finished, does nothing.

    Args:
        run: What to train.
        hardware: What to train it on.
        on_epoch: Told every epoch's metrics.

    Returns:
        The last epoch's metrics, with `roc_auc` and `pr_auc` by tag.

    Raises:
        ValueError: Arguments that do not fit, or an output that holds another run.
    """

    dataset = PreparedDataset(run.dataset)
    claim_output(run.output, run, dataset, hardware.num_workers)
    if (run.output / RESULT).exists():
        finished: Metrics = json.loads((run.output / RESULT).read_text(encoding="utf-8"))
        return finished
    with ray_session(hardware.address, num_cpus=hardware.num_cpus):
        result = fit(_tagger_loop, run, run.output, hardware, on_epoch)
    with checkpoint_directory(result) as directory:
        replace_folder(directory / "extractor", run.output / "extractor")
        history = json.loads((directory / "history.json").read_text(encoding="utf-8"))
    columns = ("loss", "validation_roc_auc", "validation_pr_auc", "learning_rate")
    write_curve(run.output, history, columns)
    metrics: dict[str, Any] = load_extractor(run.output / "extractor")[2]["metrics"]
    with (run.output / "tags.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["tag", "roc_auc", "pr_auc"])
        writer.writerows([tag, metrics["roc_auc"][tag], metrics["pr_auc"][tag]] for tag in metrics["roc_auc"])
    return record_result(run.output, {**history[-1], "roc_auc": metrics["roc_auc"], "pr_auc": metrics["pr_auc"]})


def _tagger_loop(config: dict[str, Any]) -> None:
    """What each worker does to train a tagger."""

    run: TaggerRun = config["run"]
    device = set_up_worker(config)
    training = TaggerTraining(PreparedDataset(run.dataset), run.extractor, run.config, device=device)
    resume_from_checkpoint(training)

    def save_models(directory: Path) -> None:
        assert training.latest is not None
        training.save_extractor(directory / "extractor", training.latest, name=run.name)

    training.train(epoch_reporter(training, config["board"], save_models))
