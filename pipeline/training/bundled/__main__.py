"""Make the bundled captioner from rendered clips and real tracks with facts.

    python -m pipeline.training.bundled --musicnn musicnn-0.1.0-py3-none-any.whl \
        --rendered corpus/pairs.parquet --real real/catalogue.csv OUT

Steps: chunk features of all tracks (kept in OUT/features); tag heads, and logits of each track from heads fitted
without it; captions from facts that those logits complete; a captioner on the logits; the same captioner reading the
extractor's features. OUT/captioner-FUSION-SEED are the checkpoints. A fifth of the real tracks is left out.
"""

import argparse
import json
import logging
from pathlib import Path

import torch

from muscaps.checkpoint import BUNDLED, load_checkpoint, save_checkpoint
from muscaps.config import TRAINED_DECODING, FusionName
from muscaps.published_musicnn import PublishedMusicnn, import_musicnn
from muscaps.tagger import TagHeads
from muscaps.training.bottleneck_dataset import write_bottleneck_dataset
from muscaps.training.dataset.reader import PreparedDataset
from muscaps.training.tag_bottleneck import reading_features
from pipeline.training.bundled import card, recipe, tracks
from pipeline.training.bundled.tags import FittedTags

logger = logging.getLogger("muscaps.bundled")

DEPARTURES = (
    "the captioner is trained on the logits of tag heads, whose product with its first layer reads the audio features",
    "word vectors are learned from the captions, not GloVe",
    "captions are written by a grammar from facts; unknown facts are completed by tag heads fitted without the track",
    "dropout masks are drawn per example, so that they do not depend on the number of workers",
)


def main() -> None:
    """Run all steps."""
    arguments = _parser().parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(arguments.threads)
    output: Path = arguments.output
    published = import_musicnn(arguments.musicnn)
    real = tracks.read_real_tracks(arguments.real, arguments.exclude_licence)
    clips = tracks.read_rendered_clips(arguments.rendered)
    whole = recipe.both_networks(published, arguments.small)
    (output / "features").mkdir(parents=True, exist_ok=True)
    real_entries = tracks.real_features(real, whole, output / "features" / "real.npz")
    entries = tracks.rendered_features(clips, whole, output / "features" / "rendered.npz")
    if not arguments.without_real:
        entries += [entry for entry in real_entries if entry.track_id in real.training]
    encoder = recipe.chosen_encoder(published, arguments.small, arguments.parts)
    made = recipe.Recipe(entries=recipe.narrowed(entries, encoder.columns), real=real, clips=clips, encoder=encoder)
    fitted = made.fit_tags()
    logger.info("%d tag heads from %d versions of tracks", len(fitted.names), len(entries))
    dataset = write_bottleneck_dataset(output / "dataset", made.logit_entries(fitted))
    logger.info("%d examples, %d words", len(dataset.examples), len(dataset.vocabulary))
    held_out = recipe.held_out_reliability(fitted, recipe.narrowed(real_entries, encoder.columns), real)
    heads = TagHeads(
        names=fitted.names,
        weight=torch.from_numpy(fitted.heads.weight).float(),
        bias=torch.from_numpy(fitted.heads.bias).float(),
        card={**card.attribution(real), "rendered_clips": len(clips), "reliability": held_out},
    )
    for fusion in arguments.fusion:
        for seed in arguments.seed:
            _train(arguments, made, fitted, heads, dataset, published, fusion, seed)


def _train(
    arguments: argparse.Namespace,
    made: recipe.Recipe,
    fitted: FittedTags,
    heads: TagHeads,
    dataset: PreparedDataset,
    published: PublishedMusicnn,
    fusion: FusionName,
    seed: int,
) -> None:
    """Train one captioner and save it."""
    name = f"{fusion}-{seed}"
    model, losses = recipe.train_on_logits(
        dataset,
        arguments.output / f"state-{name}",
        fusion=fusion,
        hidden_dim=arguments.hidden_dim,
        max_epochs=arguments.max_epochs,
        seed=seed,
    )
    weight, bias = made.standardised_heads(fitted)
    captioner = reading_features(model, weight, bias, made.encoder.extractor, made.encoder.config)
    model_id = save_checkpoint(
        arguments.output / f"captioner-{name}",
        captioner,
        dataset.vocabulary,
        name=arguments.name,
        training={
            "data": card.description(made.real, made.clips),
            "dataset_digest": dataset.card["digest"],
            "seed": seed,
            "commands": ["python -m pipeline.training.bundled, see docs/training.md"],
            **card.origin_of_networks(load_checkpoint(arguments.small).card),
        },
        metrics=losses,
        departures=DEPARTURES,
        tagger=heads,
        sections={
            "decoding": {**TRAINED_DECODING, **json.loads(arguments.decoding)},
            "notices": [{"what": card.MUSICNN_NOTICE, "licence": "ISC", "text": published.licence}],
        },
    )
    logger.info("captioner-%s: %s, validation loss %.4f", name, model_id, losses["validation_loss"])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path, metavar="OUT")
    parser.add_argument("--musicnn", type=Path, required=True, help="wheel of musicnn 0.1.0, or its folder")
    parser.add_argument("--rendered", type=Path, required=True, help="pairs.parquet of a rendered corpus")
    parser.add_argument("--real", type=Path, required=True, help="catalogue of real tracks with facts, CSV")
    parser.add_argument("--small", type=Path, default=BUNDLED, help="captioner that has the small musicnn")
    parser.add_argument("--exclude-licence", default="BY-SA", help="tracks whose licence contains it are not used")
    parser.add_argument("--parts", choices=("both", "published", "small"), default="both", help="networks to read")
    parser.add_argument("--without-real", action="store_true", help="train on rendered clips alone")
    parser.add_argument("--fusion", choices=("early", "late", "attention"), nargs="+", default=["early"])
    parser.add_argument("--hidden-dim", type=int, default=192)
    parser.add_argument("--max-epochs", type=int, default=16)
    parser.add_argument("--seed", type=int, nargs="+", default=[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--name", default="muscaps-real")
    parser.add_argument("--decoding", default="{}", help="more settings of the card's section `decoding`, JSON")
    return parser


if __name__ == "__main__":
    main()
