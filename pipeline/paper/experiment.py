"""The paper's experiments on a team's own dataset: Tables I to IV and Fig. 4 (section IV), in resumable cells.

A *cell* is one piece of work with a result on disk: an extractor pre-trained, features computed, or one system
trained with one seed and decoded. Cells that are done are never done again; the others run side by side on
Ray as far as there is room. Captions are scored here, by one METEOR process, under both conventions.

OUTPUT holds `extractors/`, `cells/<system>-<seed>/` (checkpoint and `result.json`), `scores/` and, from
`pipeline.paper.experiment_tables`, the tables and the figure. On a cluster every machine must see OUTPUT and DATASET.
"""

import json
import logging
import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from muscaps.config import LOG_MEL, ExtractorConfig, FusionName, ModelConfig
from muscaps.evaluation.metrics import CaptionScorer, ConventionName, decoding_statistics
from muscaps.training.captioner_training import CaptionTrainingConfig
from muscaps.training.dataset import FeatureCache, PreparedDataset, extractor_digest
from muscaps.training.tagging import TaggingConfig
from pipeline.output.claims import claim

logger = logging.getLogger(__name__)

SystemName = Literal["dcase", "musicnn", "hcnn", "scratch", "late", "attention"]
CONVENTIONS: tuple[ConventionName, ...] = ("default", "published")
RESULT, SETTINGS, SECONDS = "result.json", "experiment.json", "seconds.json"


@dataclass(frozen=True, kw_only=True)
class System:
    """A row of the paper's tables."""

    label: str
    """Its name in the tables."""
    fusion: FusionName
    """Where audio meets words."""
    extractor: Literal["musicnn", "hcnn", "log_mel", "ablation"]
    """The audio network; `ablation` is the one the ablation study uses throughout."""
    pretrained: bool
    """Whether the audio network was trained on tags and is frozen."""
    beam_size: int
    """The paper's beam for this system (Table II)."""


SYSTEMS: dict[SystemName, System] = {
    "dcase": System(label="DCASE baseline", fusion="dcase", extractor="log_mel", pretrained=False, beam_size=3),
    "musicnn": System(label="MusCaps-Musicnn", fusion="early", extractor="musicnn", pretrained=True, beam_size=5),
    "hcnn": System(label="MusCaps-HCNN", fusion="early", extractor="hcnn", pretrained=True, beam_size=5),
    "scratch": System(label="w/o pre-training", fusion="early", extractor="ablation", pretrained=False, beam_size=5),
    "late": System(label="late fusion", fusion="late", extractor="ablation", pretrained=True, beam_size=3),
    "attention": System(label="attention", fusion="attention", extractor="ablation", pretrained=True, beam_size=3),
}


