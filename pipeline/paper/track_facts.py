"""Facts and origin of the tracks of an experiment, and how true its captions are."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from muscaps.evaluation.facts import FactLayer, FactsOptions, measure_facet
from pipeline.paper.pairs import REAL
from pipeline.paper.plan import SubsetName
from pipeline.training.pair_files import read_table

LAYERS: tuple[FactLayer, ...] = ("family", "mood", "energy", "tempo")
"""Layers of the lexicon that are counted together."""
_COLUMNS = ("instruments", "feel", "genre", "bpm", "origin")


class TrackFacts:
    """Facts of tracks by `track_id`."""

    def __init__(self, table: Path | None) -> None:
        """Read the table of `muscaps experiment --facts`; None has no facts.

        Raises:
            ValueError: The table has no track_id.
        """
        self.rows: Mapping[str, Mapping[str, Any]] = {}
        if table is not None:
            found = read_table(str(table))
            if "track_id" not in found.column_names:
                raise ValueError(f"{table} needs the column track_id; it has {', '.join(found.column_names)}")
            kept = found.select([name for name in ("track_id", *_COLUMNS) if name in found.column_names])
            self.rows = {str(row["track_id"]): row for row in kept.to_pylist()}

    def subsets(self, track_ids: Sequence[str]) -> dict[SubsetName, list[int]]:
        """Return the places of all tracks, and of the real ones if there are any."""
        real = [i for i, track_id in enumerate(track_ids) if self.rows.get(track_id, {}).get("origin") == REAL]
        everything: dict[SubsetName, list[int]] = {"test": list(range(len(track_ids)))}
        return everything | ({"real": real} if real else {})

    def scores(self, track_ids: Sequence[str], captions: Sequence[str]) -> dict[str, float] | None:
        """Return precision and recall of the claims of captions, over `LAYERS` together; None without facts.

        A score is missing where nothing is claimed or stated.
        """
        rows = [self.rows.get(track_id, {}) for track_id in track_ids]
        if not any(rows):
            return None
        options = FactsOptions(num_shuffles=1, num_resamples=1)
        found = [measure_facet(layer, captions, rows, options).rates for layer in LAYERS]
        hits = sum(rates.num_hits for rates in found)
        claims, facts = sum(rates.num_claims for rates in found), sum(rates.num_facts for rates in found)
        precision = {"facts_precision": hits / claims} if claims else {}
        return precision | ({"facts_recall": hits / facts} if facts else {})
