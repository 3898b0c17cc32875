"""Sentences to tracks: a catalogue's saved features ranked by log P(query | audio) (paper section IV-C3, Eq. 8).

Conventions: scores are natural log-probabilities of the query's words and `<eos>`; higher fits better, and only
scores of one query compare. A track's mean feature is kept in `OUTPUT/search/<model_id>/`, one file per
features file and under its name, so that a search reads kilobytes a track instead of its whole audio's
features. Without attention the mean is all the model hears. With attention it picks candidates, which are then
scored on all their chunks. Long lists are first ranked in bfloat16; whatever is returned was scored in float32.
"""

import copy
import difflib
import functools
import heapq
import io
import logging
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline import storage
from pipeline.captioning import local_checkpoint
from pipeline.cluster.embedded_ray import cluster_size, ray_session
from pipeline.output.newest import OutputError, Table, open_table

logger = logging.getLogger(__name__)

CANDIDATES_PER_HIT = 20
"""Tracks scored in full for each one asked for, of each features file or, with attention, of all."""
DISTRIBUTE_FROM = 300_000
"""Tracks from which a search starts Ray by itself; below, starting it takes longer than searching."""

BACKGROUND_SENTENCES = (
    "a calm piano piece",
    "an upbeat electronic track with synths and drums",
    "a dark orchestral piece with strings and brass",
    "a relaxed acoustic guitar piece",
    "an energetic rock song with electric guitar and drums",
    "a slow ambient piece with pads",
    "a bright and playful tune with marimba and flute",
    "a jazz piece with saxophone bass and drums",
)
"""What a track's bias is measured on: how readily it lends itself to any sentence, whatever it says."""


@dataclass(frozen=True, kw_only=True)
class SearchConfig:
    """One query over one output."""

    output: str
    """Folder or bucket prefix that holds `features/`."""
    query: str
    """A sentence, as the captions are worded."""
    top: int = 10
    """Tracks to return."""
    checkpoint: str | None = None
    """Checkpoint directory the features were made with; None for the bundled one."""
    bias_correction: bool = False
    """Subtract what a track gives any sentence of this length."""
    exact: bool = False
    """Score every track in full precision and, with attention, on all its chunks; not only candidates."""
    address: str | None = None
    """Ray cluster; None searches in this process, or on an embedded Ray from 300,000 tracks."""

    def __post_init__(self) -> None:
        if not self.query.strip():
            raise ValueError("the query is empty: write a sentence, such as 'relaxed acoustic guitar'")
        if not 1 <= self.top <= 100_000:
            raise ValueError(f"top must lie in 1 to 100000, not {self.top}")


@dataclass(frozen=True, kw_only=True)
class Hit:
    """A track and how well the query fits it."""

    track_id: str
    """The track."""
    score: float
    """log P(query | audio), less the track's bias where that is asked for."""
    known: dict[str, Any] = field(default_factory=dict)
    """Its uri, title, artist, caption, as far as `captions/` has them."""


@dataclass(frozen=True, kw_only=True)
class SearchResult:
    """The best tracks for a query."""

    hits: tuple[Hit, ...]
    """Best first; equal scores by track_id."""
    tracks: int
    """Tracks ranked."""
    unknown: dict[str, tuple[str, ...]]
    """Words of the query the model does not know, with known ones that look alike."""
    seconds: float
    """Time the ranking took, loading the checkpoint not included."""


def search(config: SearchConfig) -> SearchResult:
    """Rank a catalogue by a sentence.

    Raises:
        OutputError: The output has no features, or only another model's.
        ValueError: The query holds no word the model knows.
        CheckpointError: The checkpoint cannot be loaded.
        StorageError: The output could not be read.
    """
    table = open_table(config.output, "features")
    captioner = _captioner(config.checkpoint)
    unknown = unknown_words(captioner.vocabulary, config.query)
    start = time.monotonic()
    masks = table.newest_by_file(captioner.model_id)
    parts = [
        _Part(uri=uri, keep=mask, index=_index_uri(config.output, captioner.model_id, uri))
        for uri, mask in zip(table.uris, masks, strict=True)
        if mask.any()
    ]
    tracks = sum(int(part.keep.sum()) for part in parts)
    _forget_stale(config.output, captioner.model_id, table)
    fusion = captioner.model_config.fusion
    in_two_steps = fusion == "attention" and not config.exact
    wanted = config.top * CANDIDATES_PER_HIT if in_two_steps else config.top
    first = _Pass(
        query=config.query,
        top=wanted,
        bias_correction=config.bias_correction,
        mean=in_two_steps or fusion in ("early", "late"),  # all these hear
        exact=config.exact,
        candidates=config.top * CANDIDATES_PER_HIT,
    )
    if config.address is not None or tracks >= DISTRIBUTE_FROM:
        found = _distributed(first, parts, config)
    else:
        found = _best((_searched(first, part, captioner) for part in parts), wanted)
    if in_two_steps and found:
        found = _rescored(found, parts, captioner, config)
    known = _known(config.output, [track_id for _, track_id, _ in found])
    hits = tuple(Hit(track_id=name, score=score, known=known.get(name, {})) for score, name, _ in found)
    return SearchResult(hits=hits, tracks=tracks, unknown=unknown, seconds=time.monotonic() - start)


