"""Captions and tag scores of tracks beside their catalogue rows; from an output, a Parquet file or JSON lines."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import storage
from pipeline.catalogue import read_catalogue
from pipeline.output.newest import open_table

_COLUMNS = ("track_id", "caption", "tags")


@dataclass(frozen=True, kw_only=True)
class CaptionedTrack:
    """A track's caption and what the catalogue states about the track."""

    track_id: str
    caption: str
    """Empty where there is none."""
    tags: tuple[tuple[str, str, float], ...] | None
    """(facet, tag, score), where the captions have a `tags` column."""
    row: Mapping[str, Any]
    """The catalogue's columns, their names in lower case."""


def captions_with_facts(catalogue: str, captions: str) -> list[CaptionedTrack]:
    """Join captions with their catalogue rows, in the order of the catalogue.

    Args:
        catalogue: As for `read_catalogue`.
        captions: An output of `muscaps caption`, a Parquet file, or a file of JSON lines; with `track_id`, `caption`
            and, where there are tag scores, `tags` as a list of facet, tag and score. The newest caption of a track
            counts, or the last in a file.

    Raises:
        CatalogueError: The catalogue cannot be used.
        ValueError: The captions cannot be read, or none is of a track in the catalogue.
        StorageError: The storage could not be read.
    """
    rows = read_catalogue(catalogue).rows
    rows = rows.rename_columns([name.lower() for name in rows.column_names])
    found = {row["track_id"]: row for row in _caption_rows(captions)}
    tracks = [
        CaptionedTrack(
            track_id=row["track_id"],
            caption=found[row["track_id"]].get("caption") or "",
            tags=_tags(found[row["track_id"]].get("tags")),
            row=row,
        )
        for batch in rows.to_batches(max_chunksize=8192)
        for row in batch.to_pylist()
        if row["track_id"] in found
    ]
    if not tracks:
        some = ", ".join(map(repr, list(found)[:3]))
        raise ValueError(f"no track of {captions} is in {catalogue}; its first track_ids are {some or 'none'}")
    return tracks


def _caption_rows(source: str) -> Iterator[Mapping[str, Any]]:
    name = source.lower()
    if name.endswith((".jsonl", ".ndjson")):
        yield from _json_rows(source)
    elif name.endswith(".parquet") and not storage.is_folder(source):
        filesystem, path = storage.filesystem(source)
        try:
            yield from _parquet_rows(pq.ParquetFile(path, filesystem=filesystem), source)
        except (OSError, pa.ArrowInvalid) as error:
            raise ValueError(f"{source}: not a readable Parquet file ({error})") from error
    else:
        table = open_table(source, "captions")
        for batch in table.newest([name for name in _COLUMNS if name in table.schema.names]):
            yield from batch.to_pylist()


def _parquet_rows(file: pq.ParquetFile, source: str) -> Iterator[Mapping[str, Any]]:
    missing = {"track_id", "caption"} - set(file.schema_arrow.names)
    if missing:
        raise ValueError(f"{source}: no column {' or '.join(sorted(missing))}")
    for batch in file.iter_batches(columns=[name for name in _COLUMNS if name in file.schema_arrow.names]):
        yield from batch.to_pylist()


def _json_rows(source: str) -> Iterator[Mapping[str, Any]]:
    lines = storage.read_bytes(source).decode("utf-8-sig").split("\n")  # U+2028 ends no line
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise ValueError(f"{source}, line {number}: not JSON ({error})") from None
        if not isinstance(row, dict) or not isinstance(row.get("track_id"), str) or "caption" not in row:
            raise ValueError(f'{source}, line {number}: needs "track_id", a string, and "caption"')
        yield row


def _tags(value: Any) -> tuple[tuple[str, str, float], ...] | None:
    """Read a `tags` cell: a list of objects with facet, tag and score."""
    if value is None:
        return None
    try:
        return tuple((str(tag["facet"]), str(tag["tag"]), float(tag["score"])) for tag in value)
    except (TypeError, KeyError, ValueError):
        raise ValueError(f"tags must be a list of facet, tag and score, not {value!r:.80}") from None
