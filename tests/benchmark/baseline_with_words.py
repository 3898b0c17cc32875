"""What the DCASE baseline lacks: the word before. Trains it with that word, on a prepared dataset.

    python tests/benchmark/baseline_with_words.py DATASET

The baseline's decoder reads the same audio embedding at every step and no words. This one adds an embedding of the word
before. Everything else is that of `muscaps experiment DATASET OUT --scale cpu --system dcase`, which must have run (it
computes the features) and whose cell has the numbers to compare with. Prints loss and greedy CIDEr of the validation
split, and the loss of two predictions without audio: by position in the caption, and by the word before.
"""

import argparse
import math
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).parents[2]))

from jobs.recipes import cpu_experiment
from muscaps.config import ModelConfig
from muscaps.models.architectures import build_extractor
from muscaps.models.dcase import DcaseBaseline
from muscaps.training.batches import encoded_captions
from muscaps.training.captioner_objective import CaptionerObjective
from muscaps.training.dataset.feature_cache import FeatureCache, extractor_digest
from muscaps.training.dataset.reader import PreparedDataset
from muscaps.training.loop import TrainingLoop


class BaselineWithWords(DcaseBaseline):
    """The baseline, whose decoder also reads the word before."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        self.words = nn.Embedding(config.vocabulary_size, 2 * config.hidden_dim)

    def decoder_input(self, audio: Tensor, word_ids: Tensor) -> Tensor:
        return audio + self.words(word_ids)


def loss_without_audio(dataset: PreparedDataset, *, by_position: bool) -> float:
    """Return the validation loss of word frequencies per position, or per word before; 0.01 is added to counts."""
    counts: Counter[tuple[int, int]] = Counter()
    totals: Counter[int] = Counter()

    def pairs(split: str) -> list[tuple[int, int]]:
        texts = [text for texts in encoded_captions(dataset.split(split), dataset.vocabulary) for text in texts]
        return [(at if by_position else a, b) for text in texts for at, (a, b) in enumerate(zip(text, text[1:]))]  # noqa: B905

    for pair in pairs("train"):
        counts[pair] += 1
        totals[pair[0]] += 1
    size = len(dataset.vocabulary)
    found = [math.log((counts[pair] + 0.01) / (totals[pair[0]] + 0.01 * size)) for pair in pairs("validation")]
    return -sum(found) / len(found)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--learning-rate", type=float, default=3e-3)
    arguments = parser.parse_args()
    dataset = PreparedDataset(arguments.dataset)
    for label, by_position in (("by position", True), ("by the word before", False)):
        print(
            f"no audio, {label}: validation loss {loss_without_audio(dataset, by_position=by_position):.2f}", flush=True
        )
    config = cpu_experiment(arguments.dataset, Path("unused"))
    features = FeatureCache(dataset, extractor_digest(build_extractor(config.log_mel)))
    if not features.complete:
        raise SystemExit(
            "run `muscaps experiment DATASET OUT --scale cpu --system dcase` first; it computes the features"
        )
    torch.manual_seed(0)
    model = BaselineWithWords(replace(config.dcase_model, vocabulary_size=len(dataset.vocabulary)))
    training = replace(config.training, learning_rate=arguments.learning_rate)
    loop = TrainingLoop(CaptionerObjective(dataset, model, dataset.vocabulary, training, features=features.read))
    loop.train()
    counters = loop.counters
    best = counters.history[counters.best_epoch - 1]
    print(
        f"with the word before: epoch {counters.best_epoch} of {len(counters.history)}, validation loss "
        f"{best['validation_loss']:.2f}, CIDEr {100 * best['validation_cider']:.1f}, "
        f"{best['validation_distinct']:.0%} distinct"
    )


if __name__ == "__main__":
    main()
