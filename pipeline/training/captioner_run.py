"""Training of a captioner on Ray Train: features are cached first, then data-parallel workers train."""

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from muscaps.checkpoint import load_checkpoint
from muscaps.config import ModelConfig
from muscaps.models.caption_model import CaptionNetwork
from muscaps.training.captioner_config import CaptionTrainingConfig
from muscaps.training.captioner_objective import CaptionerObjective
from muscaps.training.checkpoints import save_captioners
from muscaps.training.dataset.feature_cache import FeatureCache, extractor_digest
from muscaps.training.dataset.folds import Fold, in_fold
from muscaps.training.dataset.reader import PreparedDataset
from muscaps.training.initial_captioner import grow_captioner, new_captioner
from muscaps.training.loop import Metrics, TrainingLoop
from muscaps.training.pretrained_extractor import load_any_extractor
from muscaps.training.replay import with_replay
from muscaps.vocabulary import Vocabulary, load_glove
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
from pipeline.training.feature_extraction import OnProgress, cache_features
from pipeline.training.fine_tuning import (
    comparison_section,
    finish_fine_tuning,
    kept_sections,
    read_replay,
    read_tested,
    replace_comparison,
    write_replay,
)
from pipeline.training.run_folder import claim_output, read_result, record_result, replace_folder

CURVE_COLUMNS = ("train_loss", "validation_loss", "validation_cider", "learning_rate")


@dataclass(frozen=True, kw_only=True)
class CaptionRun:
    """Settings of the training of a captioner."""

    dataset: Path
    """Prepared dataset."""
    output: Path
    """Folder of `best/`, `last/` and the curve."""
    config: CaptionTrainingConfig = CaptionTrainingConfig()  # noqa: RUF009  (frozen)
    """Settings of the training loop."""
    model: ModelConfig = ModelConfig()  # noqa: RUF009  (frozen)
    """The model; ignored if `start` is given."""
    extractor: Path | None = None
    """Pre-trained extractor, or a captioner whose extractor is used; None to train from random weights."""
    start: Path | None = None
    """Captioner to fine-tune. New words are added to its vocabulary; known words keep their vectors."""
    glove: Path | None = None
    """Word vectors; None to learn them from the training captions."""
    blend: float | None = None
    """With `start`: share of the training in the weights of `best/`; None to choose it on the pairs."""
    replay: float = 0.5
    """With `start`: share of the tracks that are also trained with their caption before training."""
    folds: int | None = None
    """With `start`: also train and test on this many folds, so that every pair is tested; None for the test split."""
    fold: Fold | None = None
    """Divide the pairs as this fold does; None for the splits of the dataset."""
    name: str = "muscaps"
    """Short name, the first part of the checkpoint's `model_id`."""

    def __post_init__(self) -> None:
        if self.start is not None and (self.extractor is not None or self.glove is not None):
            raise ValueError("start has its own extractor and word vectors: leave out extractor and glove")
        if self.start is None and self.extractor is None and self.config.extractor_mode != "scratch":
            raise ValueError(f"extractor_mode={self.config.extractor_mode!r} needs an extractor to start from")
        if self.extractor is not None and self.config.extractor_mode == "scratch":
            raise ValueError("extractor_mode='scratch' starts from random weights: leave out extractor")
        if self.start is not None and self.config.extractor_mode == "scratch":
            raise ValueError("extractor_mode='scratch' cannot be combined with start")
        if self.start is None and (self.blend is not None or self.folds is not None):
            raise ValueError("blend and folds compare with a captioner to start from: give start")
        if self.blend is not None and not 0 < self.blend <= 1:
            raise ValueError(f"blend must lie in 0 to 1, not {self.blend}")
        if not 0 <= self.replay <= 1:
            raise ValueError(f"replay must lie in 0 to 1, not {self.replay}")
        if self.folds is not None:
            Fold(index=0, count=self.folds)

    def dataset_to_train_on(self) -> PreparedDataset:
        """Open the dataset, with the splits of the fold if there is one."""
        dataset = PreparedDataset(self.dataset)
        return dataset if self.fold is None else in_fold(dataset, self.fold)


