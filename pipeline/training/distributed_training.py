"""Ray Train around captioner and tagger training: workers, checkpoints, resuming, progress.

Every epoch's end is a checkpoint in `OUTPUT/ray`: the state to go on from and, for captioners, the best and the
last model. A worker that dies is replaced and the group goes on from the last checkpoint; so does a new call
after the driver died. On a cluster, OUTPUT and the dataset must be paths that every machine sees.
"""

import csv
import json
import logging
import math
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, wait
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from muscaps.config import ExtractorConfig, ModelConfig
from muscaps.training.captioner_training import CaptionTrainingConfig
from muscaps.training.dataset import FeatureCache, PreparedDataset, extractor_digest
from muscaps.training.tagging import TaggingConfig
from pipeline.cluster.embedded_ray import cluster_size, ray_session
from pipeline.output.claims import claim

if TYPE_CHECKING:
    from ray.train import Result

logger = logging.getLogger(__name__)

MAX_FAILURES = 3
"""Times a run goes on after losing workers."""
_TITLES = {"roc_auc": "ROC-AUC", "pr_auc": "PR-AUC", "cider": "CIDEr"}
RECORD, RESULT, CURVE_CSV, CURVE_PNG = "training.json", "result.json", "curve.csv", "curve.png"

Metrics = Mapping[str, Any]
OnEpoch = Callable[[Metrics], None]


@dataclass(frozen=True, kw_only=True)
class Hardware:
    """What a training runs on."""

    num_workers: int = 1
    """Data-parallel processes."""
    use_gpu: bool = False
    """One GPU each (nccl); else CPUs (gloo)."""
    threads: int | None = None
    """CPU threads of each; None shares out what there is."""
    address: str | None = None
    """Ray cluster; None starts Ray here."""
    num_cpus: int | None = None
    """CPUs of a Ray started here."""

    def __post_init__(self) -> None:
        if self.num_workers < 1:
            raise ValueError(f"num_workers must be at least 1, not {self.num_workers}")
        if self.threads is not None and self.threads < 1:
            raise ValueError(f"threads must be at least 1, not {self.threads}")


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


