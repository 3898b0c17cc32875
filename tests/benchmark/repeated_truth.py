"""How true and varied captions are on average over several numbers of chunks and other first words.

The figures of one run depend on the first words that the tracks draw. Reads catalogues as `effort_truth.py` does and
prints for each the mean over all runs: precision, shuffled precision, lift and claims per caption of each layer, and
the shares of distinct captions and of the most frequent opening. Made the tables of docs/bundled-captioner.md.

    python tests/benchmark/repeated_truth.py bundled production/catalogue.csv real/catalogue.csv --features cache/
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[2]))

from muscaps import Captioner, search_rules
from muscaps.evaluation.facts import LAYERS, FactsOptions, measure_facet
from muscaps.evaluation.language import caption_language
from muscaps.openings import track_numbers
from tests.benchmark.effort_truth import Features, fixed, tracks_of

CHUNKS = (7, 8, 9, 10, 12, 15, 20)


def captions_with_other_draws(captioner: Captioner, features: Sequence[Features], shift: float) -> list[str]:
    """Return captions whose tracks draw first words with numbers that are greater by `shift`, modulo 1."""

    def shifted(logits: Tensor) -> Tensor:
        return (track_numbers(logits) + shift).remainder(1.0)

    with mock.patch.object(search_rules, "track_numbers", shifted):
        return [caption.text for caption in captioner.caption_features(features)]


def figures(captions: Sequence[str], rows: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Return the figures of one run; not a number where a layer has none."""
    once = FactsOptions(num_shuffles=1, num_resamples=1)
    found = {}
    for layer in LAYERS:
        facet = measure_facet(layer, captions, rows, once)
        rates = facet.rates
        values = (rates.precision, rates.shuffled_precision, rates.lift, facet.named_per_caption)
        for name, value in zip(("precision", "shuffled", "lift", "claims per caption"), values, strict=True):
            found[f"{layer} {name}"] = np.nan if value is None else value
    language = caption_language(captions)
    return {**found, "distinct": language.distinct_captions / len(captions), "opening": language.opening_share}


def main() -> None:
    """Print the means."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", help="checkpoint directory, or bundled")
    parser.add_argument("catalogues", nargs="+")
    parser.add_argument("--chunks", type=int, nargs="+", default=CHUNKS)
    parser.add_argument("--draws", type=int, default=4, help="draws of first words per number of chunks")
    parser.add_argument("--features", type=Path, help="folder that keeps features")
    options = parser.parse_args()
    torch.set_num_threads(1)
    captioner = Captioner.load(options.checkpoint)
    for catalogue in options.catalogues:
        rows, features = tracks_of(captioner, catalogue, options.features)
        runs = [
            figures(captions_with_other_draws(captioner, fixed(features, number), draw / options.draws), rows)
            for number in options.chunks
            for draw in range(options.draws)
        ]
        print(f"{captioner.model_id}, {catalogue}, {len(rows)} tracks, {len(runs)} runs")
        for name in runs[0]:
            print(f"  {name:30} {np.nanmean([run[name] for run in runs]):.3f}")


if __name__ == "__main__":
    main()
