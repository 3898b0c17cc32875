"""The captioner's training objective: teacher forcing and cross-entropy that ignores `<pad>` (paper section IV-B).

The optimiser is Adam with a learning rate that falls linearly (`schedules.py`). Early stopping uses validation loss or
CIDEr.

Conventions: dropout masks are drawn per example. Batch statistics and the loss are those of the global batch. Therefore
the same seed gives the same losses with any number of workers, up to rounding.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import cast

import numpy as np
import torch
import torch.distributed
from torch import Tensor, nn
from torch.nn import functional as F

from muscaps.config import TRAINED_DECODING, DecodingOptions
from muscaps.decoding import beam_search
from muscaps.inference.tall_convolution import fix_input_statistics, keep_scales_positive
from muscaps.models.caption_model import CaptionNetwork
from muscaps.models.musicnn import Musicnn
from muscaps.training.batches import CaptionBatch, collate, encoded_captions
from muscaps.training.captioner_audio import AudioExcerpts, AudioSource, CachedFeatures, chunk_features
from muscaps.training.captioner_batches import CaptionBatches
from muscaps.training.captioner_config import CaptionTrainingConfig
from muscaps.training.data_parallel import SharedBatchNorm, Workers, share_batch_norms
from muscaps.training.dataset.layout import Example
from muscaps.training.dataset.pairs import DatasetError
from muscaps.training.dataset.reader import PreparedDataset
from muscaps.training.example_dropout import ExampleDropout, dropout_mask
from muscaps.training.loop import Progress, Validation
from muscaps.training.schedules import linear_decay
from muscaps.training.validation_captions import NOT_DECODED, caption_measures
from muscaps.vocabulary import PAD, Vocabulary
from muscaps.word_constraints import WordConstraints

ReadFeatures = Callable[[Example], np.ndarray]
"""Reads an example's cached features, (chunks, feature)."""

_SAMPLE_RATE = 16_000
_VALIDATION_BATCH = 32
_STATISTICS_EXAMPLES = 64  # enough for the mean and variance of a spectrogram


def caption_loss(logits: Tensor, targets: Tensor, num_words: int) -> Tensor:
    """Compute the cross-entropy over the words of a batch's captions, without `<pad>`.

    Args:
        logits: (batch, steps, vocab).
        targets: (batch, steps).
        num_words: Number of words of the global batch, by which the sum is divided.
    """
    words = logits.float().flatten(0, 1)
    return F.cross_entropy(words, targets.flatten(), ignore_index=PAD, reduction="sum") / num_words


