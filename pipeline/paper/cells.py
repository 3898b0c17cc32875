"""The work of a cell: pre-training an extractor, computing features, or training and decoding a system."""

import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from muscaps.audio import to_chunks
from muscaps.captioner import Captioner
from muscaps.config import PUBLISHED_DECODING, DecodingOptions, ModelConfig
from muscaps.evaluation.retrieval import retrieve
from muscaps.evaluation.split_evaluation import published_form, published_reference, split_features
from muscaps.inference import prepare_extractor
from muscaps.models.architectures import build_extractor
from muscaps.training.captioner_objective import CaptionerObjective
from muscaps.training.checkpoints import save_captioners
from muscaps.training.dataset.feature_cache import FeatureCache, extractor_digest
from muscaps.training.dataset.layout import Example
from muscaps.training.dataset.reader import PreparedDataset
from muscaps.training.initial_captioner import new_captioner
from muscaps.training.loop import TrainingLoop
from muscaps.training.pretrained_extractor import extractor_config_of, load_any_extractor
from muscaps.training.single_process import train_tagger
from pipeline.paper.cell_results import chosen_trial, is_done, read_result, result_path, write_json
from pipeline.paper.plan import SYSTEMS, Cell, ExperimentConfig, NetworkName, SystemName
from pipeline.paper.track_facts import TrackFacts


def run_cell(config: ExperimentConfig, cell: Cell) -> None:
    """Run a cell and write its result as the last step.

    Raises:
        ValueError: The input of the cell cannot be used, e.g. a dataset without tags.
    """
    if is_done(config, cell):  # a retry after the result was written
        return
    work: dict[str, Callable[[ExperimentConfig, Cell], Mapping[str, Any]]] = {
        "extractor": _extractor_cell,
        "features": _features_cell,
        "trial": _trial_cell,
        "captioner": _captioner_cell,
    }
    began = time.monotonic()
    result = work[cell.kind](config, cell)
    write_json(result_path(config, cell), {**result, "seconds": time.monotonic() - began})
    shutil.rmtree(result_path(config, cell).with_name("state"), ignore_errors=True)  # nothing is left to resume


def _extractor_directory(config: ExperimentConfig, network: NetworkName) -> Path:
    return config.given(network) or config.output / "extractors" / network / "extractor"


def _extractor_cell(config: ExperimentConfig, cell: Cell) -> Mapping[str, Any]:
    """Pre-train an audio network on the dataset's tags, or check the given one."""
    network: NetworkName = cell.subject  # type: ignore[assignment]  # of an extractor cell
    directory = _extractor_directory(config, network)
    if config.given(network) is not None:
        extractor = load_any_extractor(directory)
        return {"given": directory.name, "digest": extractor_digest(extractor)}
    scores = train_tagger(
        PreparedDataset(config.dataset),
        directory.parent,
        config.architecture_of(network),
        config.pretraining,
        name=f"{network}-tagger",
    )
    return {"mean_roc_auc": scores.mean_roc_auc, "mean_pr_auc": scores.mean_pr_auc, "tags": len(scores.roc_auc)}


def _network(config: ExperimentConfig, network: str) -> Any:
    if network == "log_mel":
        return build_extractor(config.log_mel).eval()
    return load_any_extractor(_extractor_directory(config, network))  # type: ignore[arg-type]


def _features_cell(config: ExperimentConfig, cell: Cell) -> Mapping[str, Any]:
    """Compute and cache the features of every track, in parts of which a repetition reads the finished ones."""
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

        parts = result_path(config, cell).with_name("state") / extractor_digest(extractor)
        cache.write(features_in_parts(dataset.examples, lambda e: features(np.asarray(dataset.audio(e))), parts))
    return {"tracks": len(dataset.examples), "digest": extractor_digest(extractor)}


TRACKS_PER_PART = 200


