"""The ranking of a catalogue by words, by a track or by columns.

Conventions: without attention a track's mean feature is all that the model uses, so a search reads the index only.
With attention the mean features select candidates, which are then scored on all their chunks. A condition on columns
and a similar track need `captions/` only.
"""

import math
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from muscaps.tags import MIN_TAG_SCORE
from pipeline import storage
from pipeline.output.newest import OutputError, Table, open_table
from pipeline.reading.search.columns import chosen_tracks
from pipeline.reading.search.distributed import load_captioner, rank_on_ray
from pipeline.reading.search.file_ranking import ScoredTrack, ScoringPass, best_tracks, rank_file, rescore_candidates
from pipeline.reading.search.index import FeatureFile, index_uri, remove_stale_indexes
from pipeline.reading.search.query import Hit, SearchConfig, SearchResult
from pipeline.reading.search.query_text import QueryText, parse_query
from pipeline.reading.search.similar import LIKE_NATS, WEAK_COSINE, Similarities, similar_tracks
from pipeline.reading.search.terms import SearchTerms, search_terms

CANDIDATES_PER_HIT = 20
"""With attention: tracks scored on all their chunks for each track to return."""
RAY_FROM_TRACKS = 300_000
"""Number of tracks from which a search starts Ray; with fewer, starting Ray takes longer than the search."""

_TRACK_COLUMNS = ("track_id", "uri", "title", "artist", "caption", "created_at")


def search(config: SearchConfig) -> SearchResult:
    """Rank a catalogue.

    Raises:
        OutputError: The output has no captions or features, or only another model's.
        ValueError: The query is mostly unknown, excludes what cannot be excluded, or has a wrong condition.
        CheckpointError: The checkpoint cannot be loaded.
        StorageError: The output could not be read.
    """
    captions = _captions(config.output)
    text = parse_query(config.query, () if captions is None else captions.schema.names)
    needs_captions = bool(text.filters) or config.where is not None or config.like is not None
    if captions is None and needs_captions:
        captions = open_table(config.output, "captions")  # raises, and says how to get them
    chosen, similar = None, None
    start = time.monotonic()
    if captions is not None and needs_captions:
        chosen = chosen_tracks(captions, config.where, text.filters)
        similar = None if config.like is None else similar_tracks(captions, config.like)
    if text.words or text.exclusions:
        return _ranked_by_words(config, text, chosen, similar)
    candidates = similar.track_ids if similar is not None else chosen
    return SearchResult(
        hits=_hits(config.output, _without_words(chosen, similar, config.top), cosine_is_fit=similar is not None),
        tracks=0 if candidates is None else len(candidates),
        seconds=time.monotonic() - start,
    )


def _captions(output: str) -> Table | None:
    try:
        return open_table(output, "captions")
    except OutputError:
        return None


def _ranked_by_words(
    config: SearchConfig, text: QueryText, chosen: pa.Array | None, similar: Similarities | None
) -> SearchResult:
    """Rank by words, among the chosen tracks, and by similarity as well."""
    table = open_table(config.output, "features")
    captioner = load_captioner(config.checkpoint)
    if similar is not None and similar.model_id != captioner.model_id:
        raise ValueError(
            f"the embedding of {config.like!r} is of {similar.model_id}, the checkpoint is {captioner.model_id}: "
            "name that model with --checkpoint"
        )
    tag_names = () if captioner.tagger is None else captioner.tagger.names
    terms = search_terms(text, captioner.vocabulary, tag_names)
    start = time.monotonic()
    files = _feature_files(table, config.output, captioner.model_id, chosen, similar)
    remove_stale_indexes(config.output, captioner.model_id, table)
    num_tracks = sum(int(file.keep.sum()) for file in files)
    best = _best_by_words(config, terms, files, captioner, num_tracks)
    return SearchResult(
        hits=_hits(config.output, best),
        tracks=num_tracks,
        read_as=terms.read_as,
        unknown=terms.unknown,
        seconds=time.monotonic() - start,
    )


def _best_by_words(
    config: SearchConfig, terms: SearchTerms, files: Sequence[FeatureFile], captioner: Any, num_tracks: int
) -> list[ScoredTrack]:
    attention = captioner.model_config.fusion == "attention"
    two_passes = attention and not config.exact and bool(terms.sentence)
    scoring = ScoringPass(
        terms=terms,
        top=config.top * CANDIDATES_PER_HIT if two_passes else config.top,
        bias_correction=config.bias_correction,
        use_means=two_passes or not attention,
    )
    if files and (config.address is not None or num_tracks >= RAY_FROM_TRACKS):
        best = rank_on_ray(scoring, files, config)
    else:
        best = best_tracks((rank_file(scoring, file, captioner) for file in files), scoring.top)
    return rescore_candidates(best, files, captioner, config, terms) if two_passes and best else best


def _without_words(chosen: pa.Array | None, similar: Similarities | None, top: int) -> list[ScoredTrack]:
    """Rank by similarity alone, or list the chosen tracks."""
    if similar is None:
        return [ScoredTrack(math.nan, name, "") for name in ([] if chosen is None else chosen[:top].to_pylist())]
    cosines = similar.cosines
    if chosen is not None:
        cosines = np.where(pc.is_in(similar.track_ids, value_set=chosen), cosines, -np.inf)
    nearest = np.argsort(-cosines, kind="stable")[:top]
    return best_tracks(
        [[ScoredTrack(float(cosines[i]), similar.track_ids[i].as_py(), "", float(cosines[i])) for i in nearest]], top
    )


def _hits(output: str, best: Sequence[ScoredTrack], *, cosine_is_fit: bool = False) -> tuple[Hit, ...]:
    known = _caption_columns(output, [track.track_id for track in best])
    least = WEAK_COSINE if cosine_is_fit else MIN_TAG_SCORE
    return tuple(
        Hit(
            track_id=track.track_id,
            score=None if math.isnan(track.score) else track.score,
            fit=None if math.isnan(track.fit) else track.fit,
            is_weak=track.fit < least,
            known=known.get(track.track_id, {}),
        )
        for track in best
    )


def _feature_files(
    table: Table, output: str, model_id: str, chosen: pa.Array | None, similar: Similarities | None
) -> list[FeatureFile]:
    """Return the files that hold newest features of this model, of the chosen tracks, and what similarity adds."""
    files = []
    for uri, mask in zip(table.uris, table.newest_by_file(model_id), strict=True):
        extra = None
        if mask.any() and (chosen is not None or similar is not None):
            filesystem, path = storage.filesystem(uri)
            ids = pq.read_table(path, filesystem=filesystem, columns=["track_id"])["track_id"].combine_chunks()
            if chosen is not None:
                mask = mask & pc.is_in(ids, value_set=chosen).to_numpy(zero_copy_only=False)
            if similar is not None:
                places = pc.index_in(ids, value_set=similar.track_ids)
                mask = mask & places.is_valid().to_numpy(zero_copy_only=False)
                extra = LIKE_NATS * similar.cosines[places.fill_null(0).to_numpy()]
        if mask.any():
            index = storage.absolute(index_uri(output, model_id, uri))
            files.append(FeatureFile(uri=storage.absolute(uri), keep=mask, index=index, extra=extra))
    return files


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
