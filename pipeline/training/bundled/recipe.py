"""The steps that make the bundled captioner from features, facts and captions; `__main__` puts them together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch

from muscaps.checkpoint import load_checkpoint
from muscaps.config import ExtractorConfig, FusionName, ModelConfig
from muscaps.models.combined_extractor import CombinedExtractor
from muscaps.models.feature_extractor import FeatureExtractor
from muscaps.models.muscaps import MusCaps
from muscaps.published_musicnn import PublishedMusicnn
from muscaps.training.bottleneck_dataset import LogitEntry, noisy_readers
from muscaps.training.captioner_config import CaptionTrainingConfig
from muscaps.training.captioner_objective import CaptionerObjective
from muscaps.training.dataset.reader import PreparedDataset
from muscaps.training.feature_file import FeatureEntry
from muscaps.training.loop import TrainingLoop
from muscaps.training.tag_bottleneck import TagLogits
from muscaps.training.tag_heads import reliability
from muscaps.training.tag_labels import GROUP_OF, labels_of_catalogue_row, labels_of_clip_row
from muscaps.vocabulary import tokenize, vectors_from_captions
from pipeline.training.bundled import captions
from pipeline.training.bundled.tags import FittedTags, TrainingTracks, fit_tags
from pipeline.training.bundled.tracks import PLAIN, RealTracks

PartsName = Literal["both", "published", "small"]
"""Which networks the captioner reads."""

NOISE = 0.3
"""Standard deviation of the noise on standardised logits; without it the captioner trusts small differences."""
NUM_NOISY_COPIES = 6
REAL_COPIES = 12
"""How often a real track is stored, over all of its versions."""
WORD_DIM = 100
VALIDATION_EVERY = 20
"""Each how many-th rendered clip validates the captioner."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Encoder:
    """The audio network, and which columns of the stored features are its own."""

    extractor: FeatureExtractor
    config: ExtractorConfig
    columns: slice
    published_dim: int
    """Features of the published network, which come first; all of them where it is left out."""


def both_networks(published: PublishedMusicnn, small: Path) -> CombinedExtractor:
    """Put the published network beside the small musicnn of a captioner."""
    return CombinedExtractor([published.extractor, _small_network(small)[0]]).eval()


def chosen_encoder(published: PublishedMusicnn, small: Path, parts: PartsName) -> Encoder:
    """Return the audio network of a captioner."""
    network, config = _small_network(small)
    first = published.extractor.feature_dim
    if parts == "published":
        return Encoder(
            extractor=published.extractor, config=published.config, columns=slice(0, first), published_dim=first
        )
    if parts == "small":
        return Encoder(extractor=network, config=config, columns=slice(first, None), published_dim=network.feature_dim)
    return Encoder(
        extractor=CombinedExtractor([published.extractor, network]).eval(),
        config=ExtractorConfig(name="combined", parts=(published.config, config)),
        columns=slice(None),
        published_dim=first,
    )


def _small_network(checkpoint: Path) -> tuple[FeatureExtractor, ExtractorConfig]:
    """The musicnn of a captioner, alone or as a part."""
    loaded = load_checkpoint(checkpoint)
    network, config = loaded.model.feature_extractor, loaded.model_config.extractor
    if not isinstance(network, CombinedExtractor):
        return network, config
    [found] = [
        (part, settings)
        for part, settings in zip(network.parts, config.parts, strict=True)
        if isinstance(part, FeatureExtractor) and settings.name == "musicnn"
    ]
    return found


