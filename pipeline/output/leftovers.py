"""Removal of the files that an interrupted run left.

Features are committed before the captions of the same rows, under the same name. A features file without its captions
was therefore left by a crash.
"""

import logging
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset

from pipeline import storage
from pipeline.output.lease import LEASE_SECONDS
from pipeline.output.parts import part_name, read_parts
from pipeline.output.schema import CAPTION_SCHEMA, FEATURE_SCHEMA

logger = logging.getLogger(__name__)


def remove_leftovers(output: str) -> None:
    """Remove features without captions, and hidden files of interrupted writes.

    Only the holder of the lease may call it.

    Raises:
        StorageError: The output cannot be listed, or a file cannot be removed.
    """
    for folder in (
        output,
        *(storage.join(output, name) for name in ("captions", "failures", "features", "reviews", "runs")),
    ):
        storage.remove_partial_writes(folder, older_than_s=LEASE_SECONDS)
    features = list(storage.list_files(storage.join(output, "features"), suffix=".parquet"))
    if not features:
        return
    captions = list(storage.list_files(storage.join(output, "captions"), suffix=".parquet"))
    names = {part_name(file.uri) for file in captions}
    for file in features:
        name = part_name(file.uri)
        if name in names or not name.startswith("part-") or _is_captioned(file, captions):
            continue
        logger.info("removing %s, left over from an interrupted run", file.uri)
        storage.delete(file.uri)


def _is_captioned(features: storage.StoredFile, captions: Sequence[storage.StoredFile]) -> bool:
    """Return whether the captions of a features file were committed, in their own part or in a merged file."""
    run_id = part_name(features.uri).removeprefix("part-").rpartition("-")[0]
    written = read_parts([features], pa.schema([FEATURE_SCHEMA.field("track_id")]))
    by_run = pyarrow.dataset.field("run_id") == run_id
    schema = pa.schema([CAPTION_SCHEMA.field(name) for name in ("track_id", "run_id")])
    known = read_parts(captions, schema, by_run)["track_id"].combine_chunks()
    return bool(pc.any(pc.is_in(written["track_id"], value_set=known)).as_py())
