"""The table of runs: one row per run, from its record or from its captions."""

import json
import math
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from pipeline.reading.report.formatting import readable_duration
from pipeline.reading.report.statistics import Summary


def wall_seconds(summary: Summary, run: str, first: int, last: int) -> float:
    """Return a run's duration: that of its record, else from its first to its last caption."""
    for record in summary.runs:
        if record.get("run_id") == run and record_number(record, "wall_seconds") > 0:
            return record_number(record, "wall_seconds")
    return float(max(1, last - first))


MAX_RUNS = 20
RUN_COLUMNS = (
    "Run",
    "Started",
    "Status",
    "Duration",
    "Captioned",
    "Shared",
    "Failed",
    "Left",
    "Speed",
    "Beam",
    "Version",
)


def known_runs(summary: Summary) -> list[dict[str, Any]]:
    """Return run records, newest first, with an empty one for a run without a record."""
    known = {record.get("run_id") for record in summary.runs}
    unrecorded: Iterable[dict[str, Any]] = ({"run_id": run} for run in summary.captioned_at if run and run not in known)
    return sorted([*summary.runs, *unrecorded], key=lambda r: str(r.get("run_id", "")), reverse=True)[:MAX_RUNS]


def run_row(summary: Summary, record: dict[str, Any]) -> dict[str, Any]:
    """Build one row of the table of runs, from its record where there is one, else from the captions."""
    run = str(record.get("run_id", ""))
    done = summary.captioned_at.get(run, Counter())
    wall = record_number(record, "wall_seconds") or (wall_seconds(summary, run, min(done), max(done)) if done else 0.0)
    captioned = record_number(record, "captioned", done.total())
    failed = record_number(record, "failed", summary.failed_at.get(run, Counter()).total())
    audio = record_number(record, "audio_seconds")
    start = record.get("started_at") or (datetime.fromtimestamp(min(done), UTC).isoformat() if done else "–")
    options = record_part(record_part(record, "config"), "options")
    cells = (
        run,
        str(start)[:16].replace("T", " "),
        str(record.get("status", "–")),
        readable_duration(wall) if wall else "–",
        f"{captioned:,.0f}",
        f"{record_number(record, 'shared'):,.0f}",
        f"{failed:,.0f}",
        f"{record_number(record, 'left'):,.0f}" if "left" in record else "–",
        f"{audio / wall:,.0f}× real time" if audio and wall else "–",
        str(options.get("beam_size", "–")),
        str(record_part(record, "versions").get("muscaps", "–")),
    )
    rest = {key: value for key, value in record.items() if key != "run_id"}
    return {
        "name": run,
        "cells": cells,
        "reason": str(record.get("reason") or ""),
        "stages": _stage_shares(record_part(record, "stage_seconds")),
        "details": json.dumps(rest, indent=2, ensure_ascii=False, default=str) if rest else "",
    }


def _stage_shares(seconds: dict[str, Any]) -> list[dict[str, str]]:
    """Return the work of each stage, longest first; stages run in parallel, so the sum exceeds the duration."""
    known = {str(name): record_number(seconds, name) for name in seconds}
    total = sum(known.values())
    return [
        {"name": name, "width": f"{100 * value / total:.1f}", "duration": readable_duration(value)}
        for name, value in sorted(known.items(), key=lambda item: -item[1])
        if value > 0
    ]


def record_number(record: dict[str, Any], key: str, otherwise: float = 0.0) -> float:
    """Return a finite number of a run record, else `otherwise`; a record may be of any version or damaged."""
    value = record.get(key)
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return float(value)
    return otherwise


def record_part(record: dict[str, Any], key: str) -> dict[str, Any]:
    """Return a mapping of a run record, else an empty one."""
    value = record.get(key)
    return value if isinstance(value, dict) else {}