@dataclass(frozen=True, kw_only=True, eq=False)
class Recipe:
    """Training tracks and what is made from them."""

    entries: Sequence[FeatureEntry]
    """Versions of the training tracks."""
    real: RealTracks
    clips: Mapping[str, Mapping[str, Any]]
    encoder: Encoder

    @property
    def reference(self) -> npt.NDArray[np.bool_]:
        """The entries that standardise and calibrate: whole real tracks, or all where there are none, (entries,)."""
        chosen = np.array([e.track_id in self.real.training and e.version == PLAIN for e in self.entries])
        return chosen if chosen.any() else np.ones(len(self.entries), dtype=bool)

    def fit_tags(self) -> FittedTags:
        """Fit tag heads."""
        names = {entry.track_id for entry in self.entries}
        labels = {name: labels_of_clip_row(self.clips[name]) for name in sorted(names & set(self.clips))}
        labels |= {name: labels_of_catalogue_row(self.real.rows[name]) for name in sorted(names & self.real.training)}
        groups = {name: self.real.rows[name]["split_group"] if name in self.real.training else name for name in labels}
        tracks = TrainingTracks(entries=self.entries, labels=labels, groups=groups, real=self.real.training)
        return fit_tags(tracks, self.encoder.published_dim, self.reference)

    def statistics(self, fitted: FittedTags) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Mean and deviation of the reference's out-of-fold logits, (tags,) each."""
        logits = fitted.logits[self.reference]
        return logits.mean(axis=0), logits.std(axis=0) + 1e-3

    def standardised_heads(self, fitted: FittedTags) -> tuple[torch.Tensor, torch.Tensor]:
        """Weights and bias of the standardised logits that the captioner reads, (tags, feature) and (tags,)."""
        centre, spread = self.statistics(fitted)
        weight = fitted.heads.weight / spread[:, None]
        return torch.from_numpy(weight).float(), torch.from_numpy((fitted.heads.bias - centre) / spread).float()

    def logit_entries(self, fitted: FittedTags) -> list[LogitEntry]:
        """Captions and standardised out-of-fold logits of all versions."""
        centre, spread = self.statistics(fitted)
        rng = np.random.default_rng(0)
        names = [entry.track_id for entry in self.entries]
        found = []
        for place, entry in enumerate(self.entries):
            is_real = entry.track_id in self.real.training
            scores = dict(zip(fitted.names, 1 / (1 + np.exp(-fitted.logits[place])), strict=True))
            if is_real:
                row = self.real.rows[entry.track_id]
                texts = captions.captions_of_real_track(row, scores, rng)
            else:
                texts = captions.captions_of_clip(self.clips[entry.track_id], scores, rng)
            if texts:
                chunks = (fitted.fold_logits(entry) - centre) / spread
                found.append(
                    LogitEntry(
                        name=f"{entry.track_id}/{entry.version}",
                        captions=texts,
                        logits=chunks.astype(np.float32),
                        split="validation" if not is_real and place % VALIDATION_EVERY == 0 else "train",
                        copies=round(REAL_COPIES / names.count(entry.track_id)) if is_real else 1,
                    )
                )
        return found


def narrowed(entries: Sequence[FeatureEntry], columns: slice) -> list[FeatureEntry]:
    """Keep some columns of the features."""
    return [replace(entry, features=entry.features[:, columns]) for entry in entries]


def train_on_logits(
    dataset: PreparedDataset, state: Path, *, fusion: FusionName, hidden_dim: int, max_epochs: int, seed: int
) -> tuple[MusCaps, dict[str, float]]:
    """Train a captioner on a dataset of tag logits, or resume it.

    Returns:
        The captioner of the best epoch, and that epoch's losses.
    """
    words = [tokenize(text) for example in dataset.split("train") for text in example.captions]
    config = CaptionTrainingConfig(
        learning_rate=2e-3,
        batch_size=64,
        max_epochs=max_epochs,
        patience=max_epochs,
        gradient_clip=5.0,
        decode_every=1000,
        disturbed_versions=NUM_NOISY_COPIES,
        seed=seed,
    )
    torch.manual_seed(seed)
    model_config = ModelConfig(
        fusion=fusion,
        vocabulary_size=len(dataset.vocabulary),
        word_embedding_dim=WORD_DIM,
        audio_embedding_dim=hidden_dim,
        hidden_dim=hidden_dim,
        attention_dim=64,
        dropout=0.3,
    )
    model = MusCaps(model_config, TagLogits(dataset.feature_dim or 0))
    vectors = vectors_from_captions(words, dataset.vocabulary, WORD_DIM, seed)
    with torch.no_grad():
        model.word_embedding.weight.copy_(torch.as_tensor(vectors))
    augmented = noisy_readers(dataset, NOISE, NUM_NOISY_COPIES, seed)
    loop = TrainingLoop(CaptionerObjective(dataset, model, dataset.vocabulary, config, augmented=augmented))
    loop.train_with_state(state)
    if loop.best_weights is not None:
        loop.objective.load_weights(loop.best_weights)
    best = loop.counters.history[loop.counters.best_epoch - 1]
    return model, {name: best[name] for name in ("epoch", "train_loss", "validation_loss")}


def held_out_reliability(fitted: FittedTags, entries: Sequence[FeatureEntry], real: RealTracks) -> dict[str, Any]:
    """Reliability of the scores on the real tracks left out, by group of tags."""
    chosen = [entry for entry in entries if entry.track_id in real.validation and entry.version == PLAIN]
    scores = 1 / (1 + np.exp(-fitted.heads.logits(np.stack([entry.mean for entry in chosen]))))
    labels, known = (
        np.stack([labels_of_catalogue_row(real.rows[e.track_id])[part] for e in chosen])[:, list(fitted.places)]
        for part in (0, 1)
    )
    groups = np.array([GROUP_OF[place] for place in fitted.places])
    return {
        group: reliability(scores[:, groups == group], labels[:, groups == group], known[:, groups == group])
        for group in dict.fromkeys(groups.tolist())
        if known[:, groups == group].any()
    }
