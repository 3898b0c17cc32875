"""Features cached by extractor."""

from pathlib import Path

import numpy as np

from muscaps.config import ExtractorConfig
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
