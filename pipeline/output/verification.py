"""Check that an output has every track of a catalogue exactly once, by counting rows of the files."""

from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from muscaps.config import DecodingOptions
from pipeline.catalogue import Catalogue, read_catalogue
from pipeline.output.anti_join import captioned_tracks, failed_tracks, rows_to_do
from pipeline.output.runs import last_run
from pipeline.output.same_files import same_files
from pipeline.output.schema import DECODING
from pipeline.output.shared_captions import without_outdated

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
    shared: int
    """Tracks of them that share the caption of another track."""
    failed: int
    """Tracks of the catalogue with a failure and without a caption."""
    missing: int
    """Tracks of the catalogue with neither."""
    doubled: int
    """Tracks with more than one caption row for the same version of their file."""
    not_in_catalogue: int
    """Captioned tracks that are not in the catalogue; not an error by itself."""
    doubled_files: int
    """Tracks whose file has a second caption under an id that the catalogue does not name."""
    missing_under_id: int
    """Missing tracks whose file has a caption under an id that the catalogue does not name."""
    examples: tuple[str, ...] = ()
    """The first missing or doubled tracks, at most `MAX_NAMED`."""
    not_in_catalogue_examples: tuple[str, ...] = ()
    """The first of the captioned tracks that are not in the catalogue, at most `MAX_NAMED`."""

    @property
    def is_complete(self) -> bool:
        """Whether every track has a caption or a failure, and neither a track nor its file has two captions."""
        return self.missing == 0 and self.doubled == 0 and self.doubled_files == 0


def verify(
    catalogue: str,
    output: str,
    *,
    model_id: str | None = None,
    options: DecodingOptions | None = None,
    match_by: str | None = None,
) -> Verification:
    """Compare a catalogue with an output.

    Args:
        catalogue: Catalogue as for `read_catalogue`.
        output: Folder or bucket prefix of the output.
        model_id: Model whose captions are counted; None for that of the last run.
        options: Decoding whose captions are counted; None for that of the last run.
        match_by: track_id, or uri to count a file that is captioned under another id; None for the last run's.

    Raises:
        CatalogueError: The catalogue cannot be used.
        ValueError: Model or decoding is None and the output has no run.
        StorageError: Catalogue or output cannot be read.
    """
    tracks = read_catalogue(catalogue)
    record = last_run(output)
    match_by = match_by or (record or {}).get("config", {}).get("match_by")
    if model_id is None or options is None:
        if record is None:
            raise ValueError(f"{output}: no run has written to it; run `muscaps caption CATALOGUE OUTPUT` first")
        used = record["config"]["options"]
        model_id = model_id or record["model_id"]
        options = options or DecodingOptions(**{part.name: used.get(part.name) for part in DECODING})
    captions = without_outdated(captioned_tracks(output, model_id, options), tracks)
    without_caption = rows_to_do(tracks, captions)
    elsewhere = same_files(tracks, captions).rows
    doubled_files = elsewhere & ~without_caption
    if match_by == "uri":
        without_caption &= ~elsewhere
    missing = without_caption & rows_to_do(tracks, failed_tracks(output).select(["track_id", "etag"]))
    counted = (
        _by_source(captions, tracks).group_by(["track_id", "etag", "source", "effort"]).aggregate([([], "count_all")])
    )
    doubled = pc.unique(counted.filter(pc.greater(counted["count_all"], 1))["track_id"])
    ids = pc.unique(captions["track_id"])
    unknown = ids.filter(pc.invert(pc.is_in(ids, value_set=tracks.rows["track_id"].combine_chunks())))
    missing_ids = tracks.rows["track_id"].filter(pa.array(missing))
    return Verification(
        model_id=model_id,
        beam_size=options.beam_size,
        max_words=options.max_words,
        num_tracks=tracks.num_tracks,
        captioned=int((~without_caption).sum()),
        shared=_num_shared(captions, tracks),
        failed=int((without_caption & ~missing).sum()),
        missing=int(missing.sum()),
        doubled=len(doubled),
        not_in_catalogue=len(unknown),
        doubled_files=int(doubled_files.sum()),
        missing_under_id=int((missing & elsewhere).sum()),
        examples=tuple([*missing_ids[:MAX_NAMED].to_pylist(), *doubled[:MAX_NAMED].to_pylist()][:MAX_NAMED]),
        not_in_catalogue_examples=tuple(unknown[:MAX_NAMED].to_pylist()),
    )


def _by_source(captions: pa.Table, tracks: Catalogue) -> pa.Table:
    """Return the captions with `source`: what tells apart captions that a version shared before and after its source
    changed, where the catalogue lacks the source, so that nobody knows which of them is outdated."""
    is_here = pc.is_in(captions["shared_from"], value_set=tracks.rows["track_id"].combine_chunks())
    return captions.append_column("source", pc.if_else(is_here, None, captions["shared_from_etag"]))


def _num_shared(captions: pa.Table, tracks: Catalogue) -> int:
    ids = pc.unique(captions["track_id"].filter(captions["shared_from"].is_valid()))
    return int(pc.sum(pc.is_in(ids, value_set=tracks.rows["track_id"].combine_chunks())).as_py() or 0)
