"""Names and records of runs: `OUTPUT/runs/<run_id>.json`."""

import json
from typing import Any

from pipeline import storage
from pipeline.output import clock


def new_run_id() -> str:
    """Return a new run id: the time in UTC and six random hex digits, e.g. `20261122T213000Z-ab12cd`."""
    return f"{clock.now():%Y%m%dT%H%M%SZ}-{clock.random_hex(3)}"


def last_run(output: str) -> dict[str, Any] | None:
    """Read the record of the newest run that had work to do, otherwise of the newest run; None without runs.

    Raises:
        StorageError: The output cannot be read.
    """
    files = sorted(storage.list_files(storage.join(output, "runs"), suffix=".json"), key=lambda file: file.uri)
    newest: dict[str, Any] | None = None
    for file in reversed(files[-20:]):
        record: dict[str, Any] = json.loads(storage.read_bytes(file.uri))
        newest = newest or record
        if record.get("status") != "nothing_to_do":
            return record
    return newest
