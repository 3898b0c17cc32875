"""The bars of the report's charts, as data for the template."""

from collections import Counter
from datetime import UTC, datetime
from typing import Any

import numpy as np

from pipeline.reading.report.formatting import clock_time, readable_duration
from pipeline.reading.report.run_table import wall_seconds
from pipeline.reading.report.statistics import Summary

_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 28_800, 86_400)


def throughput_charts(summary: Summary) -> list[dict[str, Any]]:
    """Bars per run, newest first: tracks that ended in each stretch of time."""
    charts = []
    runs = sorted(
        (run for run in summary.minutes if run),
        key=lambda run: max(summary.minutes[run]),
        reverse=True,
    )
    for run in runs[:12]:
        done, failed = summary.minutes[run], summary.failed_at.get(run, Counter())
        start, end = min([*done, *failed]), max([*done, *failed])
        width = next((step for step in _STEPS if (end - start) / step <= 96), 7 * 86_400)
        count = (end - start) // width + 1
        good, bad = np.zeros(count, int), np.zeros(count, int)
        for second, number in done.items():
            good[(second - start) // width] += number
        for second, number in failed.items():
            bad[(second - start) // width] += number
        top = int((good + bad).max())
        bars = []
        for n in range(count):
            total = int(good[n] + bad[n])
            at = datetime.fromtimestamp(start + n * width, UTC)
            tip = f"{at:%H:%M:%S}  {good[n]:,} captioned" + (f", {bad[n]:,} failed" if bad[n] else "")
            bars.append(
                {
                    "height": round(100 * total / top, 2),
                    "failed": round(100 * int(bad[n]) / total, 1) if bad[n] else 0,
                    "tip": tip,
                }
            )
        wall = wall_seconds(summary, run, start, end)
        first, last = datetime.fromtimestamp(start, UTC), datetime.fromtimestamp(end, UTC)
        rate = sum(done.values()) / wall * 60
        charts.append(
            {
                "name": run,
                "note": (
                    f"Tracks ended per {readable_duration(width)}; {rate:,.1f} captions a minute on average; "
                    "red: failed."
                ),
                "spoken": (
                    f"Throughput of run {run}: {sum(done.values())} captions and {sum(failed.values())} failures "
                    f"from {first:%H:%M} to {last:%H:%M} UTC, at most {top} in {readable_duration(width)}"
                ),
                "top": f"{top:,}",
                "middle": f"{top // 2:,}" if top % 2 == 0 else f"{top / 2:,.1f}",
                "bars": bars,
                "start": f"{first:%Y-%m-%d %H:%M:%S}",
                "end": f"{last:%Y-%m-%d %H:%M:%S} UTC",
            }
        )
    return charts


def caption_length_chart(counts: Counter[int]) -> dict[str, Any]:
    if not counts:
        return {"title": "Caption length", "note": "words", "bars": [], "axis": [], "spoken": "no captions"}
    low, high, total = min(counts), max(counts), counts.total()
    mean = sum(words * count for words, count in counts.items()) / total
    top = max(counts.values())
    return {
        "title": "Caption length",
        "note": f"words; {mean:.1f} on average",
        "spoken": f"Caption length: {low} to {high} words, {mean:.1f} on average",
        "bars": [
            {"height": round(100 * counts[n] / top, 2), "tip": f"{n} words: {counts[n]:,} captions"}
            for n in range(low, high + 1)
        ],
        "axis": [str(low), str((low + high) // 2), str(high)] if high - low > 1 else [str(low), str(high)],
    }


def value_chart(title: str, values: np.ndarray, note: str, form: str | None, bins: int = 32) -> dict[str, Any]:
    """Bars of a distribution, its rarest 0.5 percent at either end gathered into the outermost bars."""

    def say(value: float) -> str:
        return clock_time(value) if form is None else form.format(value)

    values = values[np.isfinite(values)]
    if not values.size:
        return {"title": title, "note": note, "bars": [], "axis": [], "spoken": f"{title}: nothing"}
    low, high = (float(v) for v in np.percentile(values, [0.5, 99.5]))
    if high <= low:
        low, high = low - 0.5, low + 0.5
    counts, edges = np.histogram(np.clip(values, low, high), bins=bins, range=(low, high))
    median = float(np.median(values))
    return {
        "title": title,
        "note": f"{note}; median {say(median)}",
        "spoken": f"{title}: from {say(float(values.min()))} to {say(float(values.max()))}, median {say(median)}",
        "bars": [
            {
                "height": round(100 * int(count) / int(counts.max()), 2),
                "tip": f"{say(edges[n])} to {say(edges[n + 1])}: {int(count):,} tracks",
            }
            for n, count in enumerate(counts)
        ],
        "axis": [say(low), say((low + high) / 2), say(high)],
    }


def word_bars(summary: Summary) -> list[dict[str, Any]]:
    common = summary.words.most_common(24)
    return [
        {
            "text": word,
            "width": round(100 * count / common[0][1], 1),
            "share": f"{count / summary.tracks:.0%}" if count / summary.tracks >= 0.01 else f"{count:,}×",
        }
        for word, count in common
    ]
