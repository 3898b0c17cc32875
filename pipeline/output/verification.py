"""Check that an output has every track of a catalogue exactly once, by counting rows of the files."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from muscaps.config import DecodingOptions
from pipeline.catalogue import read_catalogue
from pipeline.output.anti_join import captioned_tracks, failed_tracks, rows_to_do
from pipeline.output.runs import last_run
from pipeline.output.schema import DECODING

MAX_NAMED = 10


@dataclass(frozen=True, kw_only=True)
class Verification:
    """A catalogue compared with an output."""

    model_id: str
    """Model whose captions were counted."""
    beam_size: int
    """Beam size of the decoding that was counted."""
    max_words: int
    """Word limit of the decoding that was counted."""
    num_tracks: int
    """Tracks in the catalogue."""
    captioned: int
    """Tracks of the catalogue with a caption."""
    failed: int
    """Tracks of the catalogue with a failure and without a caption."""
    missing: int
    """Tracks of the catalogue with neither."""
    doubled: int
    """Tracks with more than one caption row for the same version of their file."""
    not_in_catalogue: int
    """Captioned tracks that are not in the catalogue; not an error."""
    examples: tuple[str, ...] = ()
    """The first missing or doubled tracks, at most `MAX_NAMED`."""

    @property
    def is_complete(self) -> bool:
        """Whether every track has a caption or a failure, and none has two captions."""
        return self.missing == 0 and self.doubled == 0


def verify(
    catalogue: str, output: str, *, model_id: str | None = None, options: DecodingOptions | None = None
) -> Verification:
    """Compare a catalogue with an output.

    Args:
        catalogue: Catalogue as for `read_catalogue`.
        output: Folder or bucket prefix of the output.
        model_id: Model whose captions are counted; None for that of the last run.
        options: Decoding whose captions are counted; None for that of the last run.

    Raises:
        CatalogueError: The catalogue cannot be used.
        ValueError: Model or decoding is None and the output has no run.
        StorageError: Catalogue or output cannot be read.
    """
    tracks = read_catalogue(catalogue)
    if model_id is None or options is None:
        record = last_run(output)
        if record is None:
            raise ValueError(f"{output}: no run has written to it; run `muscaps caption CATALOGUE OUTPUT` first")
        used = record["config"]["options"]
        model_id = model_id or record["model_id"]
        options = options or DecodingOptions(**{part.name: used.get(part.name) for part in DECODING})
    captions = captioned_tracks(output, model_id, options)
    without_caption = rows_to_do(tracks, captions)
    missing = without_caption & rows_to_do(tracks, failed_tracks(output).select(["track_id", "etag"]))
    counted = captions.group_by(["track_id", "etag"]).aggregate([([], "count_all")])
    doubled = pc.unique(counted.filter(pc.greater(counted["count_all"], 1))["track_id"])
    known = pc.is_in(pc.unique(captions["track_id"]), value_set=tracks.rows["track_id"].combine_chunks())
    missing_ids = tracks.rows["track_id"].filter(pa.array(missing))
    return Verification(
        model_id=model_id,
        beam_size=options.beam_size,
        max_words=options.max_words,
        num_tracks=tracks.num_tracks,
        captioned=int((~without_caption).sum()),
        failed=int((without_caption & ~missing).sum()),
        missing=int(missing.sum()),
        doubled=len(doubled),
        not_in_catalogue=int(np.sum(~np.asarray(known, dtype=bool))),
        examples=tuple([*missing_ids[:MAX_NAMED].to_pylist(), *doubled[:MAX_NAMED].to_pylist()][:MAX_NAMED]),
    )
