"""How weight and threshold of the evidence change what captions claim, on tracks with facts.

Needs a checkpoint with tag heads and a catalogue with `uri` and `instruments`, `feel` or `bpm` whose tracks nothing was
trained on. Prints one line for each pair of weight and threshold; the best go into the card, section `decoding`.

    python tests/benchmark/evidence_weight.py CHECKPOINT CATALOGUE.csv --weights 0 0.3 0.6 1 --thresholds 0.2 0.35 0.5
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))

from muscaps import Captioner, DecodingOptions, load_audio
from muscaps.checkpoint import Checkpoint, load_checkpoint
from muscaps.evaluation.facts import FactsOptions, measure_facet
from muscaps.evaluation.language import caption_language
from pipeline.catalogue import read_catalogue

LAYERS = ("family", "mood", "energy", "tempo")


def captioner_with(checkpoint: Checkpoint, **evidence: float) -> Captioner:
    """Return the checkpoint's captioner with other evidence settings than its card's."""
    decoding = {**checkpoint.card.get("decoding", {}), **evidence}
    return Captioner(replace(checkpoint, card={**checkpoint.card, "decoding": decoding}))


def line(captions: Sequence[str], rows: Sequence[dict[str, object]]) -> str:
    """Return precision, recall, lift and claims a caption of each layer, and figures of the language."""
    once = FactsOptions(num_shuffles=1, num_resamples=1)
    parts = []
    for layer in LAYERS:
        found = measure_facet(layer, captions, rows, once)
        numbers = (found.rates.precision, found.rates.recall, found.rates.lift, found.named_per_caption)
        parts.append(" ".join("   -" if number is None else f"{number:.2f}" for number in numbers))
    language = caption_language(captions)
    return " | ".join([*parts, f"{language.distinct_captions:3d} {language.mean_words:4.1f}"])


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("catalogue")
    parser.add_argument("--weights", type=float, nargs="+", default=[0, 0.3, 0.6, 1.0])
    parser.add_argument("--thresholds", type=float, nargs="+", default=[0.2, 0.35, 0.5])
    parser.add_argument("--limit", type=float, default=3.0, help="Most nats that one claim counts.")
    parser.add_argument("--word-reward", type=float, default=0.0, help="Nats per word.")
    parser.add_argument("--beam-size", type=int, default=5)
    options = parser.parse_args()
    checkpoint = load_checkpoint(options.checkpoint)
    rows = read_catalogue(options.catalogue).rows.to_pylist()
    folder = Path(options.catalogue).parent
    plain = Captioner(checkpoint)
    features: list[np.ndarray] = [plain.features([load_audio(folder / row["uri"])])[0] for row in rows]
    print(
        "weight threshold | " + " | ".join(f"{layer}: precision recall lift claims" for layer in LAYERS),
        "| distinct words",
    )
    search = DecodingOptions(beam_size=options.beam_size, word_reward=options.word_reward)
    for weight in options.weights:
        for threshold in options.thresholds if weight else options.thresholds[:1]:
            captioner = captioner_with(
                checkpoint, evidence_weight=weight, evidence_threshold=threshold, evidence_limit=options.limit
            )
            captions = captioner.caption_features(features, search)
            print(f"{weight:6.2f} {threshold:9.2f} | {line([one.text for one in captions], rows)}", flush=True)


if __name__ == "__main__":
    main()
