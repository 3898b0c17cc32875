"""Pairs of audio and captions from the reviews of an output: what people accepted or wrote."""

from muscaps.training.dataset.pairs import DatasetError, Pair
from pipeline import storage
from pipeline.output.newest import open_table
from pipeline.output.parts import part_files
from pipeline.review.reviewed_captions import ReviewedCaptions


def is_output(source: str) -> bool:
    """Return whether a location is the output of `muscaps caption`, with or without reviews.

    Raises:
        StorageError: The location cannot be listed.
    """
    return storage.is_folder(source) and storage.is_folder(storage.join(source, "captions"))


def reviewed_pairs(output: str) -> list[Pair]:
    """Return the accepted and edited captions of an output with the location of their audio.

    Raises:
        DatasetError: No caption was accepted or edited.
        StorageError: The output cannot be read.
    """
    pairs = []
    if part_files(output, "reviews"):
        reviews = ReviewedCaptions(output)
        table = open_table(output, "captions")
        columns = [name for name in ("track_id", "uri", "etag", "caption") if name in table.schema.names]
        for batch in table.newest(columns):
            for row in batch.to_pylist():
                review = reviews.of(row)
                if review is not None and review["caption"] is not None:
                    pairs.append(Pair(track_id=row["track_id"], uri=row["uri"], captions=(review["caption"],)))
    if not pairs:
        raise DatasetError(
            f"{output}: no caption was accepted or edited; save reviews.jsonl on its report page, then run "
            "`muscaps review apply OUTPUT reviews.jsonl`"
        )
    return pairs
