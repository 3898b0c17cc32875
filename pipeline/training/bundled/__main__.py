"""Make the bundled captioner from rendered clips and real tracks with facts.

    python -m pipeline.training.bundled --musicnn musicnn-0.1.0-py3-none-any.whl \
        --rendered corpus/pairs.parquet --real real/catalogue.csv OUT

Steps: chunk features of all tracks (kept in OUT/features); tag heads, and logits of each track from heads fitted
without it; captions from facts that those logits complete; a captioner on the logits; the same captioner reading the
extractor's features. OUT/captioner is the checkpoint. A fifth of the real tracks, whole split groups, is left out.
"""

import argparse
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from muscaps.checkpoint import BUNDLED, load_checkpoint, save_checkpoint
from muscaps.config import TRAINED_DECODING, ExtractorConfig, ModelConfig
from muscaps.models.combined_extractor import CombinedExtractor
from muscaps.models.feature_extractor import FeatureExtractor
from muscaps.models.muscaps import MusCaps
from muscaps.published_musicnn import PublishedMusicnn, import_musicnn
from muscaps.tagger import TagHeads
from muscaps.training.bottleneck_dataset import LogitEntry, noisy_readers, write_bottleneck_dataset
from muscaps.training.captioner_config import CaptionTrainingConfig
from muscaps.training.captioner_objective import CaptionerObjective
from muscaps.training.feature_file import FeatureEntry
from muscaps.training.loop import TrainingLoop
from muscaps.training.tag_bottleneck import TagLogits, reading_features
from muscaps.training.tag_heads import reliability
from muscaps.training.tag_labels import GROUP_OF, labels_of_catalogue_row, labels_of_clip_row
from muscaps.vocabulary import tokenize, vectors_from_captions
from pipeline.training.bundled import captions, card, tracks
from pipeline.training.bundled.tags import FittedTags, TrainingTracks, fit_tags

logger = logging.getLogger("muscaps.bundled")

NOISE = 0.3
"""Standard deviation of the noise on standardised logits; without it the captioner trusts small differences."""
NUM_NOISY_COPIES = 6
REAL_COPIES = 12
"""How often a real track is stored, over all of its versions."""
WORD_DIM = 100


def main() -> None:
    """Run all steps."""
    arguments = _parser().parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(arguments.threads)
    output: Path = arguments.output
    (output / "features").mkdir(parents=True, exist_ok=True)
    published = import_musicnn(arguments.musicnn)
    extractor, config = _combined(published, arguments.small)
    real = tracks.read_real_tracks(arguments.real, arguments.exclude_licence)
    clips = tracks.read_rendered_clips(arguments.rendered)
    real_entries = tracks.real_features(real, extractor, output / "features" / "real.npz")
    entries = tracks.rendered_features(clips, extractor, output / "features" / "rendered.npz")
    logger.info("%d versions of %d real tracks, %d rendered clips", len(real_entries), len(real.used), len(entries))
    entries += [entry for entry in real_entries if entry.track_id in real.training]
    fitted = _fitted(entries, real, clips, published.extractor.feature_dim)
    logger.info("%d tag heads", len(fitted.names))
    model, facts = _trained(arguments, entries, fitted, real, clips)
    weight, bias = _standardised(fitted, entries, real)
    captioner = reading_features(model, weight, bias, extractor, config)
    held_out = [e for e in real_entries if e.track_id in real.validation and e.version == tracks.PLAIN]
    heads = TagHeads(
        names=fitted.names,
        weight=torch.from_numpy(fitted.heads.weight).float(),
        bias=torch.from_numpy(fitted.heads.bias).float(),
        card={**card.attribution(real), "reliability": _reliability(fitted, held_out, real)},
    )
    model_id = save_checkpoint(
        output / "captioner",
        captioner,
        facts["vocabulary"],
        name=arguments.name,
        training=facts["training"],
        metrics=facts["metrics"],
        departures=DEPARTURES,
        tagger=heads,
        sections={
            "decoding": {**TRAINED_DECODING, **json.loads(arguments.decoding)},
            "notices": [{"what": card.MUSICNN_NOTICE, "licence": "ISC", "text": published.licence}],
        },
    )
    logger.info("%s: %s", output / "captioner", model_id)


