"""Differences between systems, with their intervals over seeds."""

import math
from dataclasses import dataclass

from pipeline.paper.paper_tables import SUBSET_TITLES
from pipeline.paper.plan import SYSTEMS
from pipeline.paper.results import Results
from pipeline.paper.tables import Measure, t_quantile

MAX_SEEDS = 100


@dataclass(frozen=True, kw_only=True)
class Difference:
    """The difference of two measures over seeds."""

    first: Measure
    second: Measure
    paired: bool = False
    """Whether values at the same place are of the same training."""

    @property
    def mean(self) -> float:
        """Mean of the first minus that of the second."""
        return self.first.mean - self.second.mean

    @property
    def half_interval(self) -> float | None:
        """Half of the 95% interval, by Welch or of pairs; None if one has a single seed."""
        if self.paired:
            return self._of_pairs.half_interval
        counts = [len(measure.values) for measure in (self.first, self.second)]
        if min(counts) < 2:
            return None
        parts = [m.deviation**2 / n for m, n in zip((self.first, self.second), counts, strict=True)]
        if not sum(parts):
            return 0.0
        degrees = sum(parts) ** 2 / sum(part**2 / (n - 1) for part, n in zip(parts, counts, strict=True))
        return t_quantile(max(1, math.floor(degrees))) * math.sqrt(sum(parts))

    @property
    def decided(self) -> bool:
        """Whether the interval excludes 0."""
        return self.half_interval is not None and abs(self.mean) > self.half_interval

    def seeds_for(self, half_interval: float) -> int | None:
        """Return how many seeds per system, more than now, narrow half the interval to this; None above `MAX_SEEDS`."""
        parts = (self._of_pairs,) if self.paired else (self.first, self.second)
        variance = sum(part.deviation**2 for part in parts)
        more = range(max(len(part.values) for part in parts) + 1, MAX_SEEDS + 1)
        enough = (n for n in more if t_quantile(len(parts) * (n - 1)) * math.sqrt(variance / n) < half_interval)
        return next(enough, None)

    @property
    def _of_pairs(self) -> Measure:
        differences = (a - b for a, b in zip(self.first.values, self.second.values, strict=True))
        return Measure(values=tuple(differences))

    def __str__(self) -> str:
        half = "" if self.half_interval is None else f" ± {self.half_interval:.1f}"
        return f"{self.first.mean:.1f} and {self.second.mean:.1f}, difference {self.mean:+.1f}{half}"


def differences_of_cider(results: Results) -> str:
    """Return a Markdown table of CIDEr of each system minus that of each other, greedy, default convention."""
    found = {results.label(system): results.cider(system) for system in SYSTEMS}
    measures = {label: measure for label, measure in found.items() if measure is not None}
    if len(measures) < 2:
        return ""
    lines = [f"| | {' | '.join(measures)} |", f"|---|{'---:|' * len(measures)}"]
    for label, first in measures.items():
        cells = [
            "" if first is second else _shown(Difference(first=first, second=second)) for second in measures.values()
        ]
        lines.append(f"| {label} | {' | '.join(cells)} |")
    title = f"CIDEr of the row minus that of the column{SUBSET_TITLES[results.subset]}"
    return f"**{title}**, greedy, default convention; bold if the interval excludes 0\n\n" + "\n".join(lines) + "\n"


def _shown(difference: Difference) -> str:
    half, number = difference.half_interval, f"{difference.mean:+.1f}"
    if half is None:
        return number
    return f"{f'**{number}**' if difference.decided else number} ± {half:.1f}"
