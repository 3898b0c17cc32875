"""How often the tracks that `muscaps search --like` finds share the catalogue's facts with the track, beside chance.

    muscaps caption CATALOGUE.csv captions/
    python tests/benchmark/search_like.py CATALOGUE.csv captions/

Per facet: of the five nearest tracks with a fact of this facet, the share that has at least one tag of the track.
Chance is the same share among all other tracks. The interval of the difference is a bootstrap over tracks.
"""

import argparse
import csv
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))

from muscaps.evaluation.facts import LAYERS, FactLayer, facts_in
from pipeline.reading.search import SearchConfig, search

NEAREST, RESAMPLES = 5, 1000


def neighbours(track_ids: list[str], output: str) -> dict[str, list[str]]:
    """Return the other tracks of each track, the most similar first."""
    found = {}
    for track_id in track_ids:
        hits = search(SearchConfig(output=output, like=track_id, top=100_000)).hits
        found[track_id] = [hit.track_id for hit in hits]
    return found


def shares(layer: FactLayer, rows: dict[str, dict[str, str]], near: dict[str, list[str]]) -> np.ndarray:
    """Return the shares among the nearest and among all, (tracks with facts, 2)."""
    facts = {track_id: facts_in(row, layer) for track_id, row in rows.items()}
    found = []
    for track_id, own in facts.items():
        common = [bool(own & facts[other]) for other in near[track_id] if facts.get(other)]
        if own and common:
            found.append((np.mean(common[:NEAREST]), np.mean(common)))
    return np.array(found)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("catalogue")
    parser.add_argument("output")
    arguments = parser.parse_args()
    with open(arguments.catalogue, newline="") as lines:
        rows = {row["track_id"]: row for row in csv.DictReader(lines)}
    near = neighbours(list(rows), arguments.output)
    rng = np.random.default_rng(0)
    for layer in LAYERS:
        found = shares(layer, rows, near)
        if not len(found):
            continue
        nearest, chance = found.mean(axis=0)
        samples = found[rng.integers(len(found), size=(RESAMPLES, len(found)))].mean(axis=1)
        low, high = np.percentile(samples[:, 0] - samples[:, 1], [2.5, 97.5])
        print(f"{layer:11}{len(found):3} tracks: {nearest:.2f}, chance {chance:.2f}, more by {low:.2f} to {high:.2f}")


if __name__ == "__main__":
    main()
