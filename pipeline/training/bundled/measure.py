"""Measure the bundled captioner on tracks that nothing was trained on, and write the figures into its model card.

    python -m pipeline.training.bundled.measure CHECKPOINT OUT \
        --production pairs/catalogue.csv --real real/catalogue.csv

The card's section `metrics` then has `real_tracks` (the production tracks) and `real_tracks_left_out` (those of the
real tracks that were left out): what captions claim with a beam of 1 and of 5, and the ROC-AUC of the tags.
"""

import argparse
import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from muscaps import Captioner, DecodingOptions, load_audio
from muscaps.checkpoint import checkpoint_path, load_checkpoint
from muscaps.evaluation.facts import FactLayer, FactsOptions, measure_facet
from muscaps.evaluation.language import caption_language
from muscaps.evaluation.tag_metrics import roc_auc
from muscaps.tagger import Features
from muscaps.training.tag_labels import TAGS, labels_of_catalogue_row
from pipeline.training.bundled.card import save_changed

Row = Mapping[str, str]

BEAMS = (1, 5)
LAYERS: Mapping[str, FactLayer] = {"instruments": "family", "mood": "mood", "energy": "energy", "tempo": "tempo"}
"""Names in the card, and the layers of the lexicon that they measure."""
MIN_TRACKS = 3
"""Tracks with a tag, and without it, that its ROC-AUC needs."""


def caption_figures(captions: Sequence[str], rows: Sequence[Row], options: FactsOptions) -> dict[str, Any]:
    """Return what captions claim, held against a catalogue, and how they read."""
    language = caption_language(captions)
    figures: dict[str, Any] = {"tracks": len(captions), "distinct": language.distinct_captions}
    for name, layer in LAYERS.items():
        found = measure_facet(layer, captions, rows, options)
        values = {
            "recall": found.rates.recall,
            "precision": found.rates.precision,
            "shuffled": found.rates.shuffled_precision,
            "lift": found.rates.lift,
            "named_per_caption": found.named_per_caption,
        }
        figures[name] = {key: None if value is None else round(value, 3) for key, value in values.items()}
    return {
        **figures,
        "unk": language.unknown_word_captions,
        "repeated_words": language.repeated_word_captions,
        "words_per_caption": round(language.mean_words, 1),
        "opening_share": round(language.opening_share, 3),
    }


def tag_roc_auc(names: Sequence[tuple[str, str]], scores: np.ndarray, rows: Sequence[Row]) -> dict[str, float]:
    """Return the ROC-AUC of each tag that at least `MIN_TRACKS` tracks have and as many lack.

    Args:
        names: Facet and tag of each score.
        scores: (tracks, tags).
        rows: Catalogue rows of the tracks.
    """
    labels, known = (np.stack([labels_of_catalogue_row(row)[part] for row in rows]) for part in (0, 1))
    found = {}
    for column, name in enumerate(names):
        if name not in TAGS:
            continue
        place = TAGS.index(name)
        truth, chosen = labels[:, place][known[:, place] > 0], scores[known[:, place] > 0, column]
        if MIN_TRACKS <= truth.sum() <= len(truth) - MIN_TRACKS:
            found[": ".join(name)] = round(roc_auc(truth, chosen), 3)
    return found


def figures_of_tracks(
    captioner: Captioner, features: Sequence[Features], rows: Sequence[Row], options: FactsOptions
) -> dict[str, Any]:
    """Return all figures of some tracks, whose features are (chunks, feature) each."""
    figures: dict[str, Any] = {"tracks": len(rows)}
    for beam in BEAMS:
        captions = captioner.caption_features(features, DecodingOptions(beam_size=beam))
        figures[f"beam_{beam}"] = caption_figures([caption.text for caption in captions], rows, options)
    if captioner.tagger is not None:
        figures["tag_roc_auc"] = tag_roc_auc(captioner.tagger.names, captioner.tagger.scores(features), rows)
    return figures


def main(arguments: Sequence[str] | None = None) -> None:
    """Extract, caption, measure, save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", help="captioner with tag heads, or bundled")
    parser.add_argument("output", type=Path, metavar="OUT")
    parser.add_argument("--production", type=Path, required=True, help="catalogue of production tracks, CSV")
    parser.add_argument("--real", type=Path, required=True, help="catalogue of real tracks, CSV")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    checkpoint = load_checkpoint(checkpoint_path(options.checkpoint))
    captioner = Captioner(load_checkpoint(checkpoint_path(options.checkpoint)))  # rearranges the weights that it gets
    left_out = set(checkpoint.card["tagger"]["validation_tracks"])
    sets = {
        "real_tracks": (options.production, None, "production tracks, never trained on; the search was chosen on them"),
        "real_tracks_left_out": (options.real, left_out, "the real tracks of card.tagger.validation_tracks"),
    }
    metrics = {}
    for name, (catalogue, chosen, what) in sets.items():
        with catalogue.open(newline="", encoding="utf-8") as lines:
            rows = [row for row in csv.DictReader(lines) if chosen is None or row["track_id"] in chosen]
        features = [captioner.features([load_audio(str(catalogue.parent / row["uri"]))])[0] for row in rows]
        metrics[name] = {"what": what, **figures_of_tracks(captioner, features, rows, FactsOptions())}
    print(save_changed(checkpoint, options.output, metrics=metrics))


if __name__ == "__main__":
    main()
