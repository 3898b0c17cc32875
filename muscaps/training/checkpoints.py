"""Writing the checkpoints of a training: `last` and `best` captioner, or extractor and head of a tagger."""

import math
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch import Tensor

from muscaps.checkpoint import learned_weights, save_checkpoint, save_extractor
from muscaps.config import TRAINED_DECODING
from muscaps.evaluation.tag_metrics import TaggingScores
from muscaps.models.architectures import build_extractor
from muscaps.tagger import TagHeads
from muscaps.training.captioner_objective import CaptionerObjective
from muscaps.training.loop import TrainingLoop
from muscaps.training.tagger_objective import TaggerObjective

CAPTIONER_METRICS = ("train_loss", "validation_loss", "validation_cider")


def save_captioners(
    loop: TrainingLoop[CaptionerObjective],
    directory: Path,
    *,
    name: str,
    training: Mapping[str, Any] | None = None,
    tagger: TagHeads | None = None,
    sections: Mapping[str, Any] | None = None,
) -> None:
    """Write the captioners `last` and `best` into a directory.

    Args:
        loop: The training; its model is unchanged afterwards.
        directory: Directory of both checkpoints.
        name: Short name, the first part of their `model_id`.
        training: Further facts about the training for their model cards.
        tagger: Tag heads to store with them; left out if the extractor is trained, because they need its old features.
        sections: Further sections of their model cards, see `save_checkpoint`.
    """
    objective, counters = loop.objective, loop.counters
    kept = {
        "tagger": tagger if objective.config.extractor_mode == "frozen" else None,
        "sections": {"decoding": dict(TRAINED_DECODING), **(sections or {})},
    }
    current = {key: value.detach().cpu().clone() for key, value in objective.weights().items()}
    _save_captioner(loop, directory / "last", name, training, counters.epoch, kept)
    if loop.best_weights is not None:
        objective.load_weights(loop.best_weights)
        _save_captioner(loop, directory / "best", name, training, counters.best_epoch, kept)
        objective.load_weights(current)


def _save_captioner(
    loop: TrainingLoop[CaptionerObjective],
    directory: Path,
    name: str,
    training: Mapping[str, Any] | None,
    epoch: int,
    kept: Mapping[str, Any],
) -> None:
    objective, history = loop.objective, loop.counters.history
    row = history[epoch - 1] if 0 < epoch <= len(history) else {}
    facts = {
        "dataset_digest": objective.dataset.card.get("digest"),
        "pairs": len(objective.train_examples),
        "epoch": epoch,
        "config": asdict(objective.config),
        "num_workers": objective.workers.size,
        **(training or {}),
    }
    metrics = {key: row[key] for key in CAPTIONER_METRICS if math.isfinite(row.get(key, math.nan))}
    departures = ["dropout masks are drawn per example, so that they do not depend on the number of workers"]
    if objective.config.extractor_mode == "scratch":
        departures.append("musicnn takes the maximum over frequency before batch normalisation while training")
    save_checkpoint(
        directory,
        objective.model,
        objective.vocabulary,
        name=name,
        training=facts,
        metrics=metrics,
        departures=departures,
        **kept,
    )


def save_tagger(loop: TrainingLoop[TaggerObjective], directory: Path, scores: TaggingScores, *, name: str) -> str:
    """Write a tagger's averaged extractor and head as an extractor checkpoint.

    Args:
        loop: The training.
        directory: Directory of the checkpoint.
        scores: Validation scores of the tagger.
        name: Short name, the first part of the `model_id`.

    Returns:
        The `model_id`.
    """
    objective, counters = loop.objective, loop.counters
    extractor = build_extractor(objective.extractor_config)
    extractor.load_state_dict(objective.average.extractor.state_dict())
    training = {
        "dataset_digest": objective.dataset.card.get("digest"),
        "clips": len(objective.train_examples),
        "epochs": counters.epoch,
        "steps": counters.steps,
        "chunks_seen": counters.steps * objective.config.batch_size,
        "seconds": round(counters.elapsed_s, 1),
        "config": asdict(objective.config),
    }
    metrics = {
        "validation_clips": scores.clips,
        "mean_roc_auc": scores.mean_roc_auc,
        "mean_pr_auc": scores.mean_pr_auc,
        "roc_auc": scores.roc_auc,
        "pr_auc": scores.pr_auc,
    }
    head: dict[str, Tensor] = learned_weights(objective.average.head)
    return save_extractor(
        directory,
        extractor,
        objective.extractor_config,
        name=name,
        training=training,
        metrics=metrics,
        head=head,
        tags=objective.tags,
    )
