"""The newest decision about each track, and captions with these decisions applied.

Conventions: a decision about another version of the audio (`etag`) does not count. Others stay valid when a new model
captions the track: accepted and edited texts replace the new caption. A rejection is about one text; it does not count
for another. Versions that share a caption follow the decision about it, unless there is one about themselves.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa

from pipeline.output.newest import open_table
from pipeline.output.parts import part_files

REVIEWED_COLUMN = "reviewed_by_human"
"""Column of every export: a person accepted, edited or rejected the caption."""
NEEDED_COLUMNS = ("track_id", "etag", "caption", "shared_from", "shared_from_etag")
"""Columns of `captions/` that decide which decision counts; all but track_id and caption may be missing."""


class ReviewedCaptions:
    """The decisions of an output by track; as many as people made, so they fit in memory."""

    def __init__(self, output: str, *, model_id: str | None = None) -> None:
        """Read the newest decision of each track.

        Args:
            output: Folder or bucket prefix of an output, with or without reviews.
            model_id: Only decisions about captions of this model; None for all.

        Raises:
            StorageError: The output cannot be read.
        """
        self._by_track: dict[str, dict[str, Any]] = {}
        if part_files(output, "reviews"):
            for batch in open_table(output, "reviews").newest():
                for row in batch.to_pylist():
                    if model_id is None or row["model_id"] == model_id:
                        self._by_track[row["track_id"]] = row

    def __len__(self) -> int:
        """Number of tracks with a decision."""
        return len(self._by_track)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Yield the newest decision of each track, a row of `REVIEW_SCHEMA`."""
        return iter(self._by_track.values())

    def of(self, row: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return the decision that counts for a row of `captions/`, see `NEEDED_COLUMNS`."""
        review, etag = self._by_track.get(row["track_id"]), row.get("etag")
        if review is None and row.get("shared_from") is not None:
            review, etag = self._by_track.get(row["shared_from"]), row.get("shared_from_etag")
        if review is None or (review["etag"] and etag and review["etag"] != etag):
            return None
        if review["verdict"] == "rejected" and review["machine_caption"] != row.get("caption"):
            return None
        return review

    def apply(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Return rows of `captions/` with the decisions in `caption` and `tags`, and the column `REVIEWED_COLUMN`.

        A rejected caption is null. A tag that was switched off is left out; a tag that was switched on has score 1.

        Args:
            batch: Rows with the columns `NEEDED_COLUMNS`, and perhaps tags.
        """
        rows = batch.select([name for name in NEEDED_COLUMNS if name in batch.schema.names])
        reviews: list[dict[str, Any] | None] = [None] * batch.num_rows
        if self._by_track:
            reviews = [self.of(row) for row in rows.to_pylist()]
        if any(reviews):
            batch = _replaced(batch, "caption", reviews, lambda review, _: review["caption"])
            if "tags" in batch.schema.names:
                batch = _replaced(batch, "tags", reviews, _tags)
        return batch.append_column(REVIEWED_COLUMN, pa.array([review is not None for review in reviews], pa.bool_()))


def _replaced(batch: pa.RecordBatch, name: str, reviews: list[dict[str, Any] | None], value: Any) -> pa.RecordBatch:
    """Return the batch with the values of a column replaced where there is a decision."""
    values = [
        old if review is None else value(review, old)
        for review, old in zip(reviews, batch[name].to_pylist(), strict=True)
    ]
    field = batch.schema.field(name).with_nullable(True)
    return batch.set_column(batch.schema.get_field_index(name), field, pa.array(values, field.type))


def _tags(review: Mapping[str, Any], tags: list[dict[str, Any]] | None) -> list[dict[str, Any]] | None:
    """Return the tags of a track after a decision."""
    on = [(tag["facet"], tag["tag"]) for tag in review["tags_on"] or ()]
    changed = {*on, *((tag["facet"], tag["tag"]) for tag in review["tags_off"] or ())}
    if not changed:
        return tags
    kept = [tag for tag in tags or () if (tag["facet"], tag["tag"]) not in changed]
    return [*kept, *({"facet": facet, "tag": tag, "score": 1.0} for facet, tag in on)]
