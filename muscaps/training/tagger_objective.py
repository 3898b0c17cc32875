"""Pre-training of an audio feature extractor as a music tagger (paper section III-B).

The paper takes extractors trained elsewhere (Won et al., paper [31]); here one is trained on clips with tags.
An extractor, a hidden layer and one output a tag are trained on random excerpts, augmented as `augmentation`
describes, with binary cross-entropy. Musicnn is fed from log-mels computed once per clip and runs rearranged
(`tall_convolution`); any other extractor is fed waveforms.

Departs from the published taggers: the head sees the maximum over time only, because the captioner does too;
the weights kept are a running average over steps; the input normalisation's statistics are measured once.
"""

import json
import logging
import math
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F

from muscaps.checkpoint import learned_weights, save_extractor
from muscaps.config import ExtractorConfig
from muscaps.evaluation.tag_metrics import TaggingScores, score_tags
from muscaps.inference.tall_convolution import fix_input_statistics, keep_scales_positive
from muscaps.models.architectures import build_extractor
from muscaps.models.musicnn import Musicnn
from muscaps.training.data_parallel import Workers, share_batch_norms
from muscaps.training.dataset.layout import Example
from muscaps.training.dataset.pairs import DatasetError
from muscaps.training.dataset.reader import PreparedDataset
from muscaps.training.loop import Reporter
from muscaps.training.schedules import warmup_cosine
from muscaps.training.tagger_config import TaggingConfig
from muscaps.training.tagger_excerpts import ExcerptSource, MelExcerpts, WaveformExcerpts
from muscaps.training.tagger_model import Tagger

logger = logging.getLogger(__name__)


def tag_counts(examples: Sequence[Example]) -> Counter[str]:
    """Count the clips that have each tag."""
    return Counter(tag for example in examples for tag in set(example.tags))


def tag_matrix(examples: Sequence[Example], tags: Sequence[str]) -> np.ndarray:
    """Return which example has which tag, bool, (examples, tags)."""
    places = {tag: index for index, tag in enumerate(tags)}
    matrix = np.zeros((len(examples), len(tags)), dtype=bool)
    for row, example in zip(matrix, examples, strict=True):
        row[[places[tag] for tag in example.tags if tag in places]] = True
    return matrix


def masked_tagging_loss(logits: Tensor, targets: Tensor, known: Tensor, weight: Tensor) -> Tensor:
    """Binary cross-entropy over the tags that are known, summed over clips and averaged over tags.

    Args:
        logits: (batch, tags).
        targets: 1 where a clip has the tag, (batch, tags).
        known: 1 where that is known, (batch, tags).
        weight: Of a positive against a negative, (tags,).
    """
    losses = F.binary_cross_entropy_with_logits(logits, targets, reduction="none", pos_weight=weight)
    return (losses * known).sum() / logits.shape[1]


