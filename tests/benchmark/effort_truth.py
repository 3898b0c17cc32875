"""How true captions are by the number of chunks that they are made from, and whether a stopping rule would do better.

Reads catalogues with facts (`instruments`, `feel`, `bpm`). Where tracks of a catalogue are in the list of validation
tracks of the model card, only those are read, so that no track counts that the model was trained on. Prints for each
catalogue and number of chunks: chunks used, captions identical to those of 20 chunks, changed tags (on which side of
0.5 their scores are), and precision, recall and lift of each layer with their distance from 20 chunks, in standard
errors of the value at 20 chunks (bootstrap over tracks).

`--stopping` adds rounds of 5, 10 and 20 (or 7 and 14) chunks, each including the former, that end when few tags may
still change: the sum over tags of the probability that the mean of all chunks lies on the other side of the evidence
threshold, from the standard error over the chunks read so far.

    python tests/benchmark/effort_truth.py bundled pairs/catalogue.csv real/catalogue.csv --features cache/
"""

import argparse
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

sys.path.insert(0, str(Path(__file__).parents[2]))

from muscaps import Captioner
from muscaps.audio import AudioError, decode_audio
from muscaps.audio.kept_chunks import middles
from muscaps.evaluation.facts import FactLayer, FactsOptions, measure_facet
from pipeline.catalogue import read_catalogue

LAYERS: tuple[FactLayer, ...] = ("family", "mood", "energy", "tempo")
FULL = 20
ROUNDS = {"5,10,20": (5, 10, 20), "7,14": (7, 14)}
Features = npt.NDArray[np.float32]


def tracks_of(captioner: Captioner, catalogue: str, cache: Path | None) -> tuple[list[dict[str, Any]], list[Features]]:
    """Return rows and the features of at most 20 evenly spaced chunks of each, from the cache where it has them."""
    rows = read_catalogue(catalogue).rows.to_pylist()
    left_out = set(captioner.card.get("tagger", {}).get("validation_tracks", ()))
    if any(row["track_id"] in left_out for row in rows):
        rows = [row for row in rows if row["track_id"] in left_out]
    name = f"{captioner.model_id}-{Path(catalogue).parent.name}.npz"
    file = None if cache is None else cache / name
    known: dict[str, Features] = {}
    if file is not None and file.exists():
        with np.load(file) as stored:
            known = {name: stored[name] for name in stored.files}
    for row in rows:
        if row["track_id"] not in known:
            path = Path(catalogue).parent / row["uri"]
            try:
                audio = decode_audio(path, chunk_samples=captioner.chunk_samples, max_chunks=FULL)
            except AudioError as error:
                sys.exit(f"{path}: {error}")
            [known[row["track_id"]]] = captioner.features([audio.pcm])
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        np.savez(file, **known)
    return rows, [known[row["track_id"]] for row in rows]


def fixed(features: Sequence[Features], num_chunks: int) -> list[Features]:
    """Return the chunks that a run with this number of chunks processes."""
    return [track[middles(len(track), num_chunks)] if len(track) > num_chunks else track for track in features]