def train_captioner(
    run: CaptionRun,
    hardware: Hardware = Hardware(),
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
    _claim(run, dataset, hardware.num_workers)
    if (run.output / RESULT).exists():
        finished: Metrics = json.loads((run.output / RESULT).read_text(encoding="utf-8"))
        return finished
    with ray_session(hardware.address, num_cpus=hardware.num_cpus):
        if run.config.extractor_mode == "frozen" and source is not None:
            from pipeline.training.dataset_preparation import cache_features

            for version in range(run.config.disturbed_versions + 1):
                cache_features(dataset, source, version, on_features)
        result = _fit(_caption_loop, run, run.output, hardware, on_epoch)
    with _checkpoint_directory(result) as directory:
        for name in ("best", "last"):
            if (directory / name).exists():
                _replace_tree(directory / name, run.output / name)
        history = json.loads((directory / "history.json").read_text(encoding="utf-8"))
    columns = ("train_loss", "validation_loss", "validation_cider", "learning_rate")
    write_curve(run.output, history, columns)
    best = history[history[-1]["best_epoch"] - 1]
    return _finish(run.output, {**best, "epochs": len(history)})


def train_tagger(run: TaggerRun, hardware: Hardware = Hardware(), on_epoch: OnEpoch | None = None) -> Metrics:
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
    from muscaps.checkpoint import load_extractor

    dataset = PreparedDataset(run.dataset)
    _claim(run, dataset, hardware.num_workers)
    if (run.output / RESULT).exists():
        finished: Metrics = json.loads((run.output / RESULT).read_text(encoding="utf-8"))
        return finished
    with ray_session(hardware.address, num_cpus=hardware.num_cpus):
        result = _fit(_tagger_loop, run, run.output, hardware, on_epoch)
    with _checkpoint_directory(result) as directory:
        _replace_tree(directory / "extractor", run.output / "extractor")
        history = json.loads((directory / "history.json").read_text(encoding="utf-8"))
    columns = ("loss", "validation_roc_auc", "validation_pr_auc", "learning_rate")
    write_curve(run.output, history, columns)
    metrics: dict[str, Any] = load_extractor(run.output / "extractor")[2]["metrics"]
    with (run.output / "tags.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["tag", "roc_auc", "pr_auc"])
        writer.writerows([tag, metrics["roc_auc"][tag], metrics["pr_auc"][tag]] for tag in metrics["roc_auc"])
    return _finish(run.output, {**history[-1], "roc_auc": metrics["roc_auc"], "pr_auc": metrics["pr_auc"]})


def _finish(output: Path, metrics: Metrics) -> Metrics:
    """Write down that a training is finished, so that the same call again need not start Ray."""
    beside = output / f".{RESULT}"
    beside.write_text(json.dumps(metrics, indent=2) + "\n", encoding="utf-8")
    beside.replace(output / RESULT)
    return metrics


def _claim(run: CaptionRun | TaggerRun, dataset: PreparedDataset, num_workers: int) -> None:
    """Write down what a folder's training is, or check that it is the same.

    Raises:
        ValueError: The folder holds a training with other settings, or other things.
    """
    output = run.output
    if not (output / RECORD).exists() and output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise ValueError(f"{output} exists and holds no training; name an empty or new folder")
    settings = {"run": asdict(run), "dataset": dataset.card["digest"], "num_workers": num_workers}
    claim(output, RECORD, "training", settings)


class _Board:
    """Where the first worker hangs out its metrics and the driver reads them."""

    def __init__(self) -> None:
        self._rows: list[dict[str, Any]] = []

    def put(self, row: dict[str, Any]) -> None:
        self._rows.append(row)

    def since(self, count: int) -> list[dict[str, Any]]:
        return self._rows[count:]


def _fit(
    loop: Callable[[dict[str, Any]], None],
    run: CaptionRun | TaggerRun,
    output: Path,
    hardware: Hardware,
    on_epoch: OnEpoch | None,
) -> "Result":
    """Run a loop on Ray Train's workers, from the last checkpoint if there is one."""
    import ray
    from ray.train import CheckpointConfig, FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer

    cpus, _ = cluster_size()
    if hardware.num_workers > cpus:
        raise ValueError(f"num_workers={hardware.num_workers} exceeds the {cpus} CPUs that Ray has")
    threads = hardware.threads or max(1, cpus // hardware.num_workers)
    board: Any = ray.remote(num_cpus=0)(_Board).remote()
    trainer = TorchTrainer(
        loop,
        train_loop_config={"run": run, "board": board, "threads": threads},
        scaling_config=ScalingConfig(
            num_workers=hardware.num_workers,
            use_gpu=hardware.use_gpu,
            resources_per_worker={"CPU": 1, **({"GPU": 1} if hardware.use_gpu else {})},
        ),
        run_config=RunConfig(
            name="ray",
            storage_path=str(output.resolve()),
            failure_config=FailureConfig(max_failures=MAX_FAILURES),
            checkpoint_config=CheckpointConfig(num_to_keep=1),
        ),
    )
    fitting: Future[Result] = Future()

    def fit() -> None:
        try:
            fitting.set_result(trainer.fit())
        except BaseException as error:
            fitting.set_exception(error)

    # In a thread of its own: in the main one Ray would take Ctrl-C for itself and end the process.
    threading.Thread(target=fit, daemon=True).start()
    seen = 0
    while True:
        ended = bool(wait([fitting], timeout=0.5).done)
        for row in _rows_since(board, seen):
            seen += 1
            if on_epoch is not None:
                on_epoch(row)
        if ended:
            return fitting.result()


def _rows_since(board: Any, seen: int) -> list[Metrics]:
    """What the board shows beyond the first `seen` rows; nothing if it does not answer."""
    import ray

    try:
        rows: list[Metrics] = ray.get(board.since.remote(seen), timeout=10)
    except ray.exceptions.RayError:  # busy, or the cluster is gone, and then fit() says why
        return []
    return rows


def _set_up(config: dict[str, Any]) -> str:
    """Prepare a worker process; return its device."""
    import torch
    from ray.train.torch import get_device

    logging.getLogger("muscaps").setLevel(logging.INFO)
    torch.set_num_threads(config["threads"])
    torch.use_deterministic_algorithms(True, warn_only=True)
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    return str(get_device())


def _resume(training: Any) -> None:
    import ray.train

    checkpoint = ray.train.get_checkpoint()
    if checkpoint is not None:
        with checkpoint.as_directory() as directory:
            training.resume(Path(directory) / "state")


def _report(
    training: Any, board: Any, save_models: Callable[[Path], None]
) -> Callable[[Metrics, Callable[[Path], None]], None]:
    """Make the function that a training calls after every epoch."""
    import ray.train

    def report(metrics: Metrics, save_state: Callable[[Path], None]) -> None:
        plain = {key: value for key, value in metrics.items() if isinstance(value, int | float)}
        if not training.workers.first:
            ray.train.report(plain)
            return
        with tempfile.TemporaryDirectory(prefix="muscaps-epoch-") as name:
            directory = Path(name)
            save_state(directory / "state")
            save_models(directory)
            (directory / "history.json").write_text(json.dumps(training.history), encoding="utf-8")
            ray.train.report(plain, checkpoint=ray.train.Checkpoint.from_directory(directory))
        board.put.remote(plain)

    return report


def _caption_loop(config: dict[str, Any]) -> None:
    """What each worker does to train a captioner."""
    from muscaps.checkpoint import load_checkpoint
    from muscaps.training.captioner_training import CaptionerTraining, grow_captioner, new_captioner
    from muscaps.vocabulary import load_glove
    from pipeline.training.dataset_preparation import load_any_extractor

    run: CaptionRun = config["run"]
    device = _set_up(config)
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
        dataset, model, vocabulary, run.config, features=features, disturbed=disturbed, device=device
    )
    _resume(training)
    facts = {
        "extractor": extractor_digest(model.feature_extractor) if run.config.extractor_mode == "frozen" else None,
        "started_from": start.model_id if start else None,
        "word_vectors": "GloVe" if run.glove else "learned from the captions",
    }
    training.train(
        _report(training, config["board"], lambda path: training.save_checkpoints(path, name=run.name, training=facts))
    )


def _tagger_loop(config: dict[str, Any]) -> None:
    """What each worker does to train a tagger."""
    from muscaps.training.tagging import TaggerTraining

    run: TaggerRun = config["run"]
    device = _set_up(config)
    training = TaggerTraining(PreparedDataset(run.dataset), run.extractor, run.config, device=device)
    _resume(training)

    def save_models(directory: Path) -> None:
        assert training.latest is not None
        training.save_extractor(directory / "extractor", training.latest, name=run.name)

    training.train(_report(training, config["board"], save_models))


def _checkpoint_directory(result: "Result") -> Any:
    """A context with the last checkpoint's content."""
    if result.checkpoint is None:
        raise RuntimeError("the training ended without a checkpoint")
    return _AsPath(result.checkpoint)


class _AsPath:
    def __init__(self, checkpoint: Any) -> None:
        self._context = checkpoint.as_directory()

    def __enter__(self) -> Path:
        return Path(self._context.__enter__())

    def __exit__(self, *error: object) -> None:
        self._context.__exit__(*error)


def _replace_tree(source: Path, target: Path) -> None:
    """Put a copy of a folder in place whole."""
    beside = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    shutil.copytree(source, beside / "new")
    if target.exists():
        os.replace(target, beside / "old")
    os.replace(beside / "new", target)
    shutil.rmtree(beside)


def write_curve(output: Path, history: Sequence[Metrics], columns: Sequence[str]) -> None:
    """Write an epoch a line to `curve.csv`, and draw `curve.png` where matplotlib is installed."""
    names = list(dict.fromkeys(["epoch", *columns, *(history[0] if history else ())]))
    with (output / CURVE_CSV).open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, names, restval="")
        writer.writeheader()
        writer.writerows(history)
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        logger.info("no %s: drawing it needs matplotlib, in the extra `evaluate`", CURVE_PNG)
        return
    figure = Figure(figsize=(9, 3), layout="constrained")
    FigureCanvasAgg(figure)
    groups: dict[str, list[str]] = {}
    for name in columns:
        groups.setdefault("loss" if name.endswith("loss") else name.removeprefix("validation_"), []).append(name)
    axes = figure.subplots(1, len(groups), squeeze=False)[0]
    epochs = [row["epoch"] for row in history]
    for axis, (title, members) in zip(axes, groups.items(), strict=True):
        for name in members:
            values = [row.get(name, math.nan) for row in history]
            axis.plot(epochs, values, marker="." if len(epochs) < 30 else "", label=name.replace("_", " "))
        axis.set(title=_TITLES.get(title, title.replace("_", " ")), xlabel="epoch")
        axis.xaxis.get_major_locator().set_params(integer=True)
        axis.ticklabel_format(axis="y", scilimits=(-3, 4))
        axis.grid(alpha=0.3)
        if len(members) > 1:
            axis.legend()
    figure.savefig(output / CURVE_PNG, dpi=120)