class TaggerTraining:
    """One tagger being trained: its batches, steps, averaged weights and validation."""

    def __init__(
        self,
        dataset: PreparedDataset,
        extractor_config: ExtractorConfig = ExtractorConfig(),  # noqa: B008  (frozen)
        config: TaggingConfig = TaggingConfig(),  # noqa: B008  (frozen)
        workers: Workers | None = None,
        device: str = "cpu",
    ) -> None:
        """Choose tags, build the network with seeded weights and measure the input statistics.

        Raises:
            DatasetError: There is no audio, no validation split or no tag frequent enough.
            ValueError: The batch does not divide among the workers.
        """
        self.workers = workers or Workers.present()
        self.config, self.extractor_config, self.dataset, self.device = config, extractor_config, dataset, device
        if config.batch_size % self.workers.size:
            raise ValueError(f"batch_size={config.batch_size} does not divide among {self.workers.size} workers")
        self.train_examples = [e for e in dataset.split("train") if e.audio_start >= 0 and e.tags]
        self.validation_examples = [e for e in dataset.split("validation") if e.audio_start >= 0 and e.tags]
        counts = tag_counts(self.train_examples)
        limit = min(config.min_tag_count, max(1, len(self.train_examples) // 10))
        self.tags = [tag for tag, count in counts.most_common() if limit <= count < len(self.train_examples)]
        if not self.tags or not self.validation_examples:
            raise DatasetError(
                f"{dataset.directory}: cannot train a tagger on {len(self.train_examples)} training and "
                f"{len(self.validation_examples)} validation clips with {len(counts)} tags; a tag needs "
                f"{limit} training clips"
            )
        if len(self.train_examples) * config.excerpts_per_clip < config.batch_size:
            raise ValueError(f"batch_size={config.batch_size} exceeds an epoch of {len(self.train_examples)} clips")
        torch.manual_seed(config.seed)
        self.tagger = Tagger(build_extractor(extractor_config), len(self.tags), config.dropout)
        chunk_samples = self.tagger.extractor.chunk_samples
        self.source: ExcerptSource
        if isinstance(self.tagger.extractor, Musicnn):
            self.source = MelExcerpts(dataset, chunk_samples, config.augmentation)
        else:
            self.source = WaveformExcerpts(dataset, self.tagger.extractor, config.augmentation)
        truth = tag_matrix(self.train_examples, self.tags)
        self._targets = torch.from_numpy(truth).float()
        share = self._targets.mean(dim=0).clamp(1e-4, 1 - 1e-4)
        self._weight = ((1 - share) / share).sqrt().clamp(1, 5).to(device)
        additive = set(self.tags if config.additive_tags is None else config.additive_tags)
        self._additive = torch.tensor([tag in additive for tag in self.tags])
        self._measure_input()
        share_batch_norms(self.tagger.extractor, shared=False)
        share_batch_norms(self.tagger.head, shared=False)
        self.tagger.to(device)
        self.average = Tagger(build_extractor(extractor_config), len(self.tags))
        share_batch_norms(self.average.extractor, shared=False)
        share_batch_norms(self.average.head, shared=False)
        self.average.to(device).load_state_dict(self.tagger.state_dict())
        self.average.eval().requires_grad_(False)
        self.parameters = [p for p in self.tagger.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(self.parameters, lr=0.0, weight_decay=config.weight_decay)
        self.epoch = self.steps = 0
        self.elapsed_s = 0.0
        self.best = -math.inf
        self.stale = 0
        self.history: list[dict[str, Any]] = []
        self.latest: TaggingScores | None = None

    def _measure_input(self) -> None:
        """Set musicnn's input normalisation to the statistics of some disturbed training excerpts."""
        if not isinstance(self.tagger.extractor, Musicnn):
            return
        some = self.train_examples[:: max(1, len(self.train_examples) // 128)][:128]
        generators = [np.random.default_rng([self.config.seed, 0xBEEF, example.index]) for example in some]
        spectrogram, _ = self.source.training_batch(some, some[::-1], generators)
        fix_input_statistics(self.tagger.extractor, float(spectrogram.mean()), float(spectrogram.var()))

    @property
    def steps_per_epoch(self) -> int:
        """Whole global batches in an epoch."""
        return len(self.train_examples) * self.config.excerpts_per_clip // self.config.batch_size

    def progress(self) -> float:
        """Share of the training done, by steps or by time, whichever is further."""
        done = self.steps / (self.config.max_epochs * self.steps_per_epoch)
        if self.config.max_minutes is None:
            return done
        return max(done, self.elapsed_s / (60 * self.config.max_minutes))

    def batch(self, epoch: int, step: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return this worker's share of a global batch: spectrograms, targets and which of them are known."""
        config, count = self.config, len(self.train_examples)
        order = np.random.default_rng([config.seed, epoch]).permutation(count * config.excerpts_per_clip)
        share = config.batch_size // self.workers.size
        start = step * config.batch_size + self.workers.rank * share
        places = order[start : start + share]
        generators = [np.random.default_rng([config.seed, epoch, int(place)]) for place in places]
        rows = places % count
        other_rows = np.array([int(g.integers(count)) for g in generators])
        spectrogram, mixed = self.source.training_batch(
            [self.train_examples[int(row)] for row in rows],
            [self.train_examples[int(row)] for row in other_rows],
            generators,
        )
        targets, others = self._targets[rows], self._targets[other_rows]
        targets = torch.where(mixed[:, None], torch.maximum(targets, others), targets)
        known = (~mixed[:, None] | self._additive[None]).float()
        return spectrogram.to(self.device), targets.to(self.device), known.to(self.device)

    def step(self, epoch: int, step: int) -> float:
        """Take one optimisation step; return this worker's mean loss."""
        config = self.config
        spectrogram, targets, known = self.batch(epoch, step)
        torch.manual_seed(hash((config.seed, epoch, step, self.workers.rank)) & 0x7FFF_FFFF)
        for group in self.optimizer.param_groups:
            group["lr"] = warmup_cosine(self.steps, self.progress(), config.learning_rate)
        self.tagger.train()
        loss = masked_tagging_loss(self.tagger(spectrogram), targets, known, self._weight) / config.batch_size
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.workers.sum_gradients(self.parameters)
        nn.utils.clip_grad_norm_(self.parameters, config.gradient_clip)
        self.optimizer.step()
        keep_scales_positive(self.tagger.extractor)
        self._follow()
        self.steps += 1
        return float(loss.detach()) * self.workers.size

    @torch.no_grad()
    def _follow(self) -> None:
        """Move the averaged weights and statistics towards the current ones, faster while training is young."""
        decay = min(self.config.average_decay, (1 + self.steps) / (10 + self.steps))
        for average, current in zip(self.average.state_dict().values(), self.tagger.state_dict().values(), strict=True):
            if average.is_floating_point():
                average.lerp_(current, 1 - decay)
            else:
                average.copy_(current)

    @torch.no_grad()
    def scores(self, examples: Sequence[Example], max_chunks: int = 3) -> np.ndarray:
        """Return the averaged tagger's mean logits over a few chunks of each clip, (clips, tags)."""
        rows = []
        for example in examples:
            spectrogram = self.source.evaluation_batch(example, max_chunks).to(self.device)
            rows.append(self.average(spectrogram).mean(dim=0).cpu().numpy())
        return np.stack(rows)

    def validate(self) -> TaggingScores:
        """Score the validation clips, evenly chosen if there are too many."""
        examples = self.validation_examples
        examples = examples[:: -(-len(examples) // self.config.validation_clips)]
        return score_tags(tag_matrix(examples, self.tags), self.scores(examples), self.tags)

    def train(self, report: Reporter | None = None) -> TaggingScores:
        """Train until the epochs, the time or the patience are used up.

        Args:
            report: Told the metrics of every epoch.

        Returns:
            The last validation's scores.
        """
        while self.epoch < self.config.max_epochs and self.progress() < 1 and self.stale < self.config.patience:
            began, losses = time.monotonic(), []
            before = self.elapsed_s
            for step in range(self.steps_per_epoch):
                losses.append(self.step(self.epoch, step))
                self.elapsed_s = self.workers.maximum(before + time.monotonic() - began)
                if self.progress() >= 1:
                    break
            train_s = time.monotonic() - began
            self.workers.average_buffers(self.average)
            scores = self.latest = self.validate()
            self.elapsed_s = self.workers.maximum(before + time.monotonic() - began)
            better = scores.mean_roc_auc > self.best
            self.best, self.stale = max(self.best, scores.mean_roc_auc), 0 if better else self.stale + 1
            self.epoch += 1
            metrics = {
                "epoch": self.epoch,
                "loss": float(self.workers.sum(torch.tensor(np.mean(losses)))) / self.workers.size,
                "validation_roc_auc": scores.mean_roc_auc,
                "validation_pr_auc": scores.mean_pr_auc,
                "learning_rate": self.optimizer.param_groups[0]["lr"],
                "chunks_per_s": len(losses) * self.config.batch_size / train_s,
                "elapsed_s": self.elapsed_s,
                "eta_s": self.elapsed_s * (1 / max(min(1.0, self.progress()), 1e-6) - 1),
            }
            self.history.append(metrics)
            logger.info(
                "epoch %d: loss %.4f, ROC-AUC %.3f, PR-AUC %.3f, %.0f chunks/s, %.0f%% done",
                self.epoch,
                metrics["loss"],
                scores.mean_roc_auc,
                scores.mean_pr_auc,
                metrics["chunks_per_s"],
                100 * min(1.0, self.progress()),
            )
            if report is not None:
                report(metrics, self.save_state)
        if self.latest is None:
            self.latest = self.validate()
        return self.latest

    def save_state(self, directory: Path) -> None:
        """Write what `resume` needs: weights, averages, optimiser and counters."""
        tensors = {f"tagger.{key}": value for key, value in self.tagger.state_dict().items()}
        tensors |= {f"average.{key}": value for key, value in self.average.state_dict().items()}
        for index, state in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{key}": value for key, value in state.items()}
        counters = {name: getattr(self, name) for name in ("epoch", "steps", "elapsed_s", "best", "stale", "history")}
        tensors = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
        directory.mkdir(parents=True, exist_ok=True)
        save_file(tensors, directory / "state.safetensors", metadata={"counters": json.dumps(counters)})

    def resume(self, directory: Path) -> None:
        """Go on from what `save_state` wrote."""
        with safe_open(directory / "state.safetensors", "pt") as stream:
            tensors = {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118
            counters = json.loads(stream.metadata()["counters"])
        for prefix, module in (("tagger.", self.tagger), ("average.", self.average)):
            module.load_state_dict(
                {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
            )
        whole = self.optimizer.state_dict()
        whole["state"] = {}
        for name, value in tensors.items():
            if name.startswith("optimizer."):
                _, index, key = name.split(".")
                whole["state"].setdefault(int(index), {})[key] = value
        self.optimizer.load_state_dict(whole)
        for name, value in counters.items():
            setattr(self, name, value)

    def save_extractor(self, directory: Path, scores: TaggingScores, *, name: str) -> str:
        """Write the averaged extractor and head as a checkpoint; return its `model_id`."""
        clean = build_extractor(self.extractor_config)
        clean.load_state_dict(self.average.extractor.state_dict())
        training = {
            "dataset_digest": self.dataset.card.get("digest"),
            "clips": len(self.train_examples),
            "epochs": self.epoch,
            "steps": self.steps,
            "chunks_seen": self.steps * self.config.batch_size,
            "seconds": round(self.elapsed_s, 1),
            "config": asdict(self.config),
        }
        metrics = {
            "validation_clips": scores.clips,
            "mean_roc_auc": scores.mean_roc_auc,
            "mean_pr_auc": scores.mean_pr_auc,
            "roc_auc": scores.roc_auc,
            "pr_auc": scores.pr_auc,
        }
        return save_extractor(
            directory,
            clean,
            self.extractor_config,
            name=name,
            training=training,
            metrics=metrics,
            head=learned_weights(self.average.head),
            tags=self.tags,
        )


def train_tagger(
    dataset: PreparedDataset,
    output: Path,
    extractor_config: ExtractorConfig = ExtractorConfig(),  # noqa: B008  (frozen)
    config: TaggingConfig = TaggingConfig(),  # noqa: B008  (frozen)
    *,
    name: str = "muscaps-tagger",
    resume: bool = True,
) -> TaggingScores:
    """Train a tagger in this process; `output/extractor` holds the extractor after every epoch.

    Args:
        dataset: Prepared with audio and tags.
        output: Directory for the extractor and the state to resume from.
        extractor_config: The network.
        config: The training.
        name: Short name, the first part of the extractor's `model_id`.
        resume: Go on from a state an earlier call left in `output`.
    """
    training = TaggerTraining(dataset, extractor_config, config)
    state = output / "state"
    if resume and (state / "state.safetensors").exists():
        training.resume(state)

    def report(metrics: Mapping[str, Any], save_state: Callable[[Path], None]) -> None:
        beside = output / "state.partial"
        save_state(beside)
        state.mkdir(parents=True, exist_ok=True)
        (beside / "state.safetensors").replace(state / "state.safetensors")
        assert training.latest is not None
        training.save_extractor(output / "extractor", training.latest, name=name)

    scores = training.train(report)
    training.save_extractor(output / "extractor", scores, name=name)
    return scores
