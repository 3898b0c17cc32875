"""The output folder of a training: which run it belongs to, its result, and the models put in place."""

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
    """Record which training a folder belongs to, or check that it is the same one.

    Raises:
        ValueError: The folder holds a training with other settings, or other things.
    """
    if not (output / RECORD).exists() and output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise ValueError(f"{output} exists and holds no training; name an empty or new folder")
    settings = {"run": asdict(run), "dataset": dataset.card["digest"], "num_workers": num_workers}
    claim(output, RECORD, "training", settings)


def read_result(output: Path) -> Metrics | None:
    """Return the result of a finished training; None while it is not finished."""
    if not (output / RESULT).exists():
        return None
    result: dict[str, Any] = json.loads((output / RESULT).read_text(encoding="utf-8"))
    return result


def record_result(output: Path, metrics: Metrics) -> Metrics:
    """Record that a training is finished, so that the same call again need not start Ray; return the metrics."""
    partial = output / f".{RESULT}"
    partial.write_text(json.dumps(metrics, indent=2) + "\n", encoding="utf-8")
    partial.replace(output / RESULT)
    return metrics


def replace_folder(source: Path, target: Path) -> None:
    """Put a complete copy of a folder in the target's place."""
    scratch = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    shutil.copytree(source, scratch / "new")
    if target.exists():
        os.replace(target, scratch / "old")
    os.replace(scratch / "new", target)
    shutil.rmtree(scratch)
