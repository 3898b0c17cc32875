"""An experiment's results, by row of the paper's tables."""

import json
from typing import Any

from muscaps.evaluation.caption_metrics import METRICS
from muscaps.evaluation.caption_text import ConventionName
from pipeline.paper.cell_results import captioner_cells, scores_path
from pipeline.paper.plan import SYSTEMS, ExperimentConfig
from pipeline.paper.tables import Measure, measure_of

RETRIEVAL = ("recall_at_1", "recall_at_5", "recall_at_10", "median_rank")


class Results:
    """An experiment's results by row of the paper's tables; row `early` is the pre-trained system of the ablation."""

    def __init__(self, config: ExperimentConfig) -> None:
        """Read the results of the cells that are done."""
        self.config = config
        self.cells: dict[str, dict[int, dict[str, Any]]] = {}
        self.scores: dict[str, dict[int, dict[str, Any]]] = {}
        for (system, seed), result in sorted(captioner_cells(config).items()):
            path = scores_path(config, system, seed)
            if path.exists():
                self.cells.setdefault(system, {})[seed] = result
                self.scores.setdefault(system, {})[seed] = json.loads(path.read_text(encoding="utf-8"))

    def system(self, row: str) -> str:
        """Return the system behind a row of Table II or III."""
        return self.config.ablation if row == "early" else row

    def has(self, row: str) -> bool:
        """Return whether any seed of a row is done."""
        return self.system(row) in self.cells

    def beam_size(self, row: str) -> int:
        """Return the beam size of a row, in addition to greedy search."""
        return SYSTEMS[self.system(row)].beam_size  # type: ignore[index]

    def captions(self, row: str, beam: bool, convention: ConventionName) -> tuple[Measure | None, ...]:
        """Return the caption metrics of a row, times 100."""
        key = str(self.beam_size(row) if beam else 1)
        found = [scores[key][convention] for scores in self.scores[self.system(row)].values()]
        return tuple(measure_of([scores[name] for scores in found], 100) for name in METRICS)

    def statistic(self, row: str, beam: bool, name: str) -> Measure | None:
        """Return a decoding statistic of a row."""
        key = str(self.beam_size(row) if beam else 1)
        return measure_of([scores[key]["statistics"][name] for scores in self.scores[self.system(row)].values()], 1)

    def retrieval(self, row: str) -> tuple[Measure | None, ...]:
        """Return the scores of Table III for a row: recall times 100, and median rank."""
        found = [cell["retrieval"] for cell in self.cells[self.system(row)].values()]
        return tuple(
            measure_of([scores[name] for scores in found], 1 if name == "median_rank" else 100) for name in RETRIEVAL
        )

    def curves(self, row: str) -> list[list[float]]:
        """Return validation CIDEr per epoch, times 100, one curve per seed."""
        return [[100 * value for value in cell["validation_cider"]] for cell in self.cells[self.system(row)].values()]
