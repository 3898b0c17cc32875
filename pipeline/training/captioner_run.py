"""Training a captioner on Ray Train."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from muscaps.checkpoint import load_checkpoint
from muscaps.config import ModelConfig
from muscaps.training.captioner_config import CaptionTrainingConfig
from muscaps.training.captioner_objective import CaptionerTraining
from muscaps.training.dataset.feature_cache import FeatureCache, extractor_digest
from muscaps.training.dataset.reader import PreparedDataset
from muscaps.training.initial_captioner import grow_captioner, new_captioner
from muscaps.training.pretrained_extractor import load_any_extractor
from muscaps.vocabulary import load_glove
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
from pipeline.training.feature_extraction import cache_features
from pipeline.training.run_folder import RESULT, claim_output, record_result, replace_folder


@dataclass(frozen=True, kw_only=True)
class CaptionRun:
    """A captioner to be trained."""

    dataset: Path
    """Prepared dataset."""
    output: Path
    """Where `best/`, `last/` and the curve go."""
    config: CaptionTrainingConfig = CaptionTrainingConfig()  # noqa: RUF009  (frozen)
    """The training."""
    model: ModelConfig = ModelConfig()  # noqa: RUF009  (frozen)
    """The model; ignored when starting from a checkpoint, but for its dropout."""
    extractor: Path | None = None
    """Pre-trained extractor (or a captioner, for its extractor); None trains one from scratch."""
    start: Path | None = None
    """Captioner to fine-tune: its vocabulary grows, its old words keep their meaning."""
    glove: Path | None = None
    """Word vectors; None learns them from the training captions."""
    name: str = "muscaps"
    """Short name, the first part of the checkpoint's `model_id`."""

    def __post_init__(self) -> None:
        if self.start is not None and (self.extractor is not None or self.glove is not None):
            raise ValueError("start brings its own extractor and word vectors: leave out extractor and glove")
        if self.start is None and self.extractor is None and self.config.extractor_mode != "scratch":
            raise ValueError(f"extractor_mode={self.config.extractor_mode!r} needs an extractor to start from")
        if self.extractor is not None and self.config.extractor_mode == "scratch":
            raise ValueError("extractor_mode='scratch' starts from random weights: leave out extractor")
        if self.start is not None and self.config.extractor_mode == "scratch":
            raise ValueError("extractor_mode='scratch' makes no sense for a captioner that is fine-tuned")


def train_captioner(
    run: CaptionRun,
    hardware: Hardware = Hardware(),  # noqa: B008  (frozen)
    on_epoch: OnEpoch | None = None,
    on_features: Callable[[int, int], None] | None = None,
) -> Metrics:
    """Train a captioner; `output` ends with `best/`, `last/`, `curve.csv` and `curve.png`.

    Called again with the same arguments it goes on where it stopped, or, finished, does nothing.

    Args:
        run: What to train.
        hardware: What to train it on.
        on_epoch: Told every epoch's metrics, those of an interrupted run not again.
        on_features: Told of how many tracks, and of how many in all, the features are computed.

    Returns:
        The best epoch's metrics, with `epochs` the number trained.

    Raises:
        ValueError: Arguments that do not fit, or an output that holds another run.
    """
    dataset = PreparedDataset(run.dataset)
    source = run.start or run.extractor
    claim_output(run.output, run, dataset, hardware.num_workers)
    if (run.output / RESULT).exists():
        finished: Metrics = json.loads((run.output / RESULT).read_text(encoding="utf-8"))
        return finished
    with ray_session(hardware.address, num_cpus=hardware.num_cpus):
        if run.config.extractor_mode == "frozen" and source is not None:
            for version in range(run.config.disturbed_versions + 1):
                cache_features(dataset, source, version, on_features)
        result = fit(_caption_loop, run, run.output, hardware, on_epoch)
    with checkpoint_directory(result) as directory:
        for name in ("best", "last"):
            if (directory / name).exists():
                replace_folder(directory / name, run.output / name)
        history = json.loads((directory / "history.json").read_text(encoding="utf-8"))
    columns = ("train_loss", "validation_loss", "validation_cider", "learning_rate")
    write_curve(run.output, history, columns)
    best = history[history[-1]["best_epoch"] - 1]
    return record_result(run.output, {**best, "epochs": len(history)})


def _caption_loop(config: dict[str, Any]) -> None:
    """What each worker does to train a captioner."""

    run: CaptionRun = config["run"]
    device = set_up_worker(config)
    dataset = PreparedDataset(run.dataset)
    seed = run.config.seed
    start = load_checkpoint(run.start) if run.start else None
    if start is not None:
        model, vocabulary = grow_captioner(start, dataset, seed)
    else:
        vocabulary = dataset.vocabulary
        vectors = load_glove(run.glove, vocabulary, run.model.word_embedding_dim) if run.glove else None
        extractor = load_any_extractor(run.extractor) if run.extractor else None
        model = new_captioner(dataset, run.model, extractor=extractor, word_vectors=vectors, seed=seed)
    features, disturbed = None, []
    if run.config.extractor_mode == "frozen":
        digest = extractor_digest(model.feature_extractor)
        features, *disturbed = [
            FeatureCache(dataset, digest, version).read for version in range(run.config.disturbed_versions + 1)
        ]
    training = CaptionerTraining(
        dataset,
        model,
        vocabulary,
        run.config,
        features=features,
        disturbed=disturbed,
        device=device,
        tagger=start.tagger if start else None,
        sections=_kept_sections(start.card) if start else None,
    )
    resume_from_checkpoint(training)
    facts = {
        "extractor": extractor_digest(model.feature_extractor) if run.config.extractor_mode == "frozen" else None,
        "started_from": start.model_id if start else None,
        "word_vectors": "GloVe" if run.glove else "learned from the captions",
    }
    training.train(
        epoch_reporter(
            training, config["board"], lambda path: training.save_checkpoints(path, name=run.name, training=facts)
        )
    )


def _kept_sections(card: Mapping[str, Any]) -> dict[str, Any]:
    """Return the sections of a model card that hold for a captioner trained further."""
    return {name: card[name] for name in ("decoding", "evidence", "notices") if name in card}
