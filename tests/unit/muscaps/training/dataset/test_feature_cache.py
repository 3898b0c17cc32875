"""Features cached by extractor."""

from pathlib import Path
from typing import get_args

import numpy as np
import torch

from muscaps.config import ExtractorConfig, LayersName
from muscaps.models.architectures import build_extractor
from muscaps.training.dataset.feature_cache import FeatureCache, extractor_digest
from muscaps.training.dataset.pairs import Pair
from muscaps.training.dataset.reader import PreparedDataset
from muscaps.training.dataset.writer import DatasetWriter


def pair(track_id: str, *captions: str, seconds: float | None = 60.0, split: str | None = None) -> Pair:
    return Pair(track_id=track_id, uri=f"{track_id}.wav", captions=captions, duration_s=seconds, split=split)


def test_features_are_cached_by_extractor(tmp_path: Path) -> None:
    DatasetWriter(tmp_path).finish([pair(name, "slow piano", split="train") for name in "ab"])
    dataset = PreparedDataset(tmp_path)
    small, other = (build_extractor(ExtractorConfig(num_channels=n, frontend_scale=0.02)) for n in (2, 3))
    cache = FeatureCache(dataset, extractor_digest(small))
    assert not cache.complete
    rows = {1: np.ones((2, 5), np.float16), 0: np.zeros((1, 5), np.float16)}
    cache.write(rows.items())
    again = FeatureCache(PreparedDataset(tmp_path), extractor_digest(small))
    assert again.complete
    for example in dataset.examples:
        assert np.array_equal(again.read(example), rows[example.index])
    assert not FeatureCache(dataset, extractor_digest(other)).complete


def test_features_of_the_same_weights_have_caches_of_their_own() -> None:
    def digest(config: ExtractorConfig) -> str:
        torch.manual_seed(0)
        return extractor_digest(build_extractor(config))

    frames = [ExtractorConfig(name="log_mel", frames_per_step=n) for n in (1, 8, 32)]
    original = [ExtractorConfig(name="musicnn_original", num_channels=2, layers=name) for name in get_args(LayersName)]
    combined = [ExtractorConfig(name="combined", parts=(part,)) for part in original]
    for configs in (frames, original, combined):
        assert len({digest(config) for config in configs}) == 3
    assert digest(frames[1]) == digest(frames[1])
