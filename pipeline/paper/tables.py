"""Scores over seeds and tables of them, as Markdown and CSV (paper section IV-D).

Conventions: `±` is half a 95% interval by Student's t. Bold scores are within two standard deviations (of the best row,
over seeds) of the best score, as in the paper.
"""

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

# Quantiles of Student's t for a two-sided 95% interval, by degrees of freedom from 1.
_T_95 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228)


def t_quantile(degrees: int) -> float:
    """Return the quantile of Student's t for a two-sided 95% interval; from 11 degrees on an approximation."""
    return _T_95[degrees - 1] if degrees <= len(_T_95) else 1.96 + 2.6 / degrees


@dataclass(frozen=True, kw_only=True)
class Measure:
    """A score over seeds."""

    values: tuple[float, ...]
    """One score per seed."""

    @property
    def mean(self) -> float:
        """Mean over seeds."""
        return float(np.mean(self.values))

    @property
    def deviation(self) -> float:
        """Standard deviation over seeds; 0 for one seed."""
        return float(np.std(self.values, ddof=1)) if len(self.values) > 1 else 0.0

    @property
    def half_interval(self) -> float | None:
        """Half of the 95% interval of the mean; None for one seed."""
        count = len(self.values)
        if count < 2:
            return None
        return t_quantile(count - 1) * self.deviation / math.sqrt(count)


@dataclass(frozen=True, kw_only=True)
class Row:
    """A row of a table."""

    label: str
    """Name of the system."""
    measures: tuple[Measure | None, ...]
    """One score per column; None if it could not be computed."""
    paper: tuple[float | None, ...] | None = None
    """The numbers of the paper, None for a column that it lacks; None if it has no such row."""


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table of scores."""

    name: str
    """File name without suffix."""
    title: str
    """Title of the table."""
    columns: tuple[str, ...]
    """Names of the columns."""
    rows: tuple[Row, ...]
    """Rows of the table."""
    lower_is_better: tuple[str, ...] = ()
    """Columns in which the smallest score is best."""
    without_best: tuple[str, ...] = ()
    """Columns without a best score; they have no bold values."""
    digits: int = 1
    """Number of decimals."""

    def bold(self, column: int) -> list[bool]:
        """Return, for each row, whether it is within two standard deviations of the best row."""
        measures = [row.measures[column] for row in self.rows]
        present = [measure for measure in measures if measure is not None]
        if not present or self.columns[column] in self.without_best:
            return [False] * len(measures)
        sign = -1 if self.columns[column] in self.lower_is_better else 1
        best = max(present, key=lambda measure: sign * measure.mean)
        floor = sign * best.mean - 2 * best.deviation
        return [measure is not None and sign * measure.mean >= floor - 1e-12 for measure in measures]

    def markdown(self) -> str:
        """Return the table as Markdown; each row is followed by the paper's, if any."""
        bolds = [self.bold(column) for column in range(len(self.columns))]
        lines = ["| | " + " | ".join(self.columns) + " |", "|---|" + "---:|" * len(self.columns)]
        for index, row in enumerate(self.rows):
            shown = [self._show(m, bolds[column][index]) for column, m in enumerate(row.measures)]
            lines.append(f"| {row.label} | " + " | ".join(shown) + " |")
            if row.paper is not None:
                paper = ("–" if value is None else f"*{value:.1f}*" for value in row.paper)
                lines.append(f"| *the paper* | {' | '.join(paper)} |")
        return f"**{self.title}**\n\n" + "\n".join(lines) + "\n"

    def _show(self, measure: Measure | None, bold: bool) -> str:
        if measure is None:
            return "–"
        text = f"{measure.mean:.{self.digits}f}"
        text = f"**{text}**" if bold else text
        half = measure.half_interval
        return text if half is None else f"{text} ± {half:.{self.digits}f}"

    def csv(self) -> str:
        """Return CSV with a line per row and column: mean, half interval, deviation, seeds, the paper's number."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["row", "column", "mean", "half_interval_95", "deviation", "seeds", "bold", "paper"])
        for column, name in enumerate(self.columns):
            for row, bold in zip(self.rows, self.bold(column), strict=True):
                measure = row.measures[column]
                paper = "" if row.paper is None or row.paper[column] is None else row.paper[column]
                if measure is None:
                    writer.writerow([row.label, name, "", "", "", 0, "", paper])
                    continue
                half = "" if measure.half_interval is None else f"{measure.half_interval:.4f}"
                numbers = [f"{measure.mean:.4f}", half, f"{measure.deviation:.4f}", len(measure.values)]
                writer.writerow([row.label, name, *numbers, int(bold), paper])
        return text.getvalue()


def measure_of(values: Sequence[float | None], factor: float) -> Measure | None:
    present = tuple(factor * value for value in values if value is not None)
    return Measure(values=present) if present and len(present) == len(values) else None
