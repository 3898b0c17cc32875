"""An experiment's results, by row of the paper's tables."""

import json
from typing import Any

from muscaps.evaluation.caption_metrics import METRICS
from muscaps.evaluation.caption_text import ConventionName
from pipeline.paper.cell_results import captioner_cells, read_result, scores_path
from pipeline.paper.plan import NETWORK_LABELS, SYSTEMS, ExperimentConfig, SubsetName
from pipeline.paper.tables import Measure, measure_of

RETRIEVAL = ("recall_at_1", "recall_at_5", "recall_at_10", "median_rank")
FACTS = ("facts_precision", "facts_recall")
GREEDY = 1


class Results:
    """An experiment's results on some test tracks; row `early` is the pre-trained system of the ablation."""

    def __init__(self, config: ExperimentConfig, subset: SubsetName = "test") -> None:
        """Read the results of the cells that are done."""
        self.config, self.subset = config, subset
        self.cells: dict[str, dict[int, dict[str, Any]]] = {}
        self.scores: dict[str, dict[int, dict[str, Any]]] = {}
        for (system, seed), cell in sorted(captioner_cells(config).items()):
            path = scores_path(config, cell)
            scores = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
            if subset in scores:
                self.cells.setdefault(system, {})[seed] = read_result(config, cell)
                self.scores.setdefault(system, {})[seed] = scores[subset]

    def system(self, row: str) -> str:
        """Return the system behind a row of Table II or III."""
        return self.config.ablation if row == "early" else row

    def has(self, row: str) -> bool:
        """Return whether any seed of a row is done."""
        return self.system(row) in self.cells

    def label(self, row: str) -> str:
        """Return the name of a row of Table II or III."""
        if row == "scratch":
            same = self.config.scratch == self.config.ablation
            return f"early{'' if same else ', ' + NETWORK_LABELS[self.config.scratch]}, no pre-training"
        own = {"dcase": "DCASE baseline", "musicnn": "MusCaps-Musicnn", "hcnn": "MusCaps-HCNN"}
        return own.get(row, f"early, {NETWORK_LABELS['ours']}" if row == "ours" else row)

    def paper_beam(self, row: str) -> int:
        """Return the paper's beam size for a row."""
        return SYSTEMS[self.system(row)].beam_size  # type: ignore[index]

    def beam_sizes(self, row: str) -> list[int]:
        """Return the beam sizes that a row is decoded with, 1 for greedy search first."""
        return sorted(map(int, next(iter(self.scores[self.system(row)].values()))))

    def captions(self, row: str, beam_size: int, convention: ConventionName) -> tuple[Measure | None, ...]:
        """Return the caption metrics of a row and precision and recall of its claims, times 100."""
        found = [scores[str(beam_size)] for scores in self.scores[self.system(row)].values()]
        metrics = tuple(measure_of([scores[convention][name] for scores in found], 100) for name in METRICS)
        return metrics + tuple(
            measure_of([(scores["facts"] or {}).get(name) for scores in found], 100) for name in FACTS
        )

    def cider(self, row: str, beam_size: int = GREEDY) -> Measure | None:
        """Return CIDEr of a row under the default convention, times 100; None if no seed is done."""
        return self.captions(row, beam_size, "default")[METRICS.index("cider")] if self.has(row) else None

    def statistic(self, row: str, beam_size: int, name: str) -> Measure | None:
        """Return a decoding statistic of a row, of captions without constraints."""
        found = [scores[str(beam_size)]["statistics"][name] for scores in self.scores[self.system(row)].values()]
        return measure_of(found, 1)

    def retrieval(self, row: str) -> tuple[Measure | None, ...]:
        """Return the scores of Table III for a row: recall times 100, and median rank."""
        found = [cell["retrieval"][self.subset] for cell in self.cells[self.system(row)].values()]
        return tuple(
            measure_of([scores[name] for scores in found], 1 if name == "median_rank" else 100) for name in RETRIEVAL
        )

    def curves(self, row: str) -> list[list[float]]:
        """Return validation CIDEr per epoch, times 100, one curve per seed."""
        return [[100 * value for value in cell["validation_cider"]] for cell in self.cells[self.system(row)].values()]