def features_in_parts(
    examples: Sequence[Example], compute: Callable[[Example], np.ndarray], directory: Path
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield the features of every example by index; those of finished parts are read from the directory."""
    directory.mkdir(parents=True, exist_ok=True)
    for start in range(0, len(examples), TRACKS_PER_PART):
        part, path = examples[start : start + TRACKS_PER_PART], directory / f"{start:06d}.npz"
        if not path.exists():
            partial = path.with_name(f".{path.name}")
            arrays: Any = {str(example.index): compute(example).astype("<f2") for example in part}
            np.savez(partial, **arrays)
            partial.replace(path)
        with np.load(path) as stored:
            yield from ((example.index, stored[str(example.index)]) for example in part)


def _model_config(config: ExperimentConfig, system: SystemName) -> ModelConfig:
    """Return the model configuration of a system; a given audio network determines its architecture."""
    network = config.extractor_of(system)
    if system == "dcase":
        return config.dcase_model
    assert network != "log_mel"
    architecture = config.architecture_of(network)
    directory = _extractor_directory(config, network)
    if directory.exists():  # also without pre-training: the same architecture with other weights
        architecture = extractor_config_of(directory)
    return replace(config.model, extractor=architecture, fusion=SYSTEMS[system].fusion)


def _trial_cell(config: ExperimentConfig, cell: Cell) -> Mapping[str, Any]:
    """Train a system with the first seed and one of several learning rates."""
    assert cell.learning_rate is not None
    return _train(config, cell, cell.learning_rate)


def _captioner_cell(config: ExperimentConfig, cell: Cell) -> Mapping[str, Any]:
    """Train a system with a seed, or take the trial of the chosen learning rate; decode the test split, and search."""
    system: SystemName = cell.subject  # type: ignore[assignment]
    source = cell
    if len(config.rates) == 1:
        training = _train(config, cell, config.rates[0])
    else:
        chosen = chosen_trial(config, system)
        assert chosen.learning_rate is not None
        if cell.seed == chosen.seed:
            source, training = chosen, read_result(config, chosen)
        else:
            training = _train(config, cell, chosen.learning_rate)
    directory = result_path(config, source).with_name("best")
    captioner = Captioner.load(directory, "cuda" if torch.cuda.is_available() else "cpu")
    return {**training, "model_id": captioner.model_id, **_decode(config, captioner, PreparedDataset(config.dataset))}


def _train(config: ExperimentConfig, cell: Cell, rate: float) -> dict[str, Any]:
    """Train a system, or resume its training; write the captioner below the cell and return how training went."""
    system: SystemName = cell.subject  # type: ignore[assignment]
    device = "cuda" if torch.cuda.is_available() else "cpu"
    objective = _captioner_objective(config, system, cell.seed, rate, PreparedDataset(config.dataset), device)
    loop = TrainingLoop(objective)
    directory = result_path(config, cell).parent
    loop.train_with_state(directory / "state")
    save_captioners(loop, directory, name=cell.name)
    counters = loop.counters
    return {
        "parameters": sum(p.numel() for p in objective.model.parameters() if p.requires_grad),
        "learning_rate": rate,
        "best_epoch": counters.best_epoch,
        "stopped_early": counters.stale_epochs >= config.training.patience,
        "training_seconds": counters.elapsed_s,
        "validation_cider": [row["validation_cider"] for row in counters.history],
        "validation_loss": [row["validation_loss"] for row in counters.history],
    }


def _captioner_objective(
    config: ExperimentConfig, system: SystemName, seed: int, rate: float, dataset: PreparedDataset, device: str
) -> CaptionerObjective:
    """Build the model and the training of a system."""
    from_scratch = system == "scratch"
    training_config = replace(
        config.training,
        seed=seed,
        learning_rate=rate,
        extractor_mode="scratch" if from_scratch else "frozen",
        max_epochs=(config.scratch_max_epochs if from_scratch else None) or config.training.max_epochs,
    )
    network = config.extractor_of(system)
    pretrained = _network(config, network) if SYSTEMS[system].pretrained else None
    model = new_captioner(dataset, _model_config(config, system), extractor=pretrained, seed=seed)
    features = None if from_scratch else FeatureCache(dataset, extractor_digest(model.feature_extractor)).read
    return CaptionerObjective(dataset, model, dataset.vocabulary, training_config, features=features, device=device)


def _decode(config: ExperimentConfig, captioner: Captioner, dataset: PreparedDataset) -> dict[str, Any]:
    """Caption the test split under both conventions, and rank its tracks, and the real ones, for sampled queries."""
    examples = dataset.split("test")
    if not examples:
        raise ValueError(f"{dataset.directory}: the test split is empty")
    tracks = split_features(captioner, dataset, examples)
    references = [example.captions for example in examples]
    track_ids = [example.track_id for example in examples]
    predictions = {}
    for size in config.beam_sizes:
        options = DecodingOptions(beam_size=size, max_words=config.max_words)
        published = captioner.caption_features(tracks, replace(options, **PUBLISHED_DECODING))
        predictions[str(size)] = {
            "default": [caption.text for caption in captioner.caption_features(tracks, options)],
            "published": [published_form(caption, config.max_words) for caption in published],
        }
    subsets = TrackFacts(config.facts).subsets(track_ids)
    return {
        "track_ids": track_ids,
        "references": {
            "default": [list(texts) for texts in references],
            "published": [[published_reference(text, captioner.vocabulary) for text in texts] for texts in references],
        },
        "predictions": predictions,
        "retrieval": {
            name: asdict(
                retrieve(
                    captioner, [tracks[i] for i in rows], [references[i] for i in rows], num_queries=config.num_queries
                )
            )
            for name, rows in subsets.items()
        },
    }
