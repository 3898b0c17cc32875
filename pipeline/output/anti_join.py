"""The anti-join: rows of a catalogue minus those that an output already holds.

`captioned_tracks` and `failed_tracks` read finished and failed tracks from an output; `rows_to_do` subtracts tracks
from a catalogue. `pipeline/captioning/plan.py` combines them and decides which failed tracks are tried again.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset

from muscaps.config import DecodingOptions
from pipeline.catalogue import Catalogue
from pipeline.output.effort import Effort, at_least
from pipeline.output.parts import part_files, read_parts
from pipeline.output.schema import CAPTION_SCHEMA, FAILURE_SCHEMA, decoding_of

CAPTIONED = ("track_id", "uri", "etag", "shared_from", "shared_from_etag", "effort")
_KEYS = pa.schema([CAPTION_SCHEMA.field(name).with_nullable(True) for name in (*CAPTIONED, "model_id", "decoding")])


def captioned_tracks(
    output: str, model_id: str, options: DecodingOptions, group_by: str | None = None, *, effort: Effort = "quick"
) -> pa.Table:
    """List the tracks that have a caption by this model and decoding, of at least this effort.

    Args:
        output: Folder or bucket prefix of the output.
        model_id: Model of the captions.
        options: Decoding of the captions.
        group_by: Column of the catalogue that is read as well.
        effort: Least effort of the captions.

    Returns:
        The columns `CAPTIONED`, one row per caption; with `group_by` also `group`, its values as text.

    Raises:
        StorageError: The output cannot be read.
    """
    files, condition = part_files(output, "captions"), made_by(model_id, options, effort)
    if group_by is None:
        return read_parts(files, _KEYS, condition).select(CAPTIONED)
    rows = read_parts(files, _KEYS.append(pa.field(group_by, pa.string())), condition)
    return rows.select([*CAPTIONED, group_by]).rename_columns([*CAPTIONED, "group"])


def made_by(model_id: str, options: DecodingOptions, effort: Effort = "quick") -> pyarrow.dataset.Expression:
    """Return the condition that a caption is by this model and decoding, of at least this effort."""
    condition = pyarrow.dataset.field("model_id") == model_id
    if effort != "quick":
        given = pyarrow.dataset.field("effort")
        condition &= given.is_null() | given.isin(at_least(effort))
    for name, value in decoding_of(options).items():
        part = pyarrow.dataset.field("decoding", name)
        condition &= part.is_null() if value is None else part == value
    return condition


def tracks_of_any_model(output: str) -> pa.Table:
    """List the tracks that have a caption by any model and decoding, in the columns of `captioned_tracks`.

    Raises:
        StorageError: The output cannot be read.
    """
    return read_parts(part_files(output, "captions"), _KEYS).select(CAPTIONED)


def failed_tracks(output: str) -> pa.Table:
    """List the tracks that have failed, each with its last failure.

    Returns:
        `FAILURE_SCHEMA`, one row per track; `attempt` is the number of its attempts.

    Raises:
        StorageError: The output cannot be read.
    """
    rows = read_parts(part_files(output, "failures"), FAILURE_SCHEMA)
    others = [name for name in FAILURE_SCHEMA.names if name not in ("track_id", "attempt")]
    ordered = rows.sort_by([("created_at", "ascending"), ("attempt", "ascending")])
    last = ordered.group_by("track_id", use_threads=False).aggregate(
        [("attempt", "max"), *((name, "last") for name in others)]
    )
    last = last.rename_columns([name.removesuffix("_last").removesuffix("_max") for name in last.column_names])
    return last.select(FAILURE_SCHEMA.names)


def rows_to_do(catalogue: Catalogue, finished: pa.Table) -> np.ndarray:
    """Return which tracks of a catalogue have no finished row (an anti-join on track and version).

    A track is finished if a finished row has its `track_id` and the same `etag`. If one of the two etags is null, the
    `track_id` is sufficient.

    Args:
        catalogue: The tracks that are wanted.
        finished: `track_id` and `etag` of finished rows; a track may occur more than once.

    Returns:
        (num_tracks,) bool, true for tracks without a finished row.
    """
    rows = catalogue.rows
    if finished.num_rows == 0:
        return np.ones(rows.num_rows, dtype=bool)
    has_row = pc.is_in(rows["track_id"], value_set=_flat(finished["track_id"]))
    if rows["etag"].null_count == rows.num_rows or finished["etag"].null_count == finished.num_rows:
        return _numpy(pc.invert(has_row))
    unversioned = finished.filter(pc.is_null(finished["etag"]))
    versioned = finished.filter(pc.is_valid(finished["etag"]))
    same = pc.or_(
        pc.is_in(rows["track_id"], value_set=_flat(unversioned["track_id"])),
        pc.is_in(_versions(rows), value_set=_flat(_versions(versioned))),
    )
    return _numpy(pc.invert(pc.if_else(pc.is_null(rows["etag"]), has_row, same)))


def _versions(rows: pa.Table) -> pa.ChunkedArray:
    """Join track and version into one string."""
    return pc.binary_join_element_wise(rows["track_id"], rows["etag"], "\x1f")


def _flat(column: pa.ChunkedArray) -> pa.Array:
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def _numpy(mask: pa.ChunkedArray | pa.Array) -> np.ndarray:
    return np.asarray(mask.to_numpy(zero_copy_only=False) if isinstance(mask, pa.Array) else mask.to_numpy(), bool)
