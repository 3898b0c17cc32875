"""The charts of the report, as data for the template.

Conventions: heights and widths are in percent. `label` is the text that a screen reader gets.
"""

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import numpy as np

from pipeline.reading.report.formatting import readable_duration
from pipeline.reading.report.run_table import wall_seconds
from pipeline.reading.report.statistics import Summary

BIN_SECONDS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 28_800, 86_400)
"""Widths a bar of the throughput chart can have."""
MAX_BARS = 96
MAX_CHARTS = 12
"""Runs with a throughput chart."""


def throughput_charts(summary: Summary) -> list[dict[str, Any]]:
    """Build one chart per run, newest first: tracks that ended in each time bin."""
    runs = [run for run in summary.captioned_at if run]
    runs.sort(key=lambda run: max(summary.captioned_at[run]), reverse=True)
    return [_throughput_chart(summary, run) for run in runs[:MAX_CHARTS]]


def _throughput_chart(summary: Summary, run: str) -> dict[str, Any]:
    captioned, failed = summary.captioned_at[run], summary.failed_at.get(run, Counter())
    start, end = min([*captioned, *failed]), max([*captioned, *failed])
    width = next((seconds for seconds in BIN_SECONDS if (end - start) / seconds <= MAX_BARS), 7 * 86_400)
    good, bad = _binned(captioned, start, end, width), _binned(failed, start, end, width)
    highest = int((good + bad).max())
    first, last = datetime.fromtimestamp(start, UTC), datetime.fromtimestamp(end, UTC)
    rate = captioned.total() / wall_seconds(summary, run, start, end) * 60
    unit = readable_duration(width)
    return {
        "name": run,
        "note": f"Tracks ended per {unit}; {rate:,.1f} captions a minute on average; red: failed.",
        "label": (
            f"Throughput of run {run}: {captioned.total()} captions and {failed.total()} failures "
            f"from {first:%H:%M} to {last:%H:%M} UTC, at most {highest} in {unit}"
        ),
        "top": f"{highest:,}",
        "middle": f"{highest // 2:,}" if highest % 2 == 0 else f"{highest / 2:,.1f}",
        "bars": [_throughput_bar(start + n * width, int(good[n]), int(bad[n]), highest) for n in range(len(good))],
        "start": f"{first:%Y-%m-%d %H:%M:%S}",
        "end": f"{last:%Y-%m-%d %H:%M:%S} UTC",
    }


def _binned(seconds: Counter[int], start: int, end: int, width: int) -> np.ndarray:
    """Sum counts per second into bins of `width` seconds, (bins,)."""
    bins = np.zeros((end - start) // width + 1, int)
    for second, count in seconds.items():
        bins[(second - start) // width] += count
    return bins


def _throughput_bar(second: int, good: int, bad: int, highest: int) -> dict[str, Any]:
    failed = f", {bad:,} failed" if bad else ""
    return {
        "height": round(100 * (good + bad) / highest, 2),
        "failed": round(100 * bad / (good + bad), 1) if bad else 0,
        "tip": f"{datetime.fromtimestamp(second, UTC):%H:%M:%S}  {good:,} captioned{failed}",
    }


def caption_length_chart(counts: Counter[int]) -> dict[str, Any]:
    """Build the chart of captions by number of words."""
    title = "Caption length"
    if not counts:
        return {"title": title, "note": "words", "bars": [], "axis": [], "label": "no captions"}
    shortest, longest = min(counts), max(counts)
    mean = sum(words * count for words, count in counts.items()) / counts.total()
    highest = max(counts.values())
    middle = [str((shortest + longest) // 2)] if longest - shortest > 1 else []
    return {
        "title": title,
        "note": f"words; {mean:.1f} on average",
        "label": f"{title}: {shortest} to {longest} words, {mean:.1f} on average",
        "bars": [
            {"height": round(100 * counts[n] / highest, 2), "tip": f"{n} words: {counts[n]:,} captions"}
            for n in range(shortest, longest + 1)
        ],
        "axis": [str(shortest), *middle, str(longest)],
    }


def histogram(
    title: str, values: np.ndarray, note: str, formatted: Callable[[float], str], bins: int = 32
) -> dict[str, Any]:
    """Build the chart of a distribution; the outermost bars hold the lowest and highest 0.5 % of the values.

    Args:
        title: Heading of the chart.
        values: Any numbers, (tracks,); NaN and infinity are left out.
        note: What the numbers are.
        formatted: Turns a value into text.
        bins: Number of bars.
    """
    values = values[np.isfinite(values)]
    if not values.size:
        return {"title": title, "note": note, "bars": [], "axis": [], "label": f"{title}: no values"}
    low, high = (float(v) for v in np.percentile(values, [0.5, 99.5]))
    if high <= low:
        low, high = low - 0.5, low + 0.5
    counts, edges = np.histogram(np.clip(values, low, high), bins=bins, range=(low, high))
    lowest, highest, median = (formatted(float(v)) for v in (values.min(), values.max(), np.median(values)))
    return {
        "title": title,
        "note": f"{note}; median {median}",
        "label": f"{title}: from {lowest} to {highest}, median {median}",
        "bars": [
            {
                "height": round(100 * int(count) / int(counts.max()), 2),
                "tip": f"{formatted(edges[n])} to {formatted(edges[n + 1])}: {int(count):,} tracks",
            }
            for n, count in enumerate(counts)
        ],
        "axis": [formatted(low), formatted((low + high) / 2), formatted(high)],
    }


def word_bars(summary: Summary) -> list[dict[str, Any]]:
    """Build the bars of the most frequent words."""
    common = summary.words.most_common(24)
    return [
        {
            "text": word,
            "width": round(100 * count / common[0][1], 1),
            "share": f"{count / summary.tracks:.0%}" if count / summary.tracks >= 0.01 else f"{count:,}×",
        }
        for word, count in common
    ]
