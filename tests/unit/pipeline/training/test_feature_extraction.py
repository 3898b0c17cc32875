"""Features of tracks and of their augmented copies, by an extractor whose spectrogram cannot be augmented."""

import numpy as np
import pyarrow as pa
import pytest
import torch

from muscaps.checkpoint import save_extractor
from muscaps.config import ExtractorConfig
from muscaps.models.architectures import build_extractor
from pipeline.training.feature_extraction import ExtractFeatures


@pytest.fixture(scope="module")
def combined(tmp_path_factory):
    """A combined extractor with random weights."""
    torch.manual_seed(0)
    small = ExtractorConfig(num_channels=4, frontend_scale=0.05)
    config = ExtractorConfig(name="combined", parts=(ExtractorConfig(name="musicnn_original"), small))
    folder = tmp_path_factory.mktemp("extractor") / "combined"
    save_extractor(folder, build_extractor(config), config, name="combined", training={}, metrics={})
    return str(folder)


def features(folder, version):
    samples = (8_000 * np.sin(np.arange(2 * 48_000) / 15)).astype("<i2")
    rows = pa.table({"index": [3, 4], "pcm": pa.array([samples.tobytes(), None], pa.large_binary())})
    found = ExtractFeatures(folder, keep_audio=False, version=version)(rows)["features"]
    assert found[1].as_py() is None
    return np.frombuffer(found[0].as_py(), dtype="<f2").reshape(2, -1)


def test_augmented_copies_are_reproducible_and_differ_from_the_track(combined):
    plain, first, again, second = (features(combined, version) for version in (0, 1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert plain.shape == first.shape
    assert not np.allclose(plain, first, atol=1e-2)
    assert not np.allclose(first, second, atol=1e-2)