@dataclass(frozen=True, kw_only=True)
class ExperimentConfig:
    """The paper's study at some scale; defaults are the paper's."""

    dataset: Path
    """Prepared dataset with audio; with tags too where an extractor is to be pre-trained on it."""
    output: Path
    """Where cells, tables and figure go."""
    musicnn: Path | None = None
    """Pre-trained musicnn, as an extractor or captioner checkpoint; None pre-trains one on the dataset's tags."""
    hcnn: Path | None = None
    """Pre-trained Harmonic CNN; None pre-trains one."""
    musicnn_config: ExtractorConfig = field(default_factory=ExtractorConfig)
    """The musicnn that is pre-trained here."""
    hcnn_config: ExtractorConfig = field(default_factory=lambda: ExtractorConfig(name="hcnn", num_channels=128))
    """The Harmonic CNN that is pre-trained here."""
    ablation: Literal["musicnn", "hcnn"] = "musicnn"
    """The audio network of Tables II and III."""
    systems: tuple[SystemName, ...] = tuple(SYSTEMS)
    """Systems to run."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Every system is trained once a seed (section IV-D)."""
    pretraining: TaggingConfig = field(default_factory=TaggingConfig)
    """How an extractor is pre-trained here."""
    training: CaptionTrainingConfig = field(default_factory=CaptionTrainingConfig)
    """How every captioner is trained; seed and extractor mode are set per system."""
    scratch_max_epochs: int | None = None
    """Fewer epochs for the system without pre-training, which trains its audio network; None for as many."""
    model: ModelConfig = field(default_factory=ModelConfig)
    """Widths of every MusCaps model; extractor, fusion and vocabulary are set per system."""
    dcase_hidden_dim: int = 256
    """Units of the baseline's GRUs."""
    num_queries: int = 100
    """Queries of Table III."""
    max_words: int = 22
    """Longest caption in words."""
    address: str | None = None
    """Ray cluster; None starts Ray here."""
    num_cpus: int | None = None
    """CPUs of a Ray started here; one cell runs on each."""

    def __post_init__(self) -> None:
        unknown = [name for name in self.systems if name not in SYSTEMS]
        if unknown or not self.systems:
            raise ValueError(f"systems must be among {', '.join(SYSTEMS)}, not {', '.join(unknown) or 'none at all'}")
        if not self.seeds or len(set(self.seeds)) != len(self.seeds):
            raise ValueError(f"seeds must be different numbers, at least one, not {self.seeds}")
        if self.ablation not in ("musicnn", "hcnn"):
            raise ValueError(f"ablation must be 'musicnn' or 'hcnn', not {self.ablation!r}")
        if self.musicnn_config.name != "musicnn" or self.hcnn_config.name != "hcnn":
            raise ValueError("musicnn_config and hcnn_config must name a musicnn and an hcnn")

    def extractor_of(self, system: SystemName) -> Literal["musicnn", "hcnn", "log_mel"]:
        """Return the audio network a system uses."""
        name = SYSTEMS[system].extractor
        return self.ablation if name == "ablation" else name


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A piece of work with a result on disk."""

    name: str
    """Unique: what is done, and with which seed."""
    kind: Literal["extractor", "features", "captioner"]
    """What is done."""
    subject: str
    """The audio network, or the system."""
    seed: int = 0
    """Of a captioner."""
    needs: tuple[str, ...] = ()
    """Cells that come first."""


@dataclass(frozen=True, kw_only=True)
class ExperimentSummary:
    """How an experiment went."""

    done: int
    """Cells done, now or before."""
    failed: dict[str, str] = field(default_factory=dict)
    """Cells that failed, and why."""
    seconds: float
    """Wall seconds of this call."""
    report: Path
    """The tables, as Markdown."""


def plan_cells(config: ExperimentConfig) -> list[Cell]:
    """List the experiment's cells, each after those it needs."""
    networks = {config.extractor_of(name) for name in config.systems if SYSTEMS[name].pretrained or name == "dcase"}
    cells = [
        Cell(name=f"extractor-{network}", kind="extractor", subject=network)
        for network in sorted(networks - {"log_mel"})
    ]
    cells += [
        Cell(
            name=f"features-{network}",
            kind="features",
            subject=network,
            needs=() if network == "log_mel" else (f"extractor-{network}",),
        )
        for network in sorted(networks)
    ]
    # Seed by seed, so that an experiment cut short has every row once rather than one row thrice; the slowest
    # cells of a seed first, so that they do not run alone at the end.
    slow_first = sorted(
        config.systems, key=lambda name: ("scratch", "dcase").index(name) if name in ("scratch", "dcase") else 2
    )
    for seed in config.seeds:
        cells += [
            Cell(
                name=f"{system}-{seed}",
                kind="captioner",
                subject=system,
                seed=seed,
                needs=() if system == "scratch" else (f"features-{config.extractor_of(system)}",),
            )
            for system in slow_first
        ]
    return cells


def run_experiment(config: ExperimentConfig, *, on_ray: bool = True) -> ExperimentSummary:
    """Do every cell that is not done, score the captions, and write tables and figure.

    Args:
        config: The experiment; the same OUTPUT must always be given the same one.
        on_ray: Run cells side by side; else one after the other in this process.

    Returns:
        What is done and what failed; a failed cell does not stop the others, and is tried again next time.

    Raises:
        ValueError: OUTPUT holds another experiment, or the dataset cannot serve.
    """
    from pipeline.paper.experiment_tables import write_report

    began = time.monotonic()
    dataset = PreparedDataset(config.dataset)
    if not dataset.has_audio:
        raise ValueError(f"{dataset.directory} holds no audio; prepare it with audio")
    _claim(config, dataset)
    cells = plan_cells(config)
    if on_ray:
        from pipeline.cluster.embedded_ray import ray_session

        with ray_session(config.address, num_cpus=config.num_cpus):
            failed = _run_on_ray(config, cells)
    else:
        failed = _run_in_turn(config, cells)
    score_cells(config)
    seconds = time.monotonic() - began
    _add_seconds(config.output, seconds)
    report = write_report(config)
    done = sum(_is_done(config, cell) for cell in cells)
    logger.info("experiment: %d of %d cells done in %.0f s", done, len(cells), seconds)
    return ExperimentSummary(done=done, failed=failed, seconds=seconds, report=report)


