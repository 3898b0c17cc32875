"""Removal of the files that an interrupted run left: features without captions, and files that do not count.

Features are committed before the captions of the same rows, under the same name. A features file without its captions
was therefore left by a crash.
"""

import logging
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset

from pipeline import storage
from pipeline.output.journal import TABLES, part_name, read_journal
from pipeline.output.lease import LEASE_SECONDS, Lease
from pipeline.output.parts import part_files, read_parts
from pipeline.output.schema import CAPTION_SCHEMA, FEATURE_SCHEMA

logger = logging.getLogger(__name__)


def remove_leftovers(output: str, lease: Lease) -> None:
    """Remove features without captions, late files of runs that lost their lease, and partial files.

    No merge may be in progress.

    Raises:
        LeaseLostError: Another run took over.
        StorageError: The output cannot be listed, or a file cannot be removed.
    """
    for folder in (
        output,
        *(storage.join(output, name) for name in ("captions", "failures", "features", "reviews", "runs")),
    ):
        storage.remove_partial_writes(folder, older_than_s=LEASE_SECONDS)
    if read_journal(output)[0].last_numbers:
        _remove_late_files(output, lease)
    features = part_files(output, "features")
    if not features:
        return
    captions = part_files(output, "captions")
    names = {part_name(file.uri) for file in captions}
    for file in features:
        name = part_name(file.uri)
        if name in names or not name.startswith("part-") or _is_captioned(file, captions):
            continue
        logger.info("removing %s, left over from an interrupted run", file.uri)
        lease.ensure_held()
        storage.delete(file.uri)


def _remove_late_files(output: str, lease: Lease) -> None:
    """Remove files that do not count, for readers that do not know the journal, such as DuckDB."""
    for table in TABLES:
        counted = {file.uri for file in part_files(output, table)}
        for file in storage.list_files(storage.join(output, table), suffix=".parquet"):
            if file.uri not in counted:
                lease.ensure_held()
                storage.delete(file.uri)


def _is_captioned(features: storage.StoredFile, captions: Sequence[storage.StoredFile]) -> bool:
    """Return whether the captions of a features file were committed, in their own part or in a merged file."""
    run_id = part_name(features.uri).removeprefix("part-").rpartition("-")[0]
    written = read_parts([features], pa.schema([FEATURE_SCHEMA.field("track_id")]))
    by_run = pyarrow.dataset.field("run_id") == run_id
    schema = pa.schema([CAPTION_SCHEMA.field(name) for name in ("track_id", "run_id")])
    known = read_parts(captions, schema, by_run)["track_id"].combine_chunks()
    return bool(pc.any(pc.is_in(written["track_id"], value_set=known)).as_py())