def train_captioner(
    run: CaptionRun,
    hardware: Hardware = Hardware(),  # noqa: B008  (frozen)
    on_epoch: OnEpoch | None = None,
    on_features: OnProgress | None = None,
) -> Metrics:
    """Train a captioner and write `best/`, `last/`, `curve.csv` and `curve.png`.

    A second call with the same arguments resumes an interrupted training; after a finished one it does nothing.

    Args:
        run: Settings of the training.
        hardware: Workers and devices.
        on_epoch: Called with the metrics of every new epoch.
        on_features: Called with the number of tracks whose features are computed, and the total.

    Returns:
        The metrics of the best epoch, and `epochs`, the number of epochs.

    Raises:
        ValueError: The arguments are inconsistent, or the output has another training.
    """
    dataset = run.dataset_to_train_on()
    source = run.start or run.extractor
    claim_output(run.output, run, dataset, hardware.num_workers)
    finished = read_result(run.output)
    if finished is not None:
        return finished
    with ray_session(hardware.address, num_cpus=hardware.num_cpus):
        if run.config.extractor_mode == "frozen" and source is not None:
            for version in range(run.config.disturbed_versions + 1):
                cache_features(PreparedDataset(run.dataset), source, version, on_features)
        for index in range(run.folds or 0):
            fold = Fold(index=index, count=run.folds or 0, seed=run.config.seed)
            part = replace(run, output=run.output / "folds" / str(index + 1), folds=None, fold=fold)
            train_captioner(part, hardware, None if on_epoch is None else partial(_report_fold, on_epoch, index + 1))
        if run.start is not None:
            write_replay(dataset, run.start, run.output)
        result = fit(_train_in_worker, run, run.output, hardware, on_epoch)
    with last_checkpoint(result) as checkpoint:
        for name in ("best", "last"):
            if (checkpoint / name).exists():
                replace_folder(checkpoint / name, run.output / name)
        history = read_history(checkpoint)
    write_curve(run.output, history, CURVE_COLUMNS)
    best = history[history[-1]["best_epoch"] - 1]
    return record_result(run.output, {**best, "epochs": len(history), **_compared_with_start(run, dataset)})


def _report_fold(on_epoch: OnEpoch, fold: int, metrics: Metrics) -> None:
    """Report an epoch with the number of its fold, from 1."""
    on_epoch({**metrics, "fold": fold})


def _compared_with_start(run: CaptionRun, dataset: PreparedDataset) -> Metrics:
    """Blend `best/` with the captioner it started from and compare both; nothing without one."""
    if run.start is None:
        return {}
    frozen = run.config.extractor_mode == "frozen"
    finish_fine_tuning(
        dataset, run.start, run.output, seed=run.config.seed, blend=run.blend, extractor_is_frozen=frozen
    )
    if run.folds is not None:
        parts = [run.output / "folds" / str(index + 1) for index in range(run.folds)]
        tested = [track for part in parts for track in read_tested(part)]
        card = load_checkpoint(run.output / "best").card
        section = comparison_section(tested, card["comparison"]["started_from"], run.folds)
        replace_comparison(run.output / "best", section)
    card = load_checkpoint(run.output / "best").card
    return {"blend": card["training"]["blend"], "comparison": card["comparison"]}


def _train_in_worker(config: dict[str, Any]) -> None:
    """Train a captioner in one worker process."""
    run: CaptionRun = config["run"]
    device = set_up_worker(config)
    dataset = run.dataset_to_train_on()
    start = load_checkpoint(run.start) if run.start else None
    model, vocabulary = grow_captioner(start, dataset, run.config.seed) if start else _fresh_captioner(run, dataset)
    features, augmented = None, []
    digest = extractor_digest(model.feature_extractor) if run.config.extractor_mode == "frozen" else None
    if digest is not None:
        versions = range(run.config.disturbed_versions + 1)
        features, *augmented = [FeatureCache(dataset, digest, version).read for version in versions]
    objective = CaptionerObjective(
        with_replay(dataset, read_replay(run.output), run.replay) if start else dataset,
        model,
        vocabulary,
        run.config,
        features=features,
        augmented=augmented,
        device=device,
    )
    loop = TrainingLoop(objective)
    facts = {
        "extractor": digest,
        "started_from": start.model_id if start else None,
        "word_vectors": "GloVe" if run.glove else "learned from the captions",
    }
    own_captions = (text for example in dataset.split("train") for text in example.captions)
    tagger, sections = (start.tagger, kept_sections(start.card, own_captions)) if start else (None, None)

    def save_models(directory: Path) -> None:
        save_captioners(loop, directory, name=run.name, training=facts, tagger=tagger, sections=sections)

    train_in_worker(loop, config, save_models)


def _fresh_captioner(run: CaptionRun, dataset: PreparedDataset) -> tuple[CaptionNetwork, Vocabulary]:
    """Return a captioner with initial weights (those of the extractor may be pre-trained) and its vocabulary."""
    vocabulary = dataset.vocabulary
    vectors = load_glove(run.glove, vocabulary, run.model.word_embedding_dim) if run.glove else None
    extractor = load_any_extractor(run.extractor) if run.extractor else None
    model = new_captioner(dataset, run.model, extractor=extractor, word_vectors=vectors, seed=run.config.seed)
    return model, vocabulary
