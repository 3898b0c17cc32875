"""Captioner training: data order, loss, one optimisation step, validation, state (paper section IV-B).

Teacher forcing, cross-entropy that ignores `<pad>`, Adam, a learning rate that falls linearly, dropout, early
stopping. Nothing here knows who runs it: one process, or several that `torch.distributed` has joined.

Conventions: everything random is drawn from (seed, epoch, example), dropout masks included, and batch
statistics and the loss span the global batch. So the same seed gives the same curve with any number of
workers, up to rounding, and a run resumed from `save_state` equals an undisturbed one bit for bit: there is
no generator whose position would have to be stored.
"""

import json
import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
import torch.distributed
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F

from muscaps.checkpoint import save_checkpoint
from muscaps.config import TRAINED_DECODING, DecodingOptions
from muscaps.decoding import beam_search
from muscaps.evaluation.caption_metrics import cider
from muscaps.inference.tall_convolution import fix_input_statistics, keep_scales_positive, training_features
from muscaps.models.feature_extractor import FeatureExtractor
from muscaps.models.muscaps import MusCaps
from muscaps.models.musicnn import Musicnn
from muscaps.tagger import TagHeads
from muscaps.training.batches import CaptionBatch, collate, encoded_captions
from muscaps.training.captioner_audio import AudioExcerpts, AudioSource, CachedFeatures
from muscaps.training.captioner_config import CaptionTrainingConfig
from muscaps.training.data_parallel import SharedBatchNorm, Workers, share_batch_norms
from muscaps.training.dataset.layout import Example
from muscaps.training.dataset.pairs import DatasetError
from muscaps.training.dataset.reader import PreparedDataset
from muscaps.training.example_dropout import ExampleDropout, dropout_mask
from muscaps.training.loop import Reporter
from muscaps.training.schedules import linear_decay
from muscaps.vocabulary import PAD, Vocabulary, tokenize

logger = logging.getLogger(__name__)

STATE = "state.safetensors"


def caption_loss(logits: Tensor, targets: Tensor, num_tokens: int) -> Tensor:
    """Cross-entropy over the words of a batch's captions, `<pad>` ignored.

    Args:
        logits: (batch, steps, vocab).
        targets: (batch, steps).
        num_tokens: Words to divide by: the global batch's, of which this may be a share.
    """
    words = logits.float().flatten(0, 1)
    return F.cross_entropy(words, targets.flatten(), ignore_index=PAD, reduction="sum") / num_tokens


def chunk_features(extractor: FeatureExtractor, chunks: Tensor, mask: Tensor) -> Tensor:
    """Run an extractor that is being trained over the real chunks of a batch.

    Args:
        extractor: The network.
        chunks: Audio, (batch, chunks, samples).
        mask: True where a chunk is real, (batch, chunks).

    Returns:
        Features, (batch, chunks, feature), zeros on padding.
    """
    learned_filters = any(parameter.requires_grad for parameter in extractor.spectrogram.parameters())
    with torch.set_grad_enabled(torch.is_grad_enabled() and learned_filters):
        spectrogram = extractor.spectrogram(chunks[mask])
    # In bfloat16 two workers would round differently from one; reproducible curves are worth more here.
    features = training_features(extractor, spectrogram, fast=False)
    whole = features.new_zeros(*mask.shape, features.shape[1])
    return whole.masked_scatter(mask.unsqueeze(-1), features)


