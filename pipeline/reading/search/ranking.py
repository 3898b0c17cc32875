"""The ranking of a catalogue by a sentence.

Conventions: without attention a track's mean feature is all that the model uses, so a search reads the index only.
With attention the mean features select candidates, which are then scored on all their chunks.
"""

import time
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.output.newest import OutputError, Table, open_table
from pipeline.reading.search.distributed import load_captioner, rank_on_ray
from pipeline.reading.search.file_ranking import ScoringPass, best_tracks, rank_file, rescore_candidates
from pipeline.reading.search.index import FeatureFile, index_uri, remove_stale_indexes
from pipeline.reading.search.query import Hit, SearchConfig, SearchResult, unknown_words

CANDIDATES_PER_HIT = 20
"""With attention: tracks scored on all their chunks for each track to return."""
RAY_FROM_TRACKS = 300_000
"""Number of tracks from which a search starts Ray; with fewer, starting Ray takes longer than the search."""

_TRACK_COLUMNS = ("track_id", "uri", "title", "artist", "caption", "created_at")


def search(config: SearchConfig) -> SearchResult:
    """Rank a catalogue by a sentence.

    Raises:
        OutputError: The output has no features, or only another model's.
        ValueError: The model knows no word of the query.
        CheckpointError: The checkpoint cannot be loaded.
        StorageError: The output could not be read.
    """
    table = open_table(config.output, "features")
    captioner = load_captioner(config.checkpoint)
    unknown = unknown_words(captioner.vocabulary, config.query)
    start = time.monotonic()
    files = _feature_files(table, config.output, captioner.model_id)
    num_tracks = sum(int(file.keep.sum()) for file in files)
    remove_stale_indexes(config.output, captioner.model_id, table)
    attention = captioner.model_config.fusion == "attention"
    two_passes = attention and not config.exact
    scoring = ScoringPass(
        query=config.query,
        top=config.top * CANDIDATES_PER_HIT if two_passes else config.top,
        bias_correction=config.bias_correction,
        use_means=two_passes or not attention,
    )
    if config.address is not None or num_tracks >= RAY_FROM_TRACKS:
        best = rank_on_ray(scoring, files, config)
    else:
        best = best_tracks((rank_file(scoring, file, captioner) for file in files), scoring.top)
    if two_passes and best:
        best = rescore_candidates(best, files, captioner, config)
    known = _caption_columns(config.output, [track.track_id for track in best])
    hits = tuple(Hit(track_id=t.track_id, score=t.score, known=known.get(t.track_id, {})) for t in best)
    return SearchResult(hits=hits, tracks=num_tracks, unknown=unknown, seconds=time.monotonic() - start)


def _feature_files(table: Table, output: str, model_id: str) -> list[FeatureFile]:
    """Return the files that hold at least one track's newest features of this model."""
    masks = table.newest_by_file(model_id)
    return [
        FeatureFile(uri=uri, keep=mask, index=index_uri(output, model_id, uri))
        for uri, mask in zip(table.uris, masks, strict=True)
        if mask.any()
    ]


def _caption_columns(output: str, track_ids: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return what `captions/` has of some tracks, by track_id; empty where there are no captions."""
    try:
        table = open_table(output, "captions")
    except OutputError:
        return {}
    columns = [name for name in _TRACK_COLUMNS if name in table.schema.names]
    wanted = pa.array(track_ids, pa.string())
    newest: dict[str, dict[str, Any]] = {}
    for _, batch in table.batches(columns):
        for row in batch.filter(pc.is_in(batch["track_id"], value_set=wanted)).to_pylist():
            known = newest.get(row["track_id"])
            if known is None or known["created_at"] <= row["created_at"]:
                newest[row["track_id"]] = row
    hidden = ("track_id", "created_at")
    return {name: {key: row[key] for key in row if key not in hidden} for name, row in newest.items()}
