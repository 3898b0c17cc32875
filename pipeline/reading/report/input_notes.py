"""What the report says about the input: damaged files, and what the listing of a folder left out."""

from typing import Any

from pipeline.reading.report.run_table import record_number, record_part
from pipeline.reading.report.statistics import Summary

MAX_PATHS = 20
"""Unreadable folders and links that the report names."""


def damaged_files(summary: Summary) -> dict[str, Any]:
    """Return the tracks that were captioned from damaged files, for the template."""
    shown = len(summary.damaged_examples)
    note = f"{summary.damaged:,} tracks were captioned from what the file holds; column damage names all of them"
    if shown < summary.damaged:
        note += f"; the first {shown:,}"
    return {"note": note, "files": [{"track_id": name, "damage": why} for name, why in summary.damaged_examples]}


def left_out_of_listing(records: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what the newest run's listing left out, for the template.

    Args:
        records: Run records, newest first, of any version.
    """
    record = records[0] if records else {}
    suffixes = []
    for suffix, found in record_part(record, "files_left_out").items():
        if isinstance(found, dict):
            number = record_number(found, "files")
            suffixes.append((number, str(suffix) or "without suffix", str(found.get("example", ""))))
    suffixes.sort(key=lambda row: (-row[0], row[1]))
    paths = record.get("unreadable")
    return {
        "note": f"by run {record.get('run_id', '')}: not audio by their suffix, or not readable",
        "suffixes": [
            {"count": f"{number:,.0f}", "suffix": suffix, "example": path} for number, suffix, path in suffixes
        ],
        "unreadable": [str(path) for path in paths[:MAX_PATHS]] if isinstance(paths, list) else [],
        "num_unreadable": f"{record_number(record, 'num_unreadable'):,.0f}",
    }
