"""Fig. 4 of the paper: CIDEr on the validation split per epoch."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pipeline.paper.paper_tables import ablation_rows
from pipeline.paper.results import Results
from pipeline.paper.tables import Measure


def mean_curve(curves: Sequence[Sequence[float]]) -> list[tuple[int, float, float | None]]:
    """Average curves per epoch over the seeds that reached it; return (epoch from 1, mean, half interval)."""
    longest = max(map(len, curves))
    points = []
    for epoch in range(longest):
        values = tuple(curve[epoch] for curve in curves if len(curve) > epoch and math.isfinite(curve[epoch]))
        if values:
            measure = Measure(values=values)
            points.append((epoch + 1, measure.mean, measure.half_interval))
    return points


def write_figure(results: Results, output: Path) -> bool:
    """Draw Fig. 4 as `figure_4.png` and write its numbers to `figure_4.csv`; return False if no system is done."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot, ticker

    others = [row for row in ("hcnn", "dcase") if results.has(row) and row != results.config.ablation]
    rows = ablation_rows(results) + others
    if not rows:
        return False
    figure, axes = pyplot.subplots(figsize=(7, 4.2), constrained_layout=True)
    lines = [["system", "epoch", "mean", "half_interval_95"]]
    # Colours of Okabe and Ito, which are distinguishable with colour blindness.
    colours = {
        "scratch": "#999999",
        "ours": "#CC79A7",
        "early": "#0072B2",
        "late": "#D55E00",
        "attention": "#009E73",
        "hcnn": "#E69F00",
    }
    highest = 0.0
    for row in rows:
        colour = colours.get(row, "#000000")
        points = mean_curve(results.curves(row))
        epochs, means = [p[0] for p in points], np.array([p[1] for p in points])
        halves = np.array([p[2] or 0.0 for p in points])
        highest = max(highest, float(means.max()))
        axes.plot(epochs, means, color=colour, label=results.label(row))
        axes.fill_between(epochs, means - halves, means + halves, color=colour, alpha=0.2, linewidth=0)
        lines += [[row, str(e), f"{m:.4f}", "" if h is None else f"{h:.4f}"] for e, m, h in points]
    axes.xaxis.set_major_locator(ticker.MaxNLocator(integer=True))
    axes.set_xlabel("epoch")
    axes.set_ylabel("CIDEr on validation × 100")
    axes.set_ylim(0, 1.3 * highest or 1.0)  # intervals of the last two seeds can be several times as wide
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    figure.savefig(output / "figure_4.png", dpi=150)
    pyplot.close(figure)
    (output / "figure_4.csv").write_text("".join(",".join(line) + "\n" for line in lines), encoding="utf-8")
    return True
