"""Writing decisions under `OUTPUT/reviews/`, under the lease, as whole Parquet files."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.dataset

from pipeline import storage
from pipeline.output.lease import Lease
from pipeline.output.parts import parquet_bytes, part_files, read_parts
from pipeline.output.runs import new_run_id
from pipeline.output.schema import CAPTION_SCHEMA, REVIEW_SCHEMA
from pipeline.review.review_file import read_review_file

MAX_NAMED = 3


@dataclass(frozen=True, kw_only=True)
class AppliedReviews:
    """What was written."""

    written: int
    """Decisions that are new."""
    known: int
    """Decisions of the file that the output already holds."""
    accepted: int
    """New decisions that leave the caption as it is."""
    edited: int
    """New decisions with another text."""
    rejected: int
    """New decisions against the caption."""


def apply_reviews(output: str, file: str) -> AppliedReviews:
    """Write the decisions of a file that an output does not hold yet; a second call writes nothing.

    Raises:
        ValueError: The file has no or bad decisions, or names tracks that the output has not captioned.
        LeaseHeldError: A run is writing to the output.
        StorageError: The file or the output cannot be read or written.
    """
    rows = read_review_file(file)
    _check_tracks(output, file, {row["track_id"] for row in rows})
    run_id = new_run_id()
    with Lease(output, run_id) as lease:
        known = _known(output)
        new: dict[tuple[str, Any], dict[str, Any]] = {}
        for row in rows:
            key = row["track_id"], row["created_at"]
            if key not in known:
                new[key] = {**row, "run_id": run_id}
        if new:
            table = pa.Table.from_pylist(list(new.values()), schema=REVIEW_SCHEMA)
            lease.ensure_held()
            storage.write_once(storage.join(output, "reviews", f"part-{run_id}-000000.parquet"), parquet_bytes(table))
    verdicts = Counter(row["verdict"] for row in new.values())
    return AppliedReviews(
        written=len(new),
        known=len(rows) - len(new),
        accepted=verdicts["accepted"],
        edited=verdicts["edited"],
        rejected=verdicts["rejected"],
    )


def _check_tracks(output: str, file: str, track_ids: set[str]) -> None:
    """Raise ValueError for tracks without a caption in the output."""
    captions = part_files(output, "captions")
    if not captions:
        raise ValueError(f"{output}: no captions; give the OUTPUT of `muscaps caption` that the page was made of")
    schema = pa.schema([CAPTION_SCHEMA.field("track_id")])
    wanted = pyarrow.dataset.field("track_id").isin(sorted(track_ids))
    unknown = sorted(track_ids - set(read_parts(captions, schema, wanted)["track_id"].to_pylist()))
    if unknown:
        names = ", ".join(map(repr, unknown[:MAX_NAMED]))
        raise ValueError(
            f"{file}: {len(unknown):,} of its tracks are not in {output}, such as {names}; "
            "give the OUTPUT that the page was made of"
        )


def _known(output: str) -> set[tuple[str, Any]]:
    """Return track and time of the decisions that the output holds."""
    schema = pa.schema([REVIEW_SCHEMA.field(name) for name in ("track_id", "created_at")])
    rows = read_parts(part_files(output, "reviews"), schema)
    return set(zip(rows["track_id"].to_pylist(), rows["created_at"].to_pylist(), strict=True))
