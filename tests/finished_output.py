"""Write a finished run's output without running one: captions, failures, features and the run's record."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.output.schema import CAPTION_SCHEMA, FAILURE_SCHEMA, FEATURE_SCHEMA

MODEL_ID = "default-0123456789ab"
RUN_ID = "20261122T213000Z-ab12cd"
STARTED = datetime(2026, 11, 22, 21, 30, tzinfo=UTC)

_MOODS = (
    "a relaxed",
    "a bright",
    "a dark",
    "an upbeat",
    "a gentle",
    "a driving",
    "a melancholic",
    "a playful",
)
_STYLES = ("acoustic", "orchestral", "electronic", "jazz", "folk", "cinematic", "ambient", "funk")
_LEADS = ("piano", "guitar", "strings", "synths", "brass", "marimba", "flute", "choir")
_BACKS = ("drums", "bass", "percussion", "pads", "a steady beat", "hand claps", "organ", "soft strings")
_REASONS = (
    ("fetch", "not_found", "no such file: it was moved or the catalogue is out of date", False),
    ("fetch", "forbidden", "the bucket refuses to hand it out: check the role's s3:GetObject", False),
    ("decode", "not_audio", "not an audio file: it begins like an HTML page", False),
    ("decode", "truncated", "the file ends after 3 of 187 seconds", False),
    ("fetch", "throttled", "the store throttled requests for more than 60 s", True),
)


def caption_row(number: int, **changes: Any) -> dict[str, Any]:
    """One plausible row of `captions/`; the same number gives the same row."""
    rng = np.random.default_rng(number)
    pick = lambda words: words[int(rng.integers(len(words)))]  # noqa: E731
    words = f"{pick(_MOODS)} {pick(_STYLES)} piece with {pick(_LEADS)} and {pick(_BACKS)}"
    duration = float(np.round(rng.gamma(9, 20) + 20, 2))
    chunks = int(duration // 3)
    row = {
        "track_id": f"t{number:06d}",
        "uri": f"s3://catalogue/audio/t{number:06d}.mp3",
        "etag": f"{number:032x}",
        "caption": words,
        "log_prob": float(np.round(-rng.gamma(8, 1.2) - 2, 4)),
        "alternatives": None,
        "segments": None,
        "attention": None,
        "duration_s": duration,
        "sample_rate": 44_100,
        "channels": 2,
        "num_chunks": chunks,
        "coverage": 1.0 if duration < 300 else 0.8,
        "model_id": MODEL_ID,
        "decoding": {"beam_size": 5, "max_words": 22},
        "code_version": "0.1.0",
        "run_id": RUN_ID,
        "created_at": STARTED + timedelta(seconds=number * 0.7),
        "title": f"Track {number}",
        "artist": pick(("The Sines", "Ada Lot", "Køpenhavn Trio", "Zoë Marr", "DJ <b>Bold</b>")),
    }
    return row | changes


def failure_row(number: int, **changes: Any) -> dict[str, Any]:
    """One plausible row of `failures/`."""
    stage, error_type, message, retryable = _REASONS[(number * number) % len(_REASONS)]
    row = {
        "track_id": f"f{number:06d}",
        "uri": f"s3://catalogue/audio/f{number:06d}.mp3",
        "stage": stage,
        "error_type": error_type,
        "message": message,
        "retryable": retryable,
        "attempt": 1,
        "run_id": RUN_ID,
        "created_at": STARTED + timedelta(seconds=number * 9),
    }
    return row | changes


def review_line(number: int, verdict: str = "accepted", **changes: Any) -> dict[str, Any]:
    """A line of reviews.jsonl about the track of `caption_row(number)`."""
    row = caption_row(number)
    caption = {"accepted": row["caption"], "edited": "a better caption", "rejected": None}[verdict]
    line = {
        "track_id": row["track_id"],
        "verdict": verdict,
        "caption": caption,
        "machine_caption": row["caption"],
        "tags_on": [],
        "tags_off": [],
        "certainty": 0.75,
        "sample": None,
        "etag": row["etag"],
        "model_id": row["model_id"],
        "created_at": f"2026-11-26T09:{number:02d}:00.123Z",
    }
    return line | changes


def write_rows(folder: Path, rows: list[dict[str, Any]], schema: pa.Schema, name: str) -> None:
    """Write rows to one Parquet file; columns the schema lacks follow as strings."""
    extra = [key for key in rows[0] if key not in schema.names]
    for key in extra:
        schema = schema.append(pa.field(key, pa.string()))
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), folder / name)


def write_captions(output: Path, rows: list[dict[str, Any]], name: str = "part-000.parquet") -> None:
    """Write rows to one file of `captions/`."""
    write_rows(output / "captions", rows, CAPTION_SCHEMA, name)


def write_failures(output: Path, rows: list[dict[str, Any]], name: str = "part-000.parquet") -> None:
    """Write rows to one file of `failures/`."""
    write_rows(output / "failures", rows, FAILURE_SCHEMA, name)


def write_features(
    output: Path, features: dict[str, np.ndarray], name: str = "part-000.parquet", model_id: str = MODEL_ID
) -> None:
    """Write {track_id: (chunks, feature)} to one file of `features/`."""
    rows = [
        {
            "track_id": track_id,
            "etag": None,
            "model_id": model_id,
            "num_chunks": array.shape[0],
            "feature_dim": array.shape[1],
            "features": array.astype("<f2").tobytes(),
        }
        for track_id, array in features.items()
    ]
    write_rows(output / "features", rows, FEATURE_SCHEMA, name)


def write_run(output: Path, **changes: Any) -> None:
    """Write the run's record to `runs/`."""
    record = {"run_id": RUN_ID} | changes
    (output / "runs").mkdir(parents=True, exist_ok=True)
    (output / "runs" / f"{record['run_id']}.json").write_text(json.dumps(record))