def unknown_words(vocabulary: Any, query: str) -> dict[str, tuple[str, ...]]:
    """List the words of a query that a model does not know.

    Args:
        vocabulary: The model's `Vocabulary`.
        query: A sentence.

    Returns:
        Each unknown word, with up to three known words that look like it.

    Raises:
        ValueError: The query holds no known word.
    """
    from muscaps.vocabulary import tokenize

    known = set(vocabulary.words[4:])
    tokens = tokenize(query)
    unknown = {word: tuple(difflib.get_close_matches(word, known, 3, 0.72)) for word in tokens if word not in known}
    if len(unknown) == len(set(tokens)):
        alike = sorted({word for words in unknown.values() for word in words})
        hint = f"; it knows {', '.join(alike)}" if alike else ""
        raise ValueError(f"the model knows no word of {query!r}{hint}")
    return unknown


def _captioner(checkpoint: str | None, device: str | None = None) -> Any:
    import torch

    from muscaps.captioner import Captioner

    with local_checkpoint(checkpoint) as directory:
        return Captioner.load(directory, device=device or ("cuda" if torch.cuda.is_available() else "cpu"))


# One pass over the features, part by part.


@dataclass(frozen=True, kw_only=True)
class _Part:
    """One features file and its index file."""

    uri: str
    keep: np.ndarray
    index: str


@dataclass(frozen=True, kw_only=True)
class _Pass:
    """How the parts are searched."""

    query: str
    top: int
    bias_correction: bool
    mean: bool
    """Score the mean feature, not the chunks."""
    exact: bool
    candidates: int


_Found = tuple[float, str, str]
"""Score, track_id, features file."""


def _best(found: Iterable[Iterable[_Found]], top: int) -> list[_Found]:
    """The `top` highest scores, best first, holding no more than that many at a time."""
    return heapq.nsmallest(top, (one for part in found for one in part), key=lambda one: (-one[0], one[1]))


def _searched(search_pass: _Pass, part: _Part, captioner: Any) -> list[_Found]:
    """The best tracks of one features file."""
    if search_pass.mean:
        track_ids, means = _means(part)
        bias = (
            _biases(part, captioner, means) * _length(search_pass.query)
            if search_pass.bias_correction
            else np.zeros(len(means))
        )
        chosen = _candidates(captioner, means, bias, search_pass)
        scores = _scores(captioner, list(means[chosen, None, :]), search_pass.query) - bias[chosen]
        names = track_ids.take(pa.array(chosen)).to_pylist()
    else:
        names, parts_scores = [], []
        for batch_names, features in _features(part, part.keep):
            batch_scores = _scores(captioner, features, search_pass.query)
            if search_pass.bias_correction:
                batch_scores -= _bias(captioner, features) * _length(search_pass.query)
            names += batch_names
            parts_scores.append(batch_scores)
        scores = np.concatenate(parts_scores) if parts_scores else np.zeros(0)
    return _best([[(float(s), n, part.uri) for s, n in zip(scores, names, strict=True)]], search_pass.top)


def _candidates(captioner: Any, means: np.ndarray, bias: np.ndarray, search_pass: _Pass) -> np.ndarray:
    """Rows worth an exact score, (candidates,): all of few, else the best by a model in bfloat16.

    Half the bits take half the time where the processor knows them; a score then errs by about 0.1, while a
    sentence's scores lie several apart, so the best ten are never far from the first `CANDIDATES_PER_HIT` times ten.
    """
    most = search_pass.candidates
    if search_pass.exact or len(means) <= 2 * most or captioner.device.type != "cpu" or not _has_bfloat16():
        return np.arange(len(means))
    scores = _rough_scores(captioner, means, search_pass.query) - bias
    return np.sort(np.argpartition(-scores, most)[:most])


