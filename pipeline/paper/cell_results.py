"""Results of an experiment's cells on disk: paths, completion, content."""

import json
import os
from pathlib import Path
from typing import Any

from pipeline.paper.plan import Cell, ExperimentConfig, SystemName, plan_cells, trial_cells

RESULT, SETTINGS, SECONDS = "result.json", "experiment.json", "seconds.json"


def seconds_spent(output: Path) -> float:
    """Return the total duration of all calls for an experiment, in seconds."""
    path = output / SECONDS
    return float(json.loads(path.read_text(encoding="utf-8"))["seconds"]) if path.exists() else 0.0


def add_seconds(output: Path, seconds: float) -> None:
    write_json(output / SECONDS, {"seconds": seconds_spent(output) + seconds})


def write_json(path: Path, document: Any) -> None:
    """Write a JSON file; readers see all of it or none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    partial.replace(path)


def result_path(config: ExperimentConfig, cell: Cell) -> Path:
    return config.output / "cells" / cell.name / RESULT


def is_done(config: ExperimentConfig, cell: Cell) -> bool:
    return result_path(config, cell).exists()


def read_result(config: ExperimentConfig, cell: Cell) -> dict[str, Any]:
    """Read the result of a finished cell."""
    result: dict[str, Any] = json.loads(result_path(config, cell).read_text(encoding="utf-8"))
    return result


def chosen_trial(config: ExperimentConfig, system: SystemName) -> Cell:
    """Return the finished trial with the lowest validation loss; a single learning rate has no trials."""
    return min(trial_cells(config, system), key=lambda trial: min(read_result(config, trial)["validation_loss"]))


def captioner_cells(config: ExperimentConfig) -> dict[tuple[SystemName, int], Cell]:
    """Return the captioner cells that are done, by system and seed."""
    return {
        (cell.subject, cell.seed): cell  # type: ignore[misc]  # a captioner's subject is a system
        for cell in plan_cells(config)
        if cell.kind == "captioner" and is_done(config, cell)
    }


def scores_path(config: ExperimentConfig, cell: Cell) -> Path:
    """Return the path of the scores of a captioner cell."""
    return config.output / "scores" / f"{cell.name}.json"
