"""How often a search finds a track by its description: mood, genre and instruments as the query.

The output must hold features: `muscaps caption CATALOGUE OUTPUT --save-features`.

    python tests/benchmark/search_recall.py CATALOGUE.csv captions/
"""

import argparse
import csv
import statistics
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))


def query_of(row: dict[str, str]) -> str:
    """Word a catalogue's facts as a caption: `dark, humorous silent film score piece with tuba and piano`."""
    return f"{row['feel']} {row['genre']} piece with {row['instruments']}".lower()


def ranks(rows: list[dict[str, str]], output: str, *, bias_correction: bool) -> list[int]:
    """Rank of each described track among all of the output that are described, best is 1."""
    from pipeline.reading.search import SearchConfig, search

    described = {row["track_id"] for row in rows}
    found = []
    for row in rows:
        config = SearchConfig(output=output, query=query_of(row), top=1000, bias_correction=bias_correction, exact=True)
        order = [hit.track_id for hit in search(config).hits if hit.track_id in described]
        found.append(order.index(row["track_id"]) + 1)
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("catalogue")
    parser.add_argument("output")
    arguments = parser.parse_args()
    with open(arguments.catalogue, newline="") as lines:
        rows = list(csv.DictReader(lines))
    for bias_correction in (False, True):
        found = ranks(rows, arguments.output, bias_correction=bias_correction)
        shares = ", ".join(
            f"recall@{k} {sum(rank <= k for rank in found) / len(found):.2f} (by chance {k / len(found):.2f})"
            for k in (1, 5, 10)
        )
        print(f"bias correction {bias_correction}: {shares}, median rank {statistics.median(found):g} of {len(found)}")


if __name__ == "__main__":
    main()
