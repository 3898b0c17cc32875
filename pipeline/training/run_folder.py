"""The output folder of a training: its settings, its result and its models."""

import json
import os
import shutil
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from muscaps.training.dataset.reader import PreparedDataset
from muscaps.training.loop import Metrics
from pipeline.output.claims import claim

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

RECORD, RESULT = "training.json", "result.json"


def claim_output(output: Path, run: "DataclassInstance", dataset: PreparedDataset, num_workers: int) -> None:
    """Record the settings of a training in its folder, or check that the recorded ones are the same.

    Raises:
        ValueError: The folder has a training with other settings, or other files.
    """
    if not (output / RECORD).exists() and output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise ValueError(f"{output} exists and has no training; choose an empty or new folder")
    settings = {"run": asdict(run), "dataset": dataset.card["digest"], "num_workers": num_workers}
    claim(output, RECORD, "training", settings)


def read_result(output: Path) -> Metrics | None:
    """Return the result of a finished training; None if it is not finished."""
    if not (output / RESULT).exists():
        return None
    result: dict[str, Any] = json.loads((output / RESULT).read_text(encoding="utf-8"))
    return result


def record_result(output: Path, metrics: Metrics) -> Metrics:
    """Record the metrics of a finished training, so that the next call does not start Ray; return them."""
    partial = output / f".{RESULT}"
    partial.write_text(json.dumps(metrics, indent=2) + "\n", encoding="utf-8")
    partial.replace(output / RESULT)
    return metrics


def replace_folder(source: Path, target: Path) -> None:
    """Replace the target by a copy of a folder; the target is never incomplete."""
    scratch = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    shutil.copytree(source, scratch / "new")
    if target.exists():
        os.replace(target, scratch / "old")
    os.replace(scratch / "new", target)
    shutil.rmtree(scratch)
