"""The tagger's training objective: pre-training of an audio feature extractor on clips with tags (section III-B).

The paper uses extractors that were trained elsewhere (Won et al., paper [31]). Here an extractor is trained with a
hidden layer and one output per tag, on random augmented excerpts, with binary cross-entropy. The input of musicnn is
cached log-mels, and its convolutions are rearranged (`tall_convolution`). The input of other extractors is waveforms.

Departs from the published taggers: the input of the head is only the maximum over time, as in the captioner; the saved
weights are a moving average over steps; the statistics of the input normalisation are measured once.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from muscaps.config import ExtractorConfig
from muscaps.evaluation.tag_metrics import TaggingScores, score_tags
from muscaps.inference.tall_convolution import fix_input_statistics, keep_scales_positive
from muscaps.models.architectures import build_extractor
from muscaps.models.musicnn import Musicnn
from muscaps.training.data_parallel import Workers, share_batch_norms
from muscaps.training.dataset.layout import Example
from muscaps.training.dataset.pairs import DatasetError
from muscaps.training.dataset.reader import PreparedDataset
from muscaps.training.loop import Progress, Validation
from muscaps.training.schedules import warmup_cosine
from muscaps.training.tagger_batches import TaggerBatches, tag_counts, tag_matrix
from muscaps.training.tagger_config import TaggingConfig
from muscaps.training.tagger_excerpts import ExcerptSource, MelExcerpts, WaveformExcerpts
from muscaps.training.tagger_model import Tagger

_STATISTICS_EXAMPLES = 128  # enough for the mean and variance of a spectrogram


def masked_tagging_loss(logits: Tensor, targets: Tensor, known: Tensor, weight: Tensor) -> Tensor:
    """Compute the binary cross-entropy over known tags, summed over clips and averaged over tags.

    Args:
        logits: (batch, tags).
        targets: 1 where a clip has the tag, (batch, tags).
        known: 1 where the target is known, (batch, tags).
        weight: Weight of a positive relative to a negative, (tags,).
    """
    losses = F.binary_cross_entropy_with_logits(logits, targets, reduction="none", pos_weight=weight)
    return (losses * known).sum() / logits.shape[1]


class TaggerObjective:
    """Trains a tagger on a dataset's clips with tags."""

    keeps_best_weights = False
    stops_within_epoch = True

    def __init__(
        self,
        dataset: PreparedDataset,
        extractor_config: ExtractorConfig = ExtractorConfig(),  # noqa: B008  (frozen)
        config: TaggingConfig = TaggingConfig(),  # noqa: B008  (frozen)
        workers: Workers | None = None,
        device: str = "cpu",
    ) -> None:
        """Select tags, build the network with seeded weights and measure the input statistics.

        Raises:
            DatasetError: There is no audio, no validation split or no frequent tag.
            ValueError: The batch cannot be divided among the workers, or is larger than an epoch.
        """
        self.workers = workers or Workers.present()
        self.config, self.extractor_config, self.dataset, self.device = config, extractor_config, dataset, device
        self.train_examples, self.validation_examples = _tagged(dataset, "train"), _tagged(dataset, "validation")
        self.tags = self._choose_tags()
        self.batch_size = config.batch_size
        self._check_batch_size()
        torch.manual_seed(config.seed)
        self.tagger = Tagger(build_extractor(extractor_config), len(self.tags), config.dropout)
        self._source = self._excerpt_source()
        self.batches = TaggerBatches(self.train_examples, self.tags, self._source, config, self.workers)
        frequency = self.batches.targets.mean(dim=0).clamp(1e-4, 1 - 1e-4)
        self._weight = ((1 - frequency) / frequency).sqrt().clamp(1, 5).to(device)
        self._measure_input_statistics()
        self.average = Tagger(build_extractor(extractor_config), len(self.tags))
        for tagger in (self.tagger, self.average):
            share_batch_norms(tagger.extractor, shared=False)
            share_batch_norms(tagger.head, shared=False)
            tagger.to(device)
        self.average.load_state_dict(self.tagger.state_dict())
        self.average.eval().requires_grad_(False)
        self.parameters = [parameter for parameter in self.tagger.parameters() if parameter.requires_grad]
        self.optimizer = torch.optim.AdamW(self.parameters, lr=0.0, weight_decay=config.weight_decay)
        self.latest: TaggingScores | None = None
        """Scores of the last validation."""

    def _choose_tags(self) -> list[str]:
        """Return the tags that are frequent enough, most frequent first."""
        counts, num_clips = tag_counts(self.train_examples), len(self.train_examples)
        limit = min(self.config.min_tag_count, max(1, num_clips // 10))
        tags = [tag for tag, count in counts.most_common() if limit <= count < num_clips]
        if not tags or not self.validation_examples:
            raise DatasetError(
                f"{self.dataset.directory}: cannot train a tagger on {num_clips} training and "
                f"{len(self.validation_examples)} validation clips with {len(counts)} tags; a tag needs "
                f"{limit} training clips"
            )
        return tags

    def _check_batch_size(self) -> None:
        config, count = self.config, len(self.train_examples)
        if config.batch_size % self.workers.size:
            raise ValueError(f"batch_size={config.batch_size} does not divide among {self.workers.size} workers")
        if count * config.excerpts_per_clip < config.batch_size:
            raise ValueError(f"batch_size={config.batch_size} exceeds an epoch of {count} clips")

    def _excerpt_source(self) -> ExcerptSource:
        extractor, augmentation = self.tagger.extractor, self.config.augmentation
        if isinstance(extractor, Musicnn):
            return MelExcerpts(self.dataset, extractor.chunk_samples, augmentation)
        return WaveformExcerpts(self.dataset, extractor, augmentation)

    def _measure_input_statistics(self) -> None:
        """Set the input normalisation of musicnn to the statistics of some augmented training excerpts."""
        if not isinstance(self.tagger.extractor, Musicnn):
            return
        count = _STATISTICS_EXAMPLES
        some = self.train_examples[:: max(1, len(self.train_examples) // count)][:count]
        generators = [np.random.default_rng([self.config.seed, 0xBEEF, example.index]) for example in some]
        spectrogram, _ = self._source.training_batch(some, some[::-1], generators)
        fix_input_statistics(self.tagger.extractor, float(spectrogram.mean()), float(spectrogram.var()))

    @property
    def steps_per_epoch(self) -> int:
        """Number of complete global batches in an epoch."""
        return self.batches.steps_per_epoch

    def learning_rate(self, progress: Progress) -> float:
        """Return the learning rate: it rises, then falls along a cosine to zero at the end of epochs or time."""
        return warmup_cosine(progress.step, progress.fraction, self.config.learning_rate)

    def loss(self, epoch: int, step: int) -> Tensor:
        """Return this worker's share of a global batch's loss."""
        spectrogram, targets, known = (tensor.to(self.device) for tensor in self.batches.batch(epoch, step))
        torch.manual_seed(hash((self.config.seed, epoch, step, self.workers.rank)) & 0x7FFF_FFFF)
        self.tagger.train()
        return masked_tagging_loss(self.tagger(spectrogram), targets, known, self._weight) / self.config.batch_size

    @torch.no_grad()
    def after_step(self, steps: int) -> None:
        """Update the moving average of weights and statistics; its decay is smaller in the first steps."""
        keep_scales_positive(self.tagger.extractor)
        decay = min(self.config.average_decay, (1 + steps) / (10 + steps))
        for average, current in zip(self.average.state_dict().values(), self.tagger.state_dict().values(), strict=True):
            if average.is_floating_point():
                average.lerp_(current, 1 - decay)
            else:
                average.copy_(current)

    @torch.no_grad()
    def scores(self, examples: Sequence[Example], max_chunks: int = 3) -> np.ndarray:
        """Return the mean logits of the averaged tagger over some chunks of each clip, (clips, tags)."""
        rows = []
        for example in examples:
            spectrogram = self._source.evaluation_batch(example, max_chunks).to(self.device)
            rows.append(self.average(spectrogram).mean(dim=0).cpu().numpy())
        return np.stack(rows)

    def validate(self, epoch: int) -> Validation:
        """Average the workers' batch statistics and score the validation split."""
        self.workers.average_buffers(self.average)
        self.latest = scores = self.validation_scores()
        return Validation(
            score=scores.mean_roc_auc,
            metrics={"validation_roc_auc": scores.mean_roc_auc, "validation_pr_auc": scores.mean_pr_auc},
        )

    def validation_scores(self) -> TaggingScores:
        """Score the averaged tagger on the validation clips, or on evenly spaced ones if there are too many."""
        examples = self.validation_examples
        examples = examples[:: -(-len(examples) // self.config.validation_clips)]
        return score_tags(tag_matrix(examples, self.tags), self.scores(examples), self.tags)

    def weights(self) -> dict[str, Tensor]:
        """Return current and averaged weights."""
        weights = {f"tagger.{name}": value for name, value in self.tagger.state_dict().items()}
        return weights | {f"average.{name}": value for name, value in self.average.state_dict().items()}

    def load_weights(self, weights: Mapping[str, Tensor]) -> None:
        """Load current and averaged weights."""
        for prefix, module in (("tagger.", self.tagger), ("average.", self.average)):
            found = {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}
            module.load_state_dict(found)


def _tagged(dataset: PreparedDataset, split: str) -> list[Example]:
    """Return the clips of a split that have audio and tags."""
    return [example for example in dataset.split(split) if example.audio_start >= 0 and example.tags]
