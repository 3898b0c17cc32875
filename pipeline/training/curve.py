"""The curve of a training: CSV with one line per epoch, and a figure."""

import csv
import logging
import math
from collections.abc import Sequence
from pathlib import Path

from muscaps.training.loop import Metrics

logger = logging.getLogger(__name__)

CURVE_CSV, CURVE_PNG = "curve.csv", "curve.png"

_TITLES = {"roc_auc": "ROC-AUC", "pr_auc": "PR-AUC", "cider": "CIDEr x 100"}
_SCALES = {"cider": 100}


def write_curve(output: Path, history: Sequence[Metrics], columns: Sequence[str]) -> None:
    """Write `curve.csv` with one line per epoch, and `curve.png` if matplotlib is installed."""
    names = list(dict.fromkeys(["epoch", *columns, *(history[0] if history else ())]))
    with (output / CURVE_CSV).open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, names, restval="")
        writer.writeheader()
        writer.writerows(history)
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        logger.info("no %s: drawing it needs matplotlib, in the extra `evaluate`", CURVE_PNG)
        return
    figure = Figure(figsize=(9, 3), layout="constrained")
    FigureCanvasAgg(figure)
    groups: dict[str, list[str]] = {}
    for name in columns:
        groups.setdefault("loss" if name.endswith("loss") else name.removeprefix("validation_"), []).append(name)
    axes = figure.subplots(1, len(groups), squeeze=False)[0]
    epochs = [row["epoch"] for row in history]
    for axis, (title, members) in zip(axes, groups.items(), strict=True):
        scale = _SCALES.get(title, 1)
        for name in members:
            values = [scale * row.get(name, math.nan) for row in history]
            axis.plot(epochs, values, marker="." if len(epochs) < 30 else "", label=name.replace("_", " "))
        axis.set(title=_TITLES.get(title, title.replace("_", " ")), xlabel="epoch")
        axis.xaxis.get_major_locator().set_params(integer=True)
        axis.ticklabel_format(axis="y", scilimits=(-3, 4))
        axis.grid(alpha=0.3)
        if len(members) > 1:
            axis.legend()
    figure.savefig(output / CURVE_PNG, dpi=120)
