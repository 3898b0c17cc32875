"""The Frictionless data package that describes an exported file."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipeline.reading.tag_columns import AI_COLUMN, KEYWORDS, MODEL_COLUMN, TAG_COLUMNS
from pipeline.review.reviewed_captions import REVIEWED_COLUMN

DISCLOSURE = (
    "Captions are AI-written descriptions (muscaps), made from the audio alone. They may be wrong. They name no "
    "artist, title or lyrics. This is a statement about the descriptions, not about the recordings."
)


_MEDIA_TYPES = {
    "csv": "text/csv",
    "txt": "text/tab-separated-values",
    "jsonl": "application/jsonl",
    "parquet": "application/vnd.apache.parquet",
}

_FIELD_DESCRIPTIONS = {
    "track_id": "The catalogue's identifier of the track.",
    "uri": "Where the audio was read from.",
    "etag": "The audio object's version when it was read.",
    "caption": "One sentence about the music: an AI-written description.",
    "log_prob": "Natural log-probability of the caption given the audio, summed over its words and the end token.",
    "duration_s": "Length of the whole track in seconds.",
    "sample_rate": "Samples per second of the original file.",
    "channels": "Channels of the original file.",
    "num_chunks": "Chunks of audio that the model processed.",
    "coverage": "Fraction of the track that was processed, 0 to 1.",
    "shared_from": "The track, normally the master, whose caption this version shares; empty for all others.",
    "model_id": "Name and digest of the checkpoint that wrote the caption.",
    "created_at": "When the caption was written, UTC.",
    "has_vocals": "Whether there are vocals; empty where that is uncertain.",
    "vocals_score": "Calibrated probability of vocals.",
    "music_score": "Probability that the track is music; below 0.5 it is probably speech or noise.",
    **{name: f"Tags of facet {name.removeprefix('tags_')}, separated by commas." for name in TAG_COLUMNS},
    KEYWORDS: "Tags of all facets and their synonyms, separated by commas.",
    REVIEWED_COLUMN: "Whether a person accepted, edited or rejected the caption; a rejected caption is empty.",
    AI_COLUMN: "Always true: the description, not the recording, is AI-written.",
    MODEL_COLUMN: "Name and digest of the checkpoint that wrote the description.",
    "file_name": "The audio file, relative to this file's folder.",
}


def data_package(
    file: str,
    schema: pa.Schema,
    *,
    sources: Mapping[str, str],
    spreadsheet_safe: bool,
    rows: int,
    size: int,
    digest: str,
) -> dict[str, Any]:
    """Build a Frictionless Data Package (version 1) that describes the file.

    Args:
        file: Path or URI of the file; its suffix is the format.
        schema: Columns of the file.
        sources: From which column each one is made.
        spreadsheet_safe: Whether formulas were escaped.
        rows: Number of rows.
        size: Length in bytes.
        digest: SHA-256 of the file in hex digits.
    """
    resource = _resource(file.rpartition("/")[2], schema, sources, rows=rows, size=size, digest=digest)
    return {
        "name": resource["name"],
        "title": "Captions of a music catalogue",
        "description": DISCLOSURE,
        AI_COLUMN: True,
        "created": datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        "spreadsheet_safe": spreadsheet_safe,
        "resources": [resource],
    }


def _resource(
    name: str, schema: pa.Schema, sources: Mapping[str, str], *, rows: int, size: int, digest: str
) -> dict[str, Any]:
    """Describe the file and its columns."""
    file_format = Path(name).suffix.lower()[1:]
    fields = []
    for field in schema:
        described = {"name": field.name, "type": _frictionless_type(field.type)}
        if pa.types.is_decimal(field.type) and file_format == "jsonl":
            described["type"] = "string"  # a JSON number may lose digits
        if sources[field.name] in _FIELD_DESCRIPTIONS:
            described["description"] = _FIELD_DESCRIPTIONS[sources[field.name]]
        fields.append(described)
    resource: dict[str, Any] = {
        "name": re.sub(r"[^a-z0-9._-]+", "-", Path(name).stem.lower()),
        "path": name,
        "format": file_format,
        "mediatype": _MEDIA_TYPES[file_format],
        "bytes": size,
        "hash": f"sha256:{digest}",
        "rows": rows,
        "schema": {"fields": fields, "missingValues": [""]},
    }
    if file_format == "txt":
        resource["dialect"] = {"delimiter": "\t"}
    key = next((name for name, source in sources.items() if source == "track_id"), None)
    if key is not None:
        resource["schema"]["primaryKey"] = key
    if file_format != "parquet":
        resource["encoding"] = "utf-8"
    return resource


def _frictionless_type(kind: pa.DataType) -> str:
    """Return the Table Schema type of an Arrow type."""
    for matches, name in (
        (pa.types.is_boolean, "boolean"),
        (pa.types.is_integer, "integer"),
        (pa.types.is_floating, "number"),
        (pa.types.is_decimal, "number"),
        (pa.types.is_timestamp, "datetime"),
        (pa.types.is_date, "date"),
        (pa.types.is_list, "array"),
        (pa.types.is_large_list, "array"),
        (pa.types.is_struct, "object"),
    ):
        if matches(kind):
            return name
    return "string"