def _rough_scores(captioner: Any, means: np.ndarray, query: str) -> np.ndarray:
    """log P(query | mean feature) in bfloat16, (tracks,)."""
    import torch

    from muscaps.inference import prepare_decoder
    from muscaps.vocabulary import tokenize

    if getattr(captioner, "_rough_model", None) is None:
        captioner._rough_model = prepare_decoder(copy.deepcopy(captioner.model).bfloat16())
    model, ids = captioner._rough_model, captioner.vocabulary.encode(tokenize(query))
    scores = []
    with torch.inference_mode():
        for start in range(0, len(means), 512):
            features = torch.from_numpy(np.ascontiguousarray(means[start : start + 512, None, :])).bfloat16()
            encoded = model.encode(features, torch.ones(features.shape[:2], dtype=torch.bool))
            state, total = model.start(encoded), torch.zeros(len(features), dtype=torch.float64)
            for word, following in zip(ids, ids[1:], strict=False):
                log_probs, state = model.step(encoded, state, torch.full((len(features),), word))
                total += log_probs[:, following].double()
            scores.append(total.numpy())
    return np.concatenate(scores)


@functools.cache
def _has_bfloat16() -> bool:
    """Whether this processor multiplies bfloat16 itself; emulated, it would be slower than float32."""
    try:
        return "avx512_bf16" in Path("/proc/cpuinfo").read_text()
    except OSError:
        return False


def _scores(captioner: Any, features: Sequence[np.ndarray], query: str) -> np.ndarray:
    return np.asarray(captioner.score(features, query), dtype=np.float64)


def _length(query: str) -> int:
    """Predictions a query asks for: its words and `<eos>`."""
    from muscaps.vocabulary import tokenize

    return len(tokenize(query)) + 1


def _bias(captioner: Any, features: Sequence[np.ndarray]) -> np.ndarray:
    """Mean log-probability of a word of any sentence, per track, (tracks,)."""
    total = np.zeros(len(features))
    for sentence in BACKGROUND_SENTENCES:
        total += _scores(captioner, features, sentence) / _length(sentence)
    return total / len(BACKGROUND_SENTENCES)


def _features(part: _Part, keep: np.ndarray) -> Iterator[tuple[list[str], list[np.ndarray]]]:
    """Yield the track ids and (chunks, feature) arrays of the kept rows, some hundred tracks at a time."""
    filesystem, path = storage.filesystem(part.uri)
    start = 0
    with pq.ParquetFile(path, filesystem=filesystem) as parquet:
        for batch in parquet.iter_batches(
            batch_size=256, columns=["track_id", "num_chunks", "feature_dim", "features"]
        ):
            mask = keep[start : start + batch.num_rows]
            start += batch.num_rows
            rows = batch.filter(pa.array(mask)).to_pylist()
            if rows:
                yield (
                    [row["track_id"] for row in rows],
                    [
                        np.frombuffer(row["features"], "<f2").reshape(row["num_chunks"], row["feature_dim"])
                        for row in rows
                    ],
                )


# The index.


def _index_uri(output: str, model_id: str, features_uri: str) -> str:
    return storage.join(output, "search", model_id, features_uri.rpartition("/")[2])


def _means(part: _Part) -> tuple[pa.Array, np.ndarray]:
    """Track ids and mean features, (tracks, feature) float32, of the kept rows; from the index where it is there."""
    stored = _read_index(part.index)
    if stored is None or stored.num_rows != len(part.keep):
        stored = _build_means(part)
        _write_index(part.index, stored)
    column = stored["mean"].combine_chunks()
    width = column.type.list_size
    means = column.values.to_numpy(zero_copy_only=False).reshape(-1, width)
    return stored["track_id"].combine_chunks().filter(pa.array(part.keep)), means[part.keep]