DEPARTURES = (
    "the audio network is two networks: the original musicnn as published (MagnaTagATune) and a small musicnn "
    "(front end of 0.392, back end of 128 channels)",
    "the captioner is trained on the logits of tag heads, whose product with its first layer reads the audio features",
    "word vectors are learned from the captions, not GloVe",
    "captions are written by a grammar from facts; unknown facts are completed by tag heads fitted without the track",
    "dropout masks are drawn per example, so that they do not depend on the number of workers",
)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path, metavar="OUT")
    parser.add_argument("--musicnn", type=Path, required=True, help="wheel of musicnn 0.1.0, or its folder")
    parser.add_argument("--rendered", type=Path, required=True, help="pairs.parquet of a rendered corpus")
    parser.add_argument("--real", type=Path, required=True, help="catalogue of real tracks with facts, CSV")
    parser.add_argument("--small", type=Path, default=BUNDLED, help="captioner that has the small musicnn")
    parser.add_argument("--exclude-licence", default="BY-SA", help="tracks whose licence contains it are not used")
    parser.add_argument("--fusion", choices=("early", "late", "attention"), default="early")
    parser.add_argument("--hidden-dim", type=int, default=192)
    parser.add_argument("--max-epochs", type=int, default=16)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--name", default="muscaps-real")
    parser.add_argument("--decoding", default="{}", help="more settings of the card's section `decoding`, JSON")
    return parser


def _combined(published: PublishedMusicnn, small: Path) -> tuple[FeatureExtractor, ExtractorConfig]:
    """Put the published network beside the small musicnn of a captioner."""
    checkpoint = load_checkpoint(small)
    network, config = checkpoint.model.feature_extractor, checkpoint.model_config.extractor
    if isinstance(network, CombinedExtractor):
        [(network, config)] = [
            (part, settings)
            for part, settings in zip(network.parts, config.parts, strict=True)
            if isinstance(part, FeatureExtractor) and settings.name == "musicnn"
        ]
    extractor = CombinedExtractor([published.extractor, network]).eval()
    return extractor, ExtractorConfig(name="combined", parts=(published.config, config))


def _fitted(
    entries: list[FeatureEntry], real: tracks.RealTracks, clips: Mapping[str, Any], published_dim: int
) -> FittedTags:
    labels = {track_id: labels_of_clip_row(clips[track_id]) for track_id in {e.track_id for e in entries} & set(clips)}
    labels |= {track_id: labels_of_catalogue_row(real.rows[track_id]) for track_id in real.training}
    groups = {
        track_id: real.rows[track_id]["split_group"] if track_id in real.training else track_id for track_id in labels
    }
    training = TrainingTracks(entries=entries, labels=labels, groups=groups, real=real.training)
    return fit_tags(training, published_dim, _is_reference(entries, real))


def _is_reference(entries: list[FeatureEntry], real: tracks.RealTracks) -> np.ndarray:
    return np.array([entry.track_id in real.training and entry.version == tracks.PLAIN for entry in entries])


def _standardised(
    fitted: FittedTags, entries: list[FeatureEntry], real: tracks.RealTracks
) -> tuple[torch.Tensor, torch.Tensor]:
    """Weights and bias of the standardised logits that the captioner reads, (tags, feature) and (tags,)."""
    centre, spread = _statistics(fitted, entries, real)
    weight = fitted.heads.weight / spread[:, None]
    return torch.from_numpy(weight).float(), torch.from_numpy((fitted.heads.bias - centre) / spread).float()


