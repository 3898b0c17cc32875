"""Results of an experiment, made up instead of read."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from muscaps.evaluation.caption_metrics import METRICS
from pipeline.paper.plan import ExperimentConfig
from pipeline.paper.results import Results


class FakeResults(Results):
    """Results made up instead of read."""

    def __init__(
        self,
        ciders: dict[str, Sequence[float]],
        unk: tuple[float, float] = (1.0, 0.5),
        truths: dict[str, float] | None = None,
        **settings: Any,
    ) -> None:
        self.config = ExperimentConfig(dataset=Path("d"), output=Path("o"), **settings)
        self.subset = "test"
        self.cells: dict[str, dict[int, dict[str, Any]]] = {}
        self.scores: dict[str, dict[int, dict[str, Any]]] = {}
        statistics = {
            "repetitions_per_caption": 0.0,
            "repeated_ngrams_per_caption": 0.0,
            "mean_words": 5.0,
            "vocabulary_used": 9,
            "distinct_captions": 1.0,
            "novel_captions": 1.0,
        }
        for system, values in ciders.items():
            for seed, cider in enumerate(values):
                scores: dict[str, Any] = dict.fromkeys(METRICS, 0.1) | {"cider": cider, "spice": None, "spider": None}
                beams = {
                    size: {
                        "default": scores,
                        "published": scores,
                        "statistics": statistics | {"unk_per_caption": count},
                        "facts": {"facts_precision": truths[system], "facts_recall": 0.5} if truths else None,
                    }
                    for size, count in (("1", unk[0]), ("3", unk[1]), ("5", unk[1]))
                }
                greedy, beam = ["<sos> rock rock", "<sos> calm piano <eos>"], ["<sos> loud rock <eos>", "<sos> calm"]
                self.scores.setdefault(system, {})[seed] = beams
                self.cells.setdefault(system, {})[seed] = {
                    "validation_cider": [0.1, cider],
                    "retrieval": {
                        "test": {
                            "recall_at_1": 0.1,
                            "recall_at_5": 0.2,
                            "recall_at_10": 0.3,
                            "median_rank": 4.0 + seed,
                        }
                    },
                    "track_ids": ["a", "b"],
                    "references": {"default": [["Loud rock"], ["Quiet piano"]]},
                    "predictions": {size: {"published": greedy if size == "1" else beam} for size in ("1", "3", "5")},
                }


EVERY_SYSTEM = {
    "dcase": (0.1, 0.12),
    "scratch": (0.2, 0.22),
    "musicnn": (0.4, 0.42),
    "ours": (0.3, 0.32),
    "hcnn": (0.39, 0.41),
    "late": (0.39, 0.43),
    "attention": (0.4, 0.41),
}