class CaptionerTraining:
    """One captioner being trained: its batches, steps and validation."""

    def __init__(
        self,
        dataset: PreparedDataset,
        model: MusCaps,
        vocabulary: Vocabulary,
        config: CaptionTrainingConfig = CaptionTrainingConfig(),  # noqa: B008  (frozen)
        *,
        features: Callable[[Example], np.ndarray] | None = None,
        disturbed: Sequence[Callable[[Example], np.ndarray]] = (),
        workers: Workers | None = None,
        device: str = "cpu",
        tagger: TagHeads | None = None,
        sections: Mapping[str, Any] | None = None,
    ) -> None:
        """Take over a model.

        Args:
            dataset: The pairs.
            model: Its weights are where training starts; it is changed in place.
            vocabulary: The model's words.
            config: The training.
            features: Reads an example's cached features, made by this very extractor; the dataset's own by default.
            disturbed: Read the cached features of its disturbed copies, `config.disturbed_versions` of them.
            workers: Who trains together.
            device: `cpu` or `cuda`.
            tagger: Tag heads to store with the model; left out where the extractor they read is trained.
            sections: Further sections of the model card, see `save_checkpoint`.

        Raises:
            DatasetError: A split is empty, or features or audio are missing.
            ValueError: The features have another width than the model reads.
        """
        self.workers = workers or Workers.present()
        self.dataset, self.config, self.vocabulary, self.device = dataset, config, vocabulary, device
        self.tagger = tagger if config.extractor_mode == "frozen" else None
        self.sections = sections
        self.train_examples = dataset.split("train")
        validation = dataset.split("validation")
        self.validation_examples = validation[:: max(1, math.ceil(len(validation) / config.validation_tracks))]
        for name, examples in (("training", self.train_examples), ("validation", self.validation_examples)):
            if not examples:
                raise DatasetError(f"{dataset.directory}: the {name} split is empty")
        self.batch_size = min(config.batch_size, len(self.train_examples))
        if self.batch_size < self.workers.size:
            raise ValueError(f"a batch of {self.batch_size} cannot be shared by {self.workers.size} workers")
        self._captions = encoded_captions(self.train_examples, vocabulary)
        self.model = model
        extractor = model.feature_extractor
        self.source: AudioSource
        if config.extractor_mode == "frozen":
            if len(disturbed) != config.disturbed_versions:
                raise ValueError(f"disturbed_versions={config.disturbed_versions}, but {len(disturbed)} are given")
            self.source = CachedFeatures(features or dataset.features, disturbed)
            width = self.source.evaluation(self.train_examples[0]).shape[1]
            if width != extractor.feature_dim:
                raise ValueError(f"the cached features are {width} wide, the model reads {extractor.feature_dim}")
            extractor.requires_grad_(False)
        else:
            num_samples = round(config.excerpt_seconds * 16_000)
            self.source = AudioExcerpts(dataset, extractor.chunk_samples, num_samples, config.validation_chunks)
            extractor.requires_grad_(True)
            if isinstance(extractor, Musicnn):
                self._prepare_musicnn(extractor)
        # Built from a checkpoint or fresh, the model gets the layers whose results span workers and batches.
        model.dropout = cast(nn.Dropout, ExampleDropout(model.config.dropout))
        share_batch_norms(model)
        model.to(device)
        self.parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self.optimizer = torch.optim.Adam(self.parameters, lr=config.learning_rate)
        self.epoch = self.steps = self.stale = self.best_epoch = 0
        self.best = -math.inf
        self.elapsed_s = 0.0
        self.history: list[dict[str, Any]] = []
        self.best_weights: dict[str, Tensor] | None = None

    def _prepare_musicnn(self, extractor: Musicnn) -> None:
        """Fix the input normalisation; from scratch at the statistics of some training excerpts."""
        if self.config.extractor_mode == "scratch":
            some = self.train_examples[:: max(1, len(self.train_examples) // 64)][:64]
            generators = [np.random.default_rng([self.config.seed, 0xBEEF, example.index]) for example in some]
            chunks = np.concatenate([self.source.training(e, g) for e, g in zip(some, generators, strict=True)])
            with torch.no_grad():
                spectrogram = extractor.spectrogram(torch.from_numpy(chunks))
            fix_input_statistics(extractor, float(spectrogram.mean()), float(spectrogram.var()))
        extractor.spectrogram_norm.requires_grad_(False)

    @property
    def steps_per_epoch(self) -> int:
        """Global batches in an epoch; the incomplete last one is left out."""
        return len(self.train_examples) // self.batch_size

    @property
    def total_steps(self) -> int:
        """Steps until the learning rate is zero."""
        return self.config.max_epochs * self.steps_per_epoch

    def plan(self, epoch: int, step: int) -> list[int]:
        """Return the places of a global batch's examples in the training split."""
        order = np.random.default_rng([self.config.seed, epoch]).permutation(len(self.train_examples))
        return [int(place) for place in order[step * self.batch_size : (step + 1) * self.batch_size]]

    def caption_of(self, place: int, epoch: int) -> list[int]:
        """Return the caption an example is trained on in an epoch: of several, one drawn by seed."""
        captions = self._captions[place]
        draw = np.random.default_rng([self.config.seed, epoch, self.train_examples[place].index, 1])
        return captions[int(draw.integers(len(captions)))]

    def batch(self, epoch: int, step: int) -> tuple[CaptionBatch, int]:
        """Return this worker's share of a global batch, and the whole batch's number of words.

        Also hands the model's dropout its masks.
        """
        places = self.plan(epoch, step)
        captions = [self.caption_of(place, epoch) for place in places]
        num_tokens = sum(len(caption) - 1 for caption in captions)
        mine = np.array_split(np.arange(len(places)), self.workers.size)[self.workers.rank]
        examples = [self.train_examples[places[index]] for index in mine]
        seed = self.config.seed
        audio = [self.source.training(e, np.random.default_rng([seed, epoch, e.index, 2])) for e in examples]
        batch = collate(audio, [captions[index] for index in mine])
        seeds = [int(np.random.default_rng([seed, epoch, e.index, 3]).integers(2**62)) for e in examples]
        dropout = cast(ExampleDropout, self.model.dropout)
        dropout.mask = dropout_mask(
            (batch.word_ids.shape[1], self.model.config.hidden_dim),
            [len(captions[index]) - 1 for index in mine],
            seeds,
            dropout.probability,
        ).to(self.device)
        return batch.to(self.device), num_tokens

    def set_training(self) -> None:
        """Put the model into training mode, and the extractor's BatchNorm where its mode wants it."""
        self.model.train()
        extractor = self.model.feature_extractor
        if self.config.extractor_mode == "frozen":
            extractor.eval()
        elif self.config.extractor_mode == "fine-tuned":
            for module in extractor.modules():
                if isinstance(module, SharedBatchNorm):
                    module.eval()

    def features_of(self, batch: CaptionBatch) -> Tensor:
        """Return a batch's chunk features, (batch, chunks, feature); computed here unless they are cached."""
        if self.config.extractor_mode == "frozen":
            return batch.audio
        return chunk_features(self.model.feature_extractor, batch.audio, batch.mask)

    def step(self, epoch: int, step: int) -> float:
        """Take one optimisation step; return the global batch's loss."""
        config = self.config
        self.set_training()
        batch, num_tokens = self.batch(epoch, step)
        for group in self.optimizer.param_groups:
            group["lr"] = linear_decay(self.steps, self.total_steps, config.learning_rate)
        mixed = config.mixed_precision and self.device.startswith("cuda")
        with torch.autocast(self.device.partition(":")[0], torch.bfloat16, enabled=mixed):
            logits = self.model(self.features_of(batch), batch.mask, batch.word_ids)
        loss = caption_loss(logits, batch.targets, num_tokens)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.workers.sum_gradients(self.parameters)
        nn.utils.clip_grad_norm_(self.parameters, config.gradient_clip)
        self.optimizer.step()
        if config.extractor_mode != "frozen":
            keep_scales_positive(self.model.feature_extractor)
        self.steps += 1
        return float(self.workers.sum(loss.detach()))

    @torch.no_grad()
    def validate(self, *, decode: bool = True) -> dict[str, float]:
        """Return the validation loss and, where asked for, CIDEr of greedy captions, over all workers' shares."""
        self.model.eval()
        own = self.validation_examples[self.workers.rank :: self.workers.size]
        totals = torch.zeros(2, dtype=torch.float64)
        predictions: list[str] = []
        for start in range(0, len(own), 32):
            examples = own[start : start + 32]
            captions = encoded_captions(examples, self.vocabulary)
            batch = collate([self.source.evaluation(e) for e in examples], [texts[0] for texts in captions])
            batch = batch.to(self.device)
            features = self.features_of(batch)
            for index in range(max(len(texts) for texts in captions)):
                rows = [row for row, texts in enumerate(captions) if index < len(texts)]
                spoken = collate([np.zeros((1, 1))] * len(rows), [captions[row][index] for row in rows]).to(self.device)
                logits = self.model(features[rows], batch.mask[rows], spoken.word_ids)
                totals[0] += float(caption_loss(logits, spoken.targets, 1))
                totals[1] += int((spoken.targets != PAD).sum())
            if decode:
                encoded = self.model.encode(features, batch.mask)
                found = beam_search(self.model, encoded, DecodingOptions(beam_size=1))
                predictions += [" ".join(self.vocabulary.decode(best[0].word_ids)) for best in found]
        totals = self.workers.sum(totals.to(self.device) if self.device != "cpu" else totals).cpu()
        scores = {"loss": float(totals[0] / totals[1])}
        if decode:
            scores["cider"] = self._cider(predictions)
        return scores

    def _cider(self, predictions: list[str]) -> float:
        """CIDEr-D of all workers' predictions; NaN without the `evaluate` extra."""
        gathered: list[list[str]] = [predictions]
        if self.workers.size > 1:
            gathered = [[] for _ in range(self.workers.size)]
            torch.distributed.all_gather_object(gathered, predictions)
        examples = [e for rank in range(self.workers.size) for e in self.validation_examples[rank :: self.workers.size]]
        try:
            references = [[" ".join(tokenize(text)) for text in example.captions] for example in examples]
            return cider([text or "<unk>" for part in gathered for text in part], references)
        except ImportError:
            return math.nan

    def finished(self) -> bool:
        """Tell whether epochs, patience or time are used up."""
        config = self.config
        late = config.max_minutes is not None and self.elapsed_s >= 60 * config.max_minutes
        return self.epoch >= config.max_epochs or self.stale >= config.patience or late

    def _most_seconds_left(self) -> float:
        """Seconds until epochs or time are used up; training ends sooner when patience does."""
        left = self.elapsed_s / self.epoch * (self.config.max_epochs - self.epoch)
        limit = math.inf if self.config.max_minutes is None else 60 * self.config.max_minutes - self.elapsed_s
        return max(0.0, min(left, limit))

    def train(self, report: Reporter | None = None) -> None:
        """Train until `finished`.

        Args:
            report: Told the metrics of every epoch.
        """
        while not self.finished():
            began = time.monotonic()
            losses = [self.step(self.epoch, step) for step in range(self.steps_per_epoch)]
            decode = (self.epoch + 1) % self.config.decode_every == 0
            scores = self.validate(decode=decode)
            self.epoch += 1
            score = -scores["loss"] if self.config.monitor == "loss" else scores["cider"]
            if score > self.best:
                self.best, self.best_epoch, self.stale = score, self.epoch, 0
                self.best_weights = {name: value.detach().cpu().clone() for name, value in self._weights().items()}
            else:
                self.stale += 1
            seconds = self.workers.maximum(time.monotonic() - began)
            self.elapsed_s += seconds
            metrics = {
                "epoch": self.epoch,
                "train_loss": float(np.mean(losses)),
                "validation_loss": scores["loss"],
                "validation_cider": scores.get("cider", math.nan),
                "learning_rate": self.optimizer.param_groups[0]["lr"],
                "seconds": seconds,
                "best_epoch": self.best_epoch,
                "eta_s": self._most_seconds_left(),
            }
            self.history.append(metrics)
            logger.info(
                "epoch %d: loss %.4f, validation %.4f, CIDEr %.3f, %.1f s",
                self.epoch,
                metrics["train_loss"],
                metrics["validation_loss"],
                metrics["validation_cider"],
                seconds,
            )
            if report is not None:
                report(metrics, self.save_state)

    def _weights(self) -> dict[str, Tensor]:
        """What training changes: everything, or everything but a frozen extractor."""
        state = self.model.state_dict()
        if self.config.extractor_mode == "frozen":
            return {name: value for name, value in state.items() if not name.startswith("feature_extractor.")}
        return state

    def save_state(self, directory: Path) -> None:
        """Write what `resume` needs: current and best weights, optimiser and counters."""
        tensors = {f"model.{name}": value for name, value in self._weights().items()}
        tensors |= {f"best.{name}": value for name, value in (self.best_weights or {}).items()}
        for index, state in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{key}": value for key, value in state.items()}
        tensors = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
        names = ("epoch", "steps", "stale", "best", "best_epoch", "elapsed_s", "history")
        counters = {name: getattr(self, name) for name in names}
        directory.mkdir(parents=True, exist_ok=True)
        save_file(tensors, directory / STATE, metadata={"counters": json.dumps(counters)})

    def resume(self, directory: Path) -> None:
        """Go on from what `save_state` wrote."""
        with safe_open(directory / STATE, "pt") as stream:
            tensors = {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118
            counters = json.loads(stream.metadata()["counters"])
        self._load(_under(tensors, "model."))
        self.best_weights = _under(tensors, "best.") or None
        whole = self.optimizer.state_dict()
        whole["state"] = {}
        for name, value in _under(tensors, "optimizer.").items():
            index, key = name.split(".")
            whole["state"].setdefault(int(index), {})[key] = value
        self.optimizer.load_state_dict(whole)
        for name, value in counters.items():
            setattr(self, name, value)

    def _load(self, weights: Mapping[str, Tensor]) -> None:
        expected = self._weights()
        if set(weights) != set(expected):
            raise ValueError(f"the stored state does not fit the model: {sorted(set(weights) ^ set(expected))[:3]}")
        self.model.load_state_dict(dict(weights), strict=False)

    def save_checkpoints(self, directory: Path, *, name: str, training: Mapping[str, Any] | None = None) -> None:
        """Write `last` and `best` as captioner checkpoints into a directory."""
        current = {key: value.detach().cpu().clone() for key, value in self._weights().items()}
        self._save(directory / "last", name, training, self.epoch)
        if self.best_weights is not None:
            self._load(self.best_weights)
            self._save(directory / "best", name, training, self.best_epoch)
            self._load(current)

    def _save(self, directory: Path, name: str, training: Mapping[str, Any] | None, epoch: int) -> None:
        row = self.history[epoch - 1] if 0 < epoch <= len(self.history) else {}
        facts = {
            "dataset_digest": self.dataset.card.get("digest"),
            "pairs": len(self.train_examples),
            "epoch": epoch,
            "config": asdict(self.config),
            "num_workers": self.workers.size,
            **(training or {}),
        }
        names = ("train_loss", "validation_loss", "validation_cider")
        metrics: dict[str, Any] = {key: row[key] for key in names if math.isfinite(row.get(key, math.nan))}
        departures = ["dropout masks are drawn per example, so that they do not depend on the number of workers"]
        if self.config.extractor_mode == "scratch":
            departures.append("musicnn takes the maximum over frequency before batch normalisation while training")
        save_checkpoint(
            directory,
            self.model,
            self.vocabulary,
            name=name,
            training=facts,
            metrics=metrics,
            departures=departures,
            tagger=self.tagger,
            sections={"decoding": dict(TRAINED_DECODING), **(self.sections or {})},
        )


def _under(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