def _statistics(
    fitted: FittedTags, entries: list[FeatureEntry], real: tracks.RealTracks
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation of the real tracks' out-of-fold logits, (tags,) each."""
    logits = fitted.logits[_is_reference(entries, real)]
    return logits.mean(axis=0), logits.std(axis=0) + 1e-3


def _trained(
    arguments: argparse.Namespace,
    entries: list[FeatureEntry],
    fitted: FittedTags,
    real: tracks.RealTracks,
    clips: Mapping[str, Any],
) -> tuple[MusCaps, dict[str, Any]]:
    """Write the dataset of logits and train a captioner on it."""
    stored = _logit_entries(entries, fitted, real, clips)
    dataset = write_bottleneck_dataset(arguments.output / "dataset", stored)
    words = [tokenize(text) for example in dataset.split("train") for text in example.captions]
    vectors = vectors_from_captions(words, dataset.vocabulary, WORD_DIM, arguments.seed)
    config = CaptionTrainingConfig(
        learning_rate=2e-3,
        batch_size=64,
        max_epochs=arguments.max_epochs,
        patience=arguments.max_epochs,
        gradient_clip=5.0,
        decode_every=1000,
        disturbed_versions=NUM_NOISY_COPIES,
        seed=arguments.seed,
    )
    torch.manual_seed(arguments.seed)
    model = MusCaps(
        ModelConfig(
            fusion=arguments.fusion,
            vocabulary_size=len(dataset.vocabulary),
            word_embedding_dim=WORD_DIM,
            audio_embedding_dim=arguments.hidden_dim,
            hidden_dim=arguments.hidden_dim,
            attention_dim=64,
            dropout=0.3,
        ),
        TagLogits(len(fitted.names)),
    )
    with torch.no_grad():
        model.word_embedding.weight.copy_(torch.as_tensor(vectors))
    augmented = noisy_readers(dataset, NOISE, NUM_NOISY_COPIES, arguments.seed)
    loop = TrainingLoop(CaptionerObjective(dataset, model, dataset.vocabulary, config, augmented=augmented))
    loop.train_with_state(arguments.output / "state")
    if loop.best_weights is not None:
        loop.objective.load_weights(loop.best_weights)
    last = loop.counters.history[-1]
    training = {
        "data": f"{len(real.training)} real tracks and {sum(e.track_id in clips for e in entries)} rendered clips",
        "dataset_digest": dataset.card["digest"],
        "seed": arguments.seed,
        "epochs": loop.counters.epoch,
        "command": "python -m pipeline.training.bundled",
    }
    metrics = {name: last[name] for name in ("train_loss", "validation_loss") if name in last}
    return model, {"vocabulary": dataset.vocabulary, "training": training, "metrics": metrics}


def _logit_entries(
    entries: list[FeatureEntry], fitted: FittedTags, real: tracks.RealTracks, clips: Mapping[str, Any]
) -> list[LogitEntry]:
    """Captions and standardised out-of-fold logits of all versions; each twentieth clip validates."""
    centre, spread = _statistics(fitted, entries, real)
    rng = np.random.default_rng(0)
    counts = {track_id: sum(entry.track_id == track_id for entry in entries) for track_id in real.training}
    found = []
    for place, entry in enumerate(entries):
        is_real = entry.track_id in real.training
        standardised = (fitted.logits[place] - centre) / spread
        if is_real:
            scores = dict(zip(fitted.names, 1 / (1 + np.exp(-fitted.logits[place])), strict=True))
            texts = captions.captions_of_real_track(real.rows[entry.track_id], scores, standardised, rng)
        else:
            texts = captions.captions_of_clip(clips[entry.track_id], standardised, rng)
        if texts:
            logits = fitted.fold_logits(entry)
            found.append(
                LogitEntry(
                    name=f"{entry.track_id}/{entry.version}",
                    captions=texts,
                    logits=((logits - centre) / spread).astype(np.float32),
                    split="validation" if not is_real and place % 20 == 0 else "train",
                    copies=round(REAL_COPIES / counts[entry.track_id]) if is_real else 1,
                )
            )
    logger.info("%d versions with captions", len(found))
    return found


def _reliability(fitted: FittedTags, validation: list[FeatureEntry], real: tracks.RealTracks) -> dict[str, Any]:
    """Reliability of the scores on the real tracks left out, by group of tags."""
    scores = 1 / (1 + np.exp(-fitted.heads.logits(np.stack([entry.mean for entry in validation]))))
    labels, known = (
        np.stack([labels_of_catalogue_row(real.rows[e.track_id])[part] for e in validation])[:, list(fitted.places)]
        for part in (0, 1)
    )
    groups = np.array([GROUP_OF[place] for place in fitted.places])
    return {
        group: reliability(scores[:, groups == group], labels[:, groups == group], known[:, groups == group])
        for group in dict.fromkeys(groups.tolist())
        if known[:, groups == group].any()
    }


if __name__ == "__main__":
    main()
