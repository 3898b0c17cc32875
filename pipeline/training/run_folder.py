"""The output folder of a training: which run it belongs to, and whether that is finished."""

import json
import os
import shutil
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from muscaps.training.dataset.reader import PreparedDataset
from pipeline.output.claims import claim
from pipeline.training.distributed import Metrics

RECORD, RESULT, CURVE_CSV, CURVE_PNG = "training.json", "result.json", "curve.csv", "curve.png"


def claim_output(output: Path, run: Any, dataset: PreparedDataset, num_workers: int) -> None:
    """Write down what a folder's training is, or check that it is the same.

    Raises:
        ValueError: The folder holds a training with other settings, or other things.
    """
    if not (output / RECORD).exists() and output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise ValueError(f"{output} exists and holds no training; name an empty or new folder")
    settings = {"run": asdict(run), "dataset": dataset.card["digest"], "num_workers": num_workers}
    claim(output, RECORD, "training", settings)


def record_result(output: Path, metrics: Metrics) -> Metrics:
    """Write down that a training is finished, so that the same call again need not start Ray."""
    beside = output / f".{RESULT}"
    beside.write_text(json.dumps(metrics, indent=2) + "\n", encoding="utf-8")
    beside.replace(output / RESULT)
    return metrics


def replace_folder(source: Path, target: Path) -> None:
    """Put a copy of a folder in place whole."""
    beside = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    shutil.copytree(source, beside / "new")
    if target.exists():
        os.replace(target, beside / "old")
    os.replace(beside / "new", target)
    shutil.rmtree(beside)
