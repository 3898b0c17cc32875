"""A catalogue's columns become ours: names, types, and the default of `track_id`.

Conventions: columns are matched without regard to case. Without a `uri` column, `path`, `file` and the like stand in
for it, without `track_id`, `id` does. A column that has the name of one of ours, such as `sample_rate`, is passed on
as `catalogue_sample_rate`.
"""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline import storage
from pipeline.catalogue.column_types import as_seconds, as_text, plain
from pipeline.catalogue.errors import CatalogueError
from pipeline.catalogue.reader import Reader
from pipeline.output.schema import CAPTION_SCHEMA, CATALOGUE_SCHEMA, DECODED, FAILURE_SCHEMA, RESULT

logger = logging.getLogger(__name__)

URI_SYNONYMS = ("path", "file", "filename", "file_name", "filepath", "file_path", "location", "url", "audio")
"""Columns read as `uri` where there is none, the first that is there."""
TRACK_ID_SYNONYMS = ("id", "trackid", "track")
"""Columns read as `track_id` where there is none, the first that is there."""

KNOWN = tuple(CATALOGUE_SCHEMA.names)
RESERVED = frozenset({*CAPTION_SCHEMA.names, *FAILURE_SCHEMA.names, *RESULT.names, *DECODED.names} - set(KNOWN))
"""Names of ours; a catalogue's column of such a name gets `catalogue_` in front."""


def map_columns(names: Sequence[str], source: str, *, reserved: frozenset[str] = RESERVED) -> dict[str, str]:
    """Map a catalogue's column names to ours.

    Args:
        names: The catalogue's column names.
        source: The catalogue, for messages.
        reserved: Names that get `catalogue_` in front.

    Raises:
        CatalogueError: No column says where the audio is, or two columns would be one.
    """
    tidy = {name: name.strip().lstrip("\ufeff") for name in names}
    lower = {name: plain.lower() for name, plain in tidy.items()}
    mapping = {name: known for name, known in lower.items() if known in KNOWN}
    for target, synonyms in (("uri", URI_SYNONYMS), ("track_id", TRACK_ID_SYNONYMS)):
        if target in mapping.values():
            continue
        found = next((name for synonym in synonyms for name in names if lower[name] == synonym), None)
        if found is not None:
            logger.info("%s: no column %r; taking %r for it", source, target, found)
            mapping[found] = target
    if "uri" not in mapping.values():
        raise CatalogueError(
            f"{source}: no column 'uri' (or {', '.join(URI_SYNONYMS)}) says where the audio is; "
            f"the columns are: {', '.join(tidy.values())}"
        )
    for number, name in enumerate(names, start=1):
        if name in mapping:
            continue
        plain = tidy[name] or f"column_{number}"
        if plain in reserved or plain.lower() in KNOWN:
            logger.info("%s: its column %r is passed on as 'catalogue_%s'", source, plain, plain)
            plain = f"catalogue_{plain}"
        mapping[name] = plain
    duplicates = sorted({name for name in mapping.values() if list(mapping.values()).count(name) > 1})
    if duplicates or len(set(names)) < len(names):
        raise CatalogueError(
            f"{source}: more than one column {', '.join(duplicates) or 'of the same name'}; rename one"
        )
    return mapping


def normalise(tables: Iterable[pa.Table], columns: Mapping[str, str], reader: Reader) -> Iterator[pa.Table]:
    """Give every table our columns, `track_id`, `uri` and `etag` first.

    Args:
        tables: Rows as the reader yields them.
        columns: Our name of each of their columns, as `map_columns` returns it.
        reader: Names rows in messages.

    Raises:
        CatalogueError: A row has no uri, or a duration that is no number.
    """
    first_row = 0
    own_names = {ours: own for own, ours in columns.items()}
    for table in tables:
        table = table.rename_columns([columns[name] for name in table.column_names])
        yield _normalised(table, own_names, reader, first_row)
        first_row += table.num_rows


def _normalised(table: pa.Table, own_names: Mapping[str, str], reader: Reader, first_row: int) -> pa.Table:
    arrays = {
        name: as_text(table[name], own_names[name], reader, first_row)
        for name in table.column_names
        if name in KNOWN and name != "duration_s"
    }
    uris = arrays["uri"]
    missing = np.flatnonzero(pc.is_null(uris).to_numpy())
    if len(missing):
        rows = [first_row + int(index) for index in missing]
        raise CatalogueError(f"{reader.source}: no uri in {reader.describe_rows(rows)}; fill it in or delete the row")
    no_text = pa.nulls(table.num_rows, pa.string())
    arrays["track_id"] = pc.coalesce(arrays.get("track_id", no_text), default_track_ids(uris, reader.base))
    arrays.setdefault("etag", no_text)
    if "duration_s" in table.column_names:
        arrays["duration_s"] = as_seconds(table["duration_s"], own_names["duration_s"], reader, first_row)
    others = {name: plain(table[name]) for name in table.column_names if name not in KNOWN}
    ordered = {name: arrays[name] for name in ("track_id", "uri", "etag", *KNOWN) if name in arrays}
    return pa.table({**ordered, **others})


def default_track_ids(uris: pa.ChunkedArray, base: str) -> pa.ChunkedArray:
    """Return URIs relative to the catalogue's folder, without passwords and secret queries."""
    folder = base[: base.rfind("/") + 1]
    for prefix in ("./", folder):
        if prefix:
            inside = pc.starts_with(uris, prefix)
            uris = pc.if_else(inside, pc.utf8_slice_codeunits(uris, len(prefix)), uris)
    with_secrets = np.flatnonzero(pc.match_substring_regex(uris, r"^[A-Za-z0-9+.-]+://.*[@?]").to_numpy())
    if len(with_secrets) == 0:
        return uris
    texts = uris.to_pylist()
    for index in with_secrets:
        texts[index] = storage.public_uri(texts[index])
    return pa.chunked_array([pa.array(texts, pa.string())])