def _claim(config: ExperimentConfig, dataset: PreparedDataset) -> None:
    """Write down what OUTPUT holds, or check that it is the same experiment; seeds and systems may be added."""
    settings = asdict(config) | {"dataset_digest": dataset.card["digest"]}
    for name in ("output", "dataset", "systems", "seeds", "address", "num_cpus"):
        settings.pop(name)
    claim(config.output, SETTINGS, "experiment", settings)


def seconds_spent(output: Path) -> float:
    """Wall seconds of all calls that worked on an experiment."""
    path = output / SECONDS
    return float(json.loads(path.read_text(encoding="utf-8"))["seconds"]) if path.exists() else 0.0


def _add_seconds(output: Path, seconds: float) -> None:
    _write_json(output / SECONDS, {"seconds": seconds_spent(output) + seconds})


def _write_json(path: Path, document: Any) -> None:
    """Write a file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    beside.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    beside.replace(path)


def _result_path(config: ExperimentConfig, cell: Cell) -> Path:
    return config.output / "cells" / cell.name / RESULT


def _is_done(config: ExperimentConfig, cell: Cell) -> bool:
    return _result_path(config, cell).exists()


def _run_in_turn(config: ExperimentConfig, cells: Sequence[Cell]) -> dict[str, str]:
    failed: dict[str, str] = {}
    for cell in cells:
        if _is_done(config, cell):
            continue
        lost = [name for name in cell.needs if name in failed]
        if lost:
            failed[cell.name] = f"needs {lost[0]}, which failed"
            continue
        try:
            run_cell(config, cell)
        except Exception as error:  # one cell's failure must not cost the others
            failed[cell.name] = _reason(error)
            logger.error("cell %s failed: %s", cell.name, failed[cell.name])
    return failed


def _run_on_ray(config: ExperimentConfig, cells: Sequence[Cell]) -> dict[str, str]:
    """Start every cell as soon as what it needs is there; Ray holds back what there is no room for."""
    import ray

    gpus = ray.cluster_resources().get("GPU", 0)  # type: ignore[no-untyped-call]
    task = ray.remote(num_cpus=1, num_gpus=0.25 if gpus else 0, max_retries=2)(_run_cell_in_worker)
    waiting = [cell for cell in cells if not _is_done(config, cell)]
    done = {cell.name for cell in cells if _is_done(config, cell)}
    running: dict[Any, Cell] = {}
    failed: dict[str, str] = {}
    while waiting or running:
        for cell in list(waiting):
            lost = [name for name in cell.needs if name in failed]
            if lost:
                failed[cell.name] = f"needs {lost[0]}, which failed"
                waiting.remove(cell)
            elif done.issuperset(cell.needs):
                running[task.remote(config, cell)] = cell
                waiting.remove(cell)
        if not running:
            continue
        [ready], _ = ray.wait(list(running), num_returns=1)
        cell = running.pop(ready)
        try:
            logger.info("cell %s done in %.0f s", cell.name, ray.get(ready))
            done.add(cell.name)
        except Exception as error:  # whatever a cell died of, the others go on
            failed[cell.name] = _reason(error)
            logger.error("cell %s failed: %s", cell.name, failed[cell.name])
    return failed


def _reason(error: Exception) -> str:
    cause = getattr(error, "cause", None) or error
    return f"{type(cause).__name__}: {cause}".splitlines()[0]


def _run_cell_in_worker(config: ExperimentConfig, cell: Cell) -> float:
    import torch

    torch.set_num_threads(1)
    began = time.monotonic()
    run_cell(config, cell)
    return time.monotonic() - began


def run_cell(config: ExperimentConfig, cell: Cell) -> None:
    """Do one cell; its result appears last and whole.

    Raises:
        ValueError: What the cell works on cannot serve, e.g. a dataset without tags.
    """
    if _is_done(config, cell):  # a retry after the result was written
        return
    work: dict[str, Callable[[ExperimentConfig, Cell], Mapping[str, Any]]] = {
        "extractor": _extractor_cell,
        "features": _features_cell,
        "captioner": _captioner_cell,
    }
    began = time.monotonic()
    result = work[cell.kind](config, cell)
    _write_json(_result_path(config, cell), {**result, "seconds": time.monotonic() - began})
    for name in ("state", "state.partial"):  # what a cell cut short would have gone on from
        shutil.rmtree(_result_path(config, cell).with_name(name), ignore_errors=True)


def _extractor_directory(config: ExperimentConfig, network: str) -> Path:
    given = config.musicnn if network == "musicnn" else config.hcnn
    return given or config.output / "extractors" / network / "extractor"


def _extractor_cell(config: ExperimentConfig, cell: Cell) -> Mapping[str, Any]:
    """Pre-train an audio network on the dataset's tags, or check the one that was given."""
    from muscaps.training.tagging import train_tagger

    directory = _extractor_directory(config, cell.subject)
    if directory in (config.musicnn, config.hcnn):
        extractor = _load_extractor(directory)
        return {"given": directory.name, "digest": extractor_digest(extractor)}
    architecture = config.musicnn_config if cell.subject == "musicnn" else config.hcnn_config
    scores = train_tagger(
        PreparedDataset(config.dataset),
        directory.parent,
        architecture,
        config.pretraining,
        name=f"{cell.subject}-tagger",
    )
    return {"mean_roc_auc": scores.mean_roc_auc, "mean_pr_auc": scores.mean_pr_auc, "tags": len(scores.roc_auc)}


