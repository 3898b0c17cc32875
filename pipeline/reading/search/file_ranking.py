"""The best tracks of features files for one query."""

import copy
import functools
import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline import storage
from pipeline.reading.search.index import FeatureFile, mean_features, read_features, track_biases
from pipeline.reading.search.query import SearchConfig
from pipeline.reading.search.scoring import query_length, score_tracks, track_bias

CANDIDATES_PER_HIT = 20
"""Tracks scored in full for each one asked for, of each features file or, with attention, of all."""


@dataclass(frozen=True, kw_only=True)
class ScoringPass:
    """How the parts are searched."""

    query: str
    top: int
    bias_correction: bool
    mean: bool
    """Score the mean feature, not the chunks."""
    exact: bool
    candidates: int


Found = tuple[float, str, str]
"""Score, track_id, features file."""


def best_tracks(found: Iterable[Iterable[Found]], top: int) -> list[Found]:
    """The `top` highest scores, best first, holding no more than that many at a time."""
    return heapq.nsmallest(top, (one for part in found for one in part), key=lambda one: (-one[0], one[1]))


def search_file(search_pass: ScoringPass, part: FeatureFile, captioner: Any) -> list[Found]:
    """The best tracks of one features file."""
    if search_pass.mean:
        track_ids, means = mean_features(part)
        bias = (
            track_biases(part, captioner, means) * query_length(search_pass.query)
            if search_pass.bias_correction
            else np.zeros(len(means))
        )
        chosen = _candidates(captioner, means, bias, search_pass)
        scores = score_tracks(captioner, list(means[chosen, None, :]), search_pass.query) - bias[chosen]
        names = track_ids.take(pa.array(chosen)).to_pylist()
    else:
        names, parts_scores = [], []
        for batch_names, features in read_features(part, part.keep):
            batch_scores = score_tracks(captioner, features, search_pass.query)
            if search_pass.bias_correction:
                batch_scores -= track_bias(captioner, features) * query_length(search_pass.query)
            names += batch_names
            parts_scores.append(batch_scores)
        scores = np.concatenate(parts_scores) if parts_scores else np.zeros(0)
    return best_tracks([[(float(s), n, part.uri) for s, n in zip(scores, names, strict=True)]], search_pass.top)


def _candidates(captioner: Any, means: np.ndarray, bias: np.ndarray, search_pass: ScoringPass) -> np.ndarray:
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


def rescore_candidates(
    found: list[Found], parts: Sequence[FeatureFile], captioner: Any, config: SearchConfig
) -> list[Found]:
    """Score candidates on all their chunks, reading only the files they are in."""
    wanted = {(uri, name) for _, name, uri in found}
    exact: list[Found] = []
    for part in parts:
        names = pa.array([name for uri, name in wanted if uri == part.uri], pa.string())
        if not len(names):
            continue
        filesystem, path = storage.filesystem(part.uri)
        ids = pq.read_table(path, filesystem=filesystem, columns=["track_id"])["track_id"]
        chosen = pc.is_in(ids, value_set=names).to_numpy() & part.keep
        for batch_names, features in read_features(part, chosen):
            scores = score_tracks(captioner, features, config.query)
            if config.bias_correction:
                scores -= track_bias(captioner, features) * query_length(config.query)
            exact += [(float(s), n, part.uri) for s, n in zip(scores, batch_names, strict=True)]
    return best_tracks([exact], config.top)
