"""The ranking of a catalogue by a sentence."""

import time
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.output.newest import OutputError, open_table
from pipeline.reading.search.distributed import load_captioner, search_on_ray
from pipeline.reading.search.file_ranking import (
    CANDIDATES_PER_HIT,
    ScoringPass,
    best_tracks,
    rescore_candidates,
    search_file,
)
from pipeline.reading.search.index import FeatureFile, index_uri, remove_stale_indexes
from pipeline.reading.search.query import Hit, SearchConfig, SearchResult, unknown_words

DISTRIBUTE_FROM = 300_000
"""Tracks from which a search starts Ray by itself; below, starting it takes longer than searching."""


def search(config: SearchConfig) -> SearchResult:
    """Rank a catalogue by a sentence.

    Raises:
        OutputError: The output has no features, or only another model's.
        ValueError: The query holds no word the model knows.
        CheckpointError: The checkpoint cannot be loaded.
        StorageError: The output could not be read.
    """
    table = open_table(config.output, "features")
    captioner = load_captioner(config.checkpoint)
    unknown = unknown_words(captioner.vocabulary, config.query)
    start = time.monotonic()
    masks = table.newest_by_file(captioner.model_id)
    parts = [
        FeatureFile(uri=uri, keep=mask, index=index_uri(config.output, captioner.model_id, uri))
        for uri, mask in zip(table.uris, masks, strict=True)
        if mask.any()
    ]
    tracks = sum(int(part.keep.sum()) for part in parts)
    remove_stale_indexes(config.output, captioner.model_id, table)
    fusion = captioner.model_config.fusion
    in_two_steps = fusion == "attention" and not config.exact
    wanted = config.top * CANDIDATES_PER_HIT if in_two_steps else config.top
    first = ScoringPass(
        query=config.query,
        top=wanted,
        bias_correction=config.bias_correction,
        mean=in_two_steps or fusion in ("early", "late"),  # all these hear
        exact=config.exact,
        candidates=config.top * CANDIDATES_PER_HIT,
    )
    if config.address is not None or tracks >= DISTRIBUTE_FROM:
        found = search_on_ray(first, parts, config)
    else:
        found = best_tracks((search_file(first, part, captioner) for part in parts), wanted)
    if in_two_steps and found:
        found = rescore_candidates(found, parts, captioner, config)
    known = _known(config.output, [track_id for _, track_id, _ in found])
    hits = tuple(Hit(track_id=name, score=score, known=known.get(name, {})) for score, name, _ in found)
    return SearchResult(hits=hits, tracks=tracks, unknown=unknown, seconds=time.monotonic() - start)


def _known(output: str, track_ids: Sequence[str]) -> dict[str, dict[str, Any]]:
    """What `captions/` says of some tracks."""
    try:
        table = open_table(output, "captions")
    except OutputError:
        return {}
    columns = [
        name for name in ("track_id", "uri", "title", "artist", "caption", "created_at") if name in table.schema.names
    ]
    wanted = pa.array(track_ids, pa.string())
    known: dict[str, dict[str, Any]] = {}
    for _, batch in table.batches(columns):
        for row in batch.filter(pc.is_in(batch["track_id"], value_set=wanted)).to_pylist():
            written = row.pop("created_at")
            before = known.get(row["track_id"])
            if before is None or before["written"] <= written:
                known[row["track_id"]] = {"row": row, "written": written}
    return {name: {k: v for k, v in one["row"].items() if k != "track_id"} for name, one in known.items()}