def _load_extractor(directory: Path) -> Any:
    from pipeline.training.dataset_preparation import load_any_extractor

    return load_any_extractor(directory)


def _network(config: ExperimentConfig, network: str) -> Any:
    from muscaps.models.architectures import build_extractor

    if network == "log_mel":
        return build_extractor(LOG_MEL).eval()
    return _load_extractor(_extractor_directory(config, network))


def _features_cell(config: ExperimentConfig, cell: Cell) -> Mapping[str, Any]:
    """Compute every track's features once."""
    import torch

    from muscaps.audio import to_chunks
    from muscaps.inference import prepare_extractor

    dataset = PreparedDataset(config.dataset)
    extractor = _network(config, cell.subject)
    cache = FeatureCache(dataset, extractor_digest(extractor))
    if not cache.complete:
        device = "cuda" if torch.cuda.is_available() else "cpu"
        fast = prepare_extractor(extractor).to(device)

        def features(samples: np.ndarray) -> np.ndarray:
            chunks = torch.from_numpy(np.array(to_chunks(samples, extractor.chunk_samples)))
            with torch.inference_mode():
                parts = [fast(part.to(device).float() / 32_768).cpu() for part in torch.split(chunks, 4)]
            return torch.cat(parts).numpy()

        cache.write((example.index, features(np.asarray(dataset.audio(example)))) for example in dataset.examples)
    return {"tracks": len(dataset.examples), "digest": extractor_digest(extractor)}


def _model_config(config: ExperimentConfig, system: SystemName) -> ModelConfig:
    """Return a system's model; a pre-trained audio network brings its own architecture."""
    from pipeline.training.dataset_preparation import extractor_config_of

    network = config.extractor_of(system)
    if system == "dcase":
        width = config.dcase_hidden_dim
        return replace(config.model, extractor=LOG_MEL, fusion="dcase", hidden_dim=width, audio_embedding_dim=width)
    architecture = config.musicnn_config if network == "musicnn" else config.hcnn_config
    directory = _extractor_directory(config, network)
    if directory.exists():  # also without pre-training: the same network, other weights
        architecture = extractor_config_of(directory)
    return replace(config.model, extractor=architecture, fusion=SYSTEMS[system].fusion)


