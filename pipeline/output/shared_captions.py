"""Captions that versions of a track share: an edit, an instrumental or a stem has the caption of its master.

Conventions: a *version* is a track whose row has `shared_from`, the *source* the track that was captioned. A version's
row is a copy of what the source's row says about the music, without what only its own file could tell.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset

from muscaps.config import DecodingOptions
from pipeline.catalogue import Catalogue
from pipeline.output.anti_join import made_by
from pipeline.output.effort import Effort
from pipeline.output.parts import part_files, read_parts
from pipeline.output.schema import CAPTION_SCHEMA, TIMESTAMP

SHARED = ("caption", "log_prob", "alternatives", "tags", "evidence", "created_at")
"""Columns that a version has from its source."""
UNSHARED_FACET = "vocals"
"""Facet of tags that a version does not have: an instrumental of a song has no vocals."""
SOURCES_AT_ONCE = 20_000
"""Sources that are read from an output at a time."""


def shared_rows(versions: pa.Table, sources: pa.Table) -> pa.Table:
    """Return the result rows of versions whose source is among some captioned rows.

    Args:
        versions: Rows for the first stage, with `shared_from` and `shared_from_etag`.
        sources: Captioned tracks, with `track_id` and the columns `SHARED`.
    """
    places = pc.index_in(versions["shared_from"], value_set=sources["track_id"].combine_chunks())
    rows, places = versions.filter(places.is_valid()), places.drop_null()
    for name in SHARED:
        column = _without_facet(sources[name]) if name == "tags" else sources[name]
        rows = rows.append_column(CAPTION_SCHEMA.field(name).with_nullable(True), column.take(places))
    return rows


def earlier_captions(
    output: str, model_id: str, options: DecodingOptions, wanted: pa.Table, *, effort: Effort = "quick"
) -> Iterator[tuple[pa.Table, pa.Table]]:
    """Yield versions with the captioned rows of their sources, from an output, some at a time.

    Args:
        output: Folder or bucket prefix of the output.
        model_id: Model of the captions.
        options: Decoding of the captions.
        wanted: Versions, with `shared_from` and `shared_from_etag`.
        effort: Least effort of the captions.

    Raises:
        StorageError: The output cannot be read.
    """
    names = ("track_id", "etag", "shared_from", *SHARED)
    schema = pa.schema([CAPTION_SCHEMA.field(name).with_nullable(True) for name in names])
    model = pa.schema([CAPTION_SCHEMA.field(name).with_nullable(True) for name in ("model_id", "decoding", "effort")])
    files = part_files(output, "captions")
    ids = pc.unique(wanted["shared_from"])
    for start in range(0, len(ids), SOURCES_AT_ONCE):
        some = ids.slice(start, SOURCES_AT_ONCE)
        condition = made_by(model_id, options, effort) & pyarrow.dataset.field("shared_from").is_null()
        condition &= pyarrow.dataset.field("track_id").isin(some)
        rows = read_parts(files, pa.schema([*schema, *model]), condition).select(schema.names)
        versions = wanted.filter(pc.is_in(wanted["shared_from"], value_set=some))
        rows = rows.filter(pc.is_in(_files(rows, "track_id", "etag"), value_set=_files(versions).combine_chunks()))
        now = pa.scalar(datetime.now(UTC), TIMESTAMP)  # newer than an older caption that the version may have shared
        times = pc.if_else(pc.less(rows["created_at"], now), now, rows["created_at"])
        rows = rows.set_column(rows.column_names.index("created_at"), "created_at", times)
        yield versions, rows


def without_outdated(captions: pa.Table, catalogue: Catalogue) -> pa.Table:
    """Leave out the captions of versions whose source has other audio in the catalogue now.

    Args:
        captions: Rows with the columns `anti_join.CAPTIONED`.
        catalogue: The tracks that are wanted.
    """
    etags, given = catalogue.rows["etag"], captions["shared_from_etag"]
    if given.null_count == len(given) or etags.null_count == len(etags):
        return captions
    places = pc.index_in(captions["shared_from"], value_set=catalogue.rows["track_id"].combine_chunks())
    changed = pc.not_equal(etags.combine_chunks().take(places), given)
    return captions.filter(pc.invert(pc.fill_null(changed, False)))


def _files(rows: pa.Table, track_id: str = "shared_from", etag: str = "shared_from_etag") -> Any:
    """Join track and version of the file into one string."""
    return pc.binary_join_element_wise(rows[track_id], pc.fill_null(rows[etag], ""), "\x1f")


def _without_facet(column: pa.ChunkedArray) -> pa.ChunkedArray:
    kept = [
        None if tags is None else [tag for tag in tags if tag["facet"] != UNSHARED_FACET] for tags in column.to_pylist()
    ]
    return pa.chunked_array([pa.array(kept, column.type)])
