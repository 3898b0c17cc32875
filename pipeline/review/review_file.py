"""`reviews.jsonl`, as the report page saves it: one decision a line."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from pipeline import storage

VERDICTS = ("accepted", "edited", "rejected")
SAMPLES = (None, "random", "least_certain")
MAX_BYTES = 256 * 2**20


def read_review_file(uri: str) -> list[dict[str, Any]]:
    """Read and check all decisions of a file.

    Returns:
        Rows of `REVIEW_SCHEMA` without `run_id`, in the order of the file.

    Raises:
        ValueError: A line is no decision, or there is none; the message names the line.
        StorageError: The file cannot be read.
    """
    lines = storage.read_bytes(uri, max_bytes=MAX_BYTES).decode("utf-8-sig", "replace").split("\n")  # U+2028 ends none
    rows = []
    for number, line in enumerate(lines, start=1):
        if line.strip():
            try:
                rows.append(_row(json.loads(line)))
            except (json.JSONDecodeError, _BadLineError) as error:
                raise ValueError(f"{uri}, line {number}: {error}; save the file again on the report page") from None
    if not rows:
        raise ValueError(f"{uri}: there are no reviews in it")
    return rows


class _BadLineError(Exception):
    """The line is no decision; the message says why."""


def _row(line: Any) -> dict[str, Any]:
    """Return a line as a row of the schema."""
    if not isinstance(line, dict):
        raise _BadLineError("not a JSON object")
    verdict, caption = line.get("verdict"), _text(line, "caption")
    if verdict not in VERDICTS:
        raise _BadLineError(f"verdict must be accepted, edited or rejected, not {verdict!r}")
    if (verdict == "rejected") != (caption is None):
        raise _BadLineError(f"verdict is {verdict}, so caption must {'be null' if caption else 'not be empty'}")
    track_id = _text(line, "track_id")
    if track_id is None:
        raise _BadLineError("track_id is missing")
    sample = line.get("sample")
    if sample not in SAMPLES:
        raise _BadLineError(f"sample must be random, least_certain or null, not {sample!r}")
    return {
        "track_id": track_id,
        "verdict": verdict,
        "caption": None if caption is None else " ".join(caption.split()),
        "machine_caption": line.get("machine_caption") if isinstance(line.get("machine_caption"), str) else "",
        "tags_on": _tags(line, "tags_on"),
        "tags_off": _tags(line, "tags_off"),
        "certainty": _number(line, "certainty"),
        "sample": sample,
        "etag": _text(line, "etag"),
        "model_id": _text(line, "model_id"),
        "created_at": _time(line.get("created_at")),
    }


def _text(line: Mapping[str, Any], name: str) -> str | None:
    value = line.get(name)
    if value is not None and not isinstance(value, str):
        raise _BadLineError(f"{name} must be text, not {value!r}")
    return value if value and value.strip() else None


def _number(line: Mapping[str, Any], name: str) -> float | None:
    value = line.get(name)
    if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
        raise _BadLineError(f"{name} must be a number, not {value!r}")
    return None if value is None else float(value)


def _tags(line: Mapping[str, Any], name: str) -> list[dict[str, str]]:
    value = line.get(name)
    try:
        return [{"facet": str(tag["facet"]), "tag": str(tag["tag"])} for tag in value or ()]
    except (TypeError, KeyError):
        raise _BadLineError(f"{name} must be a list of facet and tag, not {value!r:.80}") from None


def _time(value: Any) -> datetime:
    try:
        time = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        raise _BadLineError(f"created_at must be a time such as 2026-11-26T09:30:00Z, not {value!r}") from None
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