def _captioner_cell(config: ExperimentConfig, cell: Cell) -> Mapping[str, Any]:
    """Train one system with one seed, then decode the test split greedily and by beam, and search it."""
    import torch

    from muscaps.captioner import Captioner
    from muscaps.training.captioner_training import CaptionerTraining, new_captioner

    system: SystemName = cell.subject  # type: ignore[assignment]
    dataset = PreparedDataset(config.dataset)
    from_scratch = system == "scratch"
    training_config = replace(
        config.training,
        seed=cell.seed,
        extractor_mode="scratch" if from_scratch else "frozen",
        max_epochs=(config.scratch_max_epochs if from_scratch else None) or config.training.max_epochs,
    )
    network = config.extractor_of(system)
    pretrained = _network(config, network) if SYSTEMS[system].pretrained else None
    model = new_captioner(dataset, _model_config(config, system), extractor=pretrained, seed=cell.seed)
    features = None if from_scratch else FeatureCache(dataset, extractor_digest(model.feature_extractor)).read
    device = "cuda" if torch.cuda.is_available() else "cpu"
    training = CaptionerTraining(dataset, model, dataset.vocabulary, training_config, features=features, device=device)
    directory = config.output / "cells" / cell.name
    state = directory / "state"
    if (state / "state.safetensors").exists():
        training.resume(state)

    def keep(metrics: Mapping[str, Any], save_state: Callable[[Path], None]) -> None:
        beside = directory / "state.partial"
        save_state(beside)
        state.mkdir(parents=True, exist_ok=True)
        (beside / "state.safetensors").replace(state / "state.safetensors")

    training.train(keep)
    training.save_checkpoints(directory, name=cell.name)
    captioner = Captioner.load(directory / "best", device)
    return {
        "model_id": captioner.model_id,
        "parameters": sum(p.numel() for p in model.parameters() if p.requires_grad),
        "best_epoch": training.best_epoch,
        "training_seconds": training.elapsed_s,
        "validation_cider": [row["validation_cider"] for row in training.history],
        "validation_loss": [row["validation_loss"] for row in training.history],
        **_decode(config, captioner, dataset, SYSTEMS[system].beam_size),
    }


def _decode(config: ExperimentConfig, captioner: Any, dataset: PreparedDataset, beam_size: int) -> dict[str, Any]:
    """Caption the test split greedily and with the paper's beam, and rank its tracks for sampled queries."""
    from muscaps.config import DecodingOptions
    from muscaps.evaluation import published_form, published_reference, retrieve, split_features

    examples = dataset.split("test")
    if not examples:
        raise ValueError(f"{dataset.directory}: the test split is empty")
    tracks = split_features(captioner, dataset, examples)
    references = [example.captions for example in examples]
    predictions = {}
    for size in (1, beam_size):
        captions = captioner.caption_features(tracks, DecodingOptions(beam_size=size, max_words=config.max_words))
        predictions[str(size)] = {
            "default": [caption.text for caption in captions],
            "published": [published_form(caption, config.max_words) for caption in captions],
        }
    return {
        "track_ids": [example.track_id for example in examples],
        "references": {
            "default": [list(texts) for texts in references],
            "published": [[published_reference(text, captioner.vocabulary) for text in texts] for texts in references],
        },
        "predictions": predictions,
        "retrieval": asdict(retrieve(captioner, tracks, references, num_queries=config.num_queries)),
    }


def captioner_cells(config: ExperimentConfig) -> dict[tuple[SystemName, int], dict[str, Any]]:
    """Read the results of the captioner cells that are done, by system and seed."""
    found = {}
    for cell in plan_cells(config):
        if cell.kind == "captioner" and _is_done(config, cell):
            result = json.loads(_result_path(config, cell).read_text(encoding="utf-8"))
            found[cell.subject, cell.seed] = result
    return found  # type: ignore[return-value]


def scores_path(config: ExperimentConfig, system: SystemName, seed: int) -> Path:
    """Return where a captioner cell's scores are kept."""
    return config.output / "scores" / f"{system}-{seed}.json"


def score_cells(config: ExperimentConfig) -> None:
    """Score the captions of every cell that has no scores yet, under both conventions, with one METEOR process."""
    known = [text for example in PreparedDataset(config.dataset).split("train") for text in example.captions]
    with CaptionScorer() as scorer:
        for (system, seed), result in captioner_cells(config).items():
            path = scores_path(config, system, seed)
            if path.exists():
                continue
            scores: dict[str, Any] = {}
            for beam_size, predictions in result["predictions"].items():
                scores[beam_size] = {
                    convention: asdict(
                        scorer.score(predictions[convention], result["references"][convention], convention=convention)
                    )["corpus"]
                    for convention in CONVENTIONS
                }
                statistics = decoding_statistics(predictions["published"], training_captions=known)
                scores[beam_size]["statistics"] = asdict(statistics)
            _write_json(path, scores)