def rounds_of(num_chunks: int, sizes: Sequence[int]) -> list[npt.NDArray[np.int_]]:
    """Return the chunks read after each round, every `step`-th of the chosen ones; the last has all of them."""
    chosen = middles(num_chunks, sizes[-1]) if num_chunks > sizes[-1] else np.arange(num_chunks)
    steps = [sizes[-1] // size for size in sizes]
    return [chosen[(step // 2) % step :: step] if step != 2 else chosen[::2] for step in steps]


def stopped(
    captioner: Captioner, features: Sequence[Features], sizes: Sequence[int], most_changes: float
) -> list[Features]:
    """Return the chunks read until fewer than `most_changes` tags are expected to change."""
    assert captioner.tagger is not None
    threshold = captioner.card.get("decoding", {}).get("evidence_threshold", 0.5)
    limit = math.log(threshold / (1 - threshold))
    found = []
    for track in features:
        logits = captioner.tagger.logits([chunk[None] for chunk in track])
        for chunks in rounds_of(len(track), sizes):
            read, num_read = logits[chunks], len(chunks)
            if num_read < 2:
                continue
            error = read.std(axis=0, ddof=1) / math.sqrt(num_read) * math.sqrt(max(0, 1 - num_read / len(track)))
            distance = np.abs(read.mean(axis=0) - limit) / np.maximum(error, 1e-9)
            if sum(0.5 * math.erfc(value / math.sqrt(2)) for value in distance) < most_changes:
                break
        found.append(track[chunks])
    return found


def truth(captions: Sequence[str], rows: Sequence[dict[str, Any]]) -> dict[tuple[str, str], float]:
    """Return precision, recall and lift of each layer, 0 where there is none."""
    once = FactsOptions(num_shuffles=1, num_resamples=1)
    found = {}
    for layer in LAYERS:
        rates = measure_facet(layer, captions, rows, once).rates
        for name, value in (("precision", rates.precision), ("recall", rates.recall), ("lift", rates.lift)):
            found[layer, name] = value or 0.0
    return found


def standard_errors(
    captions: Sequence[str], rows: Sequence[dict[str, Any]], times: int
) -> dict[tuple[str, str], float]:
    """Return the standard error of each value of `truth`, from a bootstrap over tracks."""
    rng, drawn = np.random.default_rng(0), []
    for _ in range(times):
        places = rng.integers(len(rows), size=len(rows))
        drawn.append(truth([captions[at] for at in places], [rows[at] for at in places]))
    return {name: float(np.std([one[name] for one in drawn])) for name in drawn[0]}


def report(
    captioner: Captioner,
    rows: Sequence[dict[str, Any]],
    features: Sequence[Features],
    ways: Mapping[str, Callable[[], list[Features]]],
    num_resamples: int,
) -> None:
    """Print a line for each way to choose chunks; the first is the one that the others are compared with."""
    assert captioner.tagger is not None
    full: list[str] = []
    for name, chosen in ways.items():
        parts = chosen()
        texts = [caption.text for caption in captioner.caption_features(parts)]
        counted = captioner.tagger.scores(parts) >= 0.5
        if not full:
            full, full_counted, full_truth = texts, counted, truth(texts, rows)
            errors = standard_errors(texts, rows, num_resamples)
        same = sum(one == other for one, other in zip(texts, full, strict=True))
        changed = float((counted != full_counted).sum(axis=1).mean())
        line = f"{name:16} {np.mean([len(part) for part in parts]):5.1f} {same:4d} {changed:5.2f}"
        worst, found = 0.0, truth(texts, rows)
        for layer in LAYERS:
            line += f" | {layer}"
            for figure in ("precision", "recall", "lift"):
                key = layer, figure
                away = (found[key] - full_truth[key]) / errors[key] if errors[key] else 0.0
                worst = min(worst, away)
                line += f" {found[key]:.2f} ({away:+.1f})"
        print(f"{line} | worst {worst:+.1f}", flush=True)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", help="checkpoint directory, or bundled")
    parser.add_argument("catalogues", nargs="+")
    parser.add_argument("--chunks", type=int, nargs="+", default=[FULL, 15, 10, 8, 7, 6, 5, 3])
    parser.add_argument("--stopping", type=float, nargs="*", default=[], help="expected changes of tags to stop at")
    parser.add_argument("--features", type=Path, help="folder that keeps features")
    parser.add_argument("--resamples", type=int, default=100)
    options = parser.parse_args()
    torch.set_num_threads(1)
    captioner = Captioner.load(options.checkpoint)
    print(f"{captioner.model_id}\nchunks: used, identical captions, changed tags | precision recall lift (errors)")
    for catalogue in options.catalogues:
        rows, features = tracks_of(captioner, catalogue, options.features)
        ways: dict[str, Callable[[], list[Features]]] = {
            str(number): partial(fixed, features, number) for number in dict.fromkeys([FULL, *options.chunks])
        }
        for name, sizes in ROUNDS.items():
            for most in options.stopping:
                ways[f"{name} below {most:g}"] = partial(stopped, captioner, features, sizes, most)
        print(f"{catalogue}, {len(rows)} tracks")
        report(captioner, rows, features, ways, options.resamples)


if __name__ == "__main__":
    main()