class CaptionerObjective:
    """Trains a captioner on a dataset's pairs."""

    keeps_best_weights = True
    stops_within_epoch = False

    def __init__(
        self,
        dataset: PreparedDataset,
        model: CaptionNetwork,
        vocabulary: Vocabulary,
        config: CaptionTrainingConfig = CaptionTrainingConfig(),  # noqa: B008  (frozen)
        *,
        features: ReadFeatures | None = None,
        augmented: Sequence[ReadFeatures] = (),
        workers: Workers | None = None,
        device: str = "cpu",
    ) -> None:
        """Prepare a model for training.

        Args:
            dataset: The pairs.
            model: The model with its initial weights; it is changed in place.
            vocabulary: Vocabulary of the model.
            config: Settings of the training.
            features: Reads features of the model's extractor; default: the features of the dataset.
            augmented: Functions that read features of augmented copies; `config.disturbed_versions` of them.
            workers: The processes that train together.
            device: `cpu` or `cuda`.

        Raises:
            DatasetError: A split is empty, or features or audio are missing.
            ValueError: The width of the features is not that of the model.
        """
        self.workers = workers or Workers.present()
        self.dataset, self.config, self.vocabulary, self.device = dataset, config, vocabulary, device
        self.model = model
        self.train_examples = _split_of(dataset, "train")
        validation = _split_of(dataset, "validation")
        self.validation_examples = validation[:: max(1, math.ceil(len(validation) / config.validation_tracks))]
        self.batch_size = min(config.batch_size, len(self.train_examples))
        if self.batch_size < self.workers.size:
            raise ValueError(f"a batch of {self.batch_size} cannot be shared by {self.workers.size} workers")
        self._source: AudioSource
        if config.extractor_mode == "frozen":
            self._source = self._cached_features(features or dataset.features, augmented)
        else:
            self._source = self._audio_excerpts()
        self.batches = CaptionBatches(
            self.train_examples,
            vocabulary,
            self._source,
            batch_size=self.batch_size,
            seed=config.seed,
            workers=self.workers,
            learn_unknown=config.learn_unknown,
        )
        # Those of the checkpoint, so that `muscaps evaluate --split validation` finds the same greedy captions.
        self._constraints = WordConstraints(vocabulary.words, **TRAINED_DECODING, device=torch.device(device))
        # Layers whose results do not depend on the number of workers replace those of the model.
        model.dropout = cast(nn.Dropout, ExampleDropout(model.config.dropout))
        share_batch_norms(model)
        model.to(device)
        self.parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self.optimizer = torch.optim.Adam(self.parameters, lr=config.learning_rate)

    def _cached_features(self, features: ReadFeatures, augmented: Sequence[ReadFeatures]) -> CachedFeatures:
        """Freeze the extractor and check the width of the features."""
        extractor, count = self.model.feature_extractor, self.config.disturbed_versions
        if len(augmented) != count:
            raise ValueError(f"disturbed_versions={count}, but there are {len(augmented)} augmented copies")
        source = CachedFeatures(features, augmented)
        width = source.evaluation(self.train_examples[0]).shape[1]
        if width != extractor.feature_dim:
            raise ValueError(f"the cached features are {width} wide, the model reads {extractor.feature_dim}")
        extractor.requires_grad_(False)
        return source

    def _audio_excerpts(self) -> AudioExcerpts:
        """Make the extractor trainable, except the input normalisation of musicnn."""
        config, extractor = self.config, self.model.feature_extractor
        num_samples = round(config.excerpt_seconds * _SAMPLE_RATE)
        source = AudioExcerpts(self.dataset, extractor.chunk_samples, num_samples, config.validation_chunks)
        extractor.requires_grad_(True)
        if isinstance(extractor, Musicnn):
            if config.extractor_mode == "scratch":
                self._measure_input_statistics(extractor, source)
            extractor.spectrogram_norm.requires_grad_(False)
        return source

    def _measure_input_statistics(self, extractor: Musicnn, source: AudioSource) -> None:
        """Set the input normalisation of musicnn to the statistics of some training excerpts."""
        count = _STATISTICS_EXAMPLES
        some = self.train_examples[:: max(1, len(self.train_examples) // count)][:count]
        generators = [np.random.default_rng([self.config.seed, 0xBEEF, example.index]) for example in some]
        chunks = np.concatenate([source.training(e, g) for e, g in zip(some, generators, strict=True)])
        with torch.no_grad():
            spectrogram = extractor.spectrogram(torch.from_numpy(chunks))
        fix_input_statistics(extractor, float(spectrogram.mean()), float(spectrogram.var()))

    @property
    def steps_per_epoch(self) -> int:
        """Global batches in an epoch."""
        return self.batches.steps_per_epoch

    def learning_rate(self, progress: Progress) -> float:
        """Return the learning rate: it falls linearly over `max_epochs`, independently of `max_minutes`."""
        return linear_decay(progress.step, progress.total_steps, self.config.learning_rate)

    def loss(self, epoch: int, step: int) -> Tensor:
        """Return this worker's share of a global batch's loss."""
        self._set_training_mode()
        share = self.batches.batch(epoch, step)
        dropout = cast(ExampleDropout, self.model.dropout)
        shape = (share.batch.word_ids.shape[1], self.model.config.hidden_dim)
        mask = dropout_mask(shape, share.num_words, share.dropout_seeds, dropout.probability)
        dropout.mask = mask.to(self.device)
        batch = share.batch.to(self.device)
        mixed = self.config.mixed_precision and self.device.startswith("cuda")
        with torch.autocast(self.device.partition(":")[0], torch.bfloat16, enabled=mixed):
            logits = self.model(self._features_of(batch), batch.mask, batch.word_ids)
        return caption_loss(logits, batch.targets, share.num_global_words)

    def after_step(self, steps: int) -> None:
        """Keep the scales of a trained extractor's normalisation positive."""
        if self.config.extractor_mode != "frozen":
            keep_scales_positive(self.model.feature_extractor)

    def _set_training_mode(self) -> None:
        """Set training mode, except where `extractor_mode` fixes the extractor or its batch normalisation."""
        self.model.train()
        extractor = self.model.feature_extractor
        if self.config.extractor_mode == "frozen":
            extractor.eval()
        elif self.config.extractor_mode == "fine-tuned":
            for module in extractor.modules():
                if isinstance(module, SharedBatchNorm):
                    module.eval()

    def _features_of(self, batch: CaptionBatch) -> Tensor:
        """Return the chunk features of a batch, cached or computed, (batch, chunks, feature)."""
        if self.config.extractor_mode == "frozen":
            return batch.audio
        return chunk_features(self.model.feature_extractor, batch.audio, batch.mask)

    def validate(self, epoch: int) -> Validation:
        """Score the validation split; captions are decoded every `decode_every` epochs."""
        metrics = self.scores(decode=(epoch + 1) % self.config.decode_every == 0)
        by_loss = self.config.monitor == "loss"
        return Validation(
            score=-metrics["validation_loss"] if by_loss else metrics["validation_cider"], metrics=metrics
        )

    @torch.no_grad()
    def scores(self, *, decode: bool = True) -> dict[str, float]:
        """Return `validation_loss` and the measures of the validation split's captions, over all workers.

        The loss is over all examples, the captions are of those that are not replayed.
        """
        self.model.eval()
        own = self.validation_examples[self.workers.rank :: self.workers.size]
        totals = torch.zeros(2, dtype=torch.float64)
        predictions: list[str] = []
        for start in range(0, len(own), _VALIDATION_BATCH):
            examples = own[start : start + _VALIDATION_BATCH]
            captions = encoded_captions(examples, self.vocabulary)
            batch = collate([self._source.evaluation(e) for e in examples], [texts[0] for texts in captions])
            batch = batch.to(self.device)
            features = self._features_of(batch)
            totals += self._loss_and_words(features, batch.mask, captions)
            if decode:
                encoded = self.model.encode(features, batch.mask)
                found = beam_search(self.model, encoded, DecodingOptions(beam_size=1), self._constraints)
                predictions += [
                    " ".join(self.vocabulary.decode(best[0].word_ids))
                    for example, best in zip(examples, found, strict=True)
                    if not example.replayed
                ]
        totals = self.workers.sum(totals.to(self.device) if self.device != "cpu" else totals).cpu()
        measures = self._caption_measures(predictions) if decode else NOT_DECODED
        return {"validation_loss": float(totals[0] / totals[1]), **measures}

    def _loss_and_words(self, features: Tensor, mask: Tensor, captions: Sequence[Sequence[Sequence[int]]]) -> Tensor:
        """Return the sum of the loss and the number of words over all captions of some examples, (2,)."""
        totals = torch.zeros(2, dtype=torch.float64)
        for index in range(max(len(texts) for texts in captions)):
            rows = [row for row, texts in enumerate(captions) if index < len(texts)]
            own = [captions[row][index] for row in rows]
            texts = collate([np.zeros((1, 1))] * len(rows), own, learn_unknown=self.config.learn_unknown)
            texts = texts.to(self.device)
            logits = self.model(features[rows], mask[rows], texts.word_ids)
            totals[0] += float(caption_loss(logits, texts.targets, 1))
            totals[1] += int((texts.targets != PAD).sum())
        return totals

    def _caption_measures(self, predictions: list[str]) -> dict[str, float]:
        """Measure the captions of all workers."""
        gathered: list[list[str]] = [predictions]
        if self.workers.size > 1:
            gathered = [[] for _ in range(self.workers.size)]
            torch.distributed.all_gather_object(gathered, predictions)
        examples = [e for rank in range(self.workers.size) for e in self.validation_examples[rank :: self.workers.size]]
        references = [example.captions for example in examples if not example.replayed]
        return caption_measures([text for part in gathered for text in part], references)

    def weights(self) -> dict[str, Tensor]:
        """Return all weights that training changes: without a frozen extractor."""
        state = self.model.state_dict()
        if self.config.extractor_mode == "frozen":
            return {name: value for name, value in state.items() if not name.startswith("feature_extractor.")}
        return state

    def load_weights(self, weights: Mapping[str, Tensor]) -> None:
        """Load weights; a frozen extractor is not changed."""
        self.model.load_state_dict(dict(weights), strict=False)


def _split_of(dataset: PreparedDataset, name: str) -> list[Example]:
    examples = dataset.split(name)
    if not examples:
        raise DatasetError(f"{dataset.directory}: the {'training' if name == 'train' else name} split is empty")
    return examples