def _build_means(part: _Part) -> pa.Table:
    names: list[str] = []
    means: list[np.ndarray] = []
    for batch_names, features in _features(part, np.ones(len(part.keep), dtype=bool)):
        names += batch_names
        means += [track.mean(axis=0, dtype=np.float32) for track in features]
    widths = {len(mean) for mean in means}
    if len(widths) != 1:
        raise OutputError(f"{part.uri} holds features of different widths, {sorted(widths)}: it is damaged")
    flat = pa.array(np.concatenate(means), pa.float32())
    return pa.table({"track_id": names, "mean": pa.FixedSizeListArray.from_arrays(flat, widths.pop())})


def _biases(part: _Part, captioner: Any, means: np.ndarray) -> np.ndarray:
    """The kept tracks' biases, (tracks,); from the index where they are there."""
    uri = part.index.removesuffix(".parquet") + ".bias.parquet"
    stored = _read_index(uri)
    if stored is not None and stored.num_rows == len(part.keep):
        return np.asarray(stored["bias"].to_numpy()[part.keep])
    bias: np.ndarray = np.zeros(len(part.keep), dtype=np.float32)
    bias[part.keep] = _bias(captioner, list(means[:, None, :]))
    if part.keep.all():
        _write_index(uri, pa.table({"bias": bias}))
    return np.asarray(bias[part.keep])


def _read_index(uri: str) -> pa.Table | None:
    try:
        return pq.read_table(io.BytesIO(storage.read_bytes(uri)))
    except storage.StorageError as error:
        if error.error_type not in ("not_found", "forbidden"):
            raise
    except pa.ArrowInvalid:
        logger.warning("%s is damaged and will be built again", uri)
    return None


def _write_index(uri: str, table: pa.Table) -> None:
    """Keep an index file; where the output may only be read, the next search builds it again."""
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="none", use_dictionary=False)
    try:
        storage.write_once(uri, buffer.getvalue())
    except storage.StorageError as error:
        if error.retryable:
            raise
        logger.warning("the search index could not be kept, so every search will read all features: %s", error)


def _forget_stale(output: str, model_id: str, table: Table) -> None:
    """Remove index files of features files that are gone."""
    present = {uri.rpartition("/")[2].removesuffix(".parquet") for uri in table.uris}
    for file in storage.list_files(storage.join(output, "search", model_id), suffix=".parquet"):
        if file.uri.rpartition("/")[2].removesuffix(".parquet").removesuffix(".bias") not in present:
            try:
                storage.delete(file.uri)
            except storage.StorageError as error:
                logger.warning("%s could not be removed: %s", file.uri, error)
                return


def _rescored(found: list[_Found], parts: Sequence[_Part], captioner: Any, config: SearchConfig) -> list[_Found]:
    """Score candidates on all their chunks, reading only the files they are in."""
    wanted = {(uri, name) for _, name, uri in found}
    exact: list[_Found] = []
    for part in parts:
        names = pa.array([name for uri, name in wanted if uri == part.uri], pa.string())
        if not len(names):
            continue
        filesystem, path = storage.filesystem(part.uri)
        ids = pq.read_table(path, filesystem=filesystem, columns=["track_id"])["track_id"]
        chosen = pc.is_in(ids, value_set=names).to_numpy() & part.keep
        for batch_names, features in _features(part, chosen):
            scores = _scores(captioner, features, config.query)
            if config.bias_correction:
                scores -= _bias(captioner, features) * _length(config.query)
            exact += [(float(s), n, part.uri) for s, n in zip(scores, batch_names, strict=True)]
    return _best([exact], config.top)


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


# On a cluster.


def _distributed(search_pass: _Pass, parts: Sequence[_Part], config: SearchConfig) -> list[_Found]:
    """Search the parts on Ray, one actor a core, each file on whichever is free."""
    import ray
    from ray.util import ActorPool

    with ray_session(config.address):
        captioner = ray.put(_captioner(config.checkpoint, device="cpu"))  # the nodes may not see the checkpoint
        actor: Any = ray.remote(num_cpus=1)(_Searcher)
        workers = min(cluster_size()[0], len(parts))
        pool: Any = ActorPool([actor.remote(captioner) for _ in range(workers)])
        answers = pool.map_unordered(lambda worker, part: worker.search.remote(search_pass, part), parts)
        return _best(answers, search_pass.top)


class _Searcher:
    """A captioner in a Ray actor."""

    def __init__(self, captioner: Any) -> None:
        import torch

        torch.set_num_threads(1)
        self._captioner = captioner

    def search(self, search_pass: _Pass, part: _Part) -> list[_Found]:
        """The best tracks of one features file."""
        return _searched(search_pass, part, self._captioner)
