"""Extractors prepared for inference: folded normalisations, precision, independence of the batch."""

import pytest
import torch

from muscaps import inference
from muscaps.config import ExtractorConfig
from muscaps.inference import prepare_extractor
from muscaps.models.architectures import build_extractor
from tests.random_normalisations import randomised


@pytest.mark.parametrize(
    "config",
    [
        ExtractorConfig(num_channels=16, frontend_scale=0.1),
        ExtractorConfig(name="hcnn", num_channels=8),
        ExtractorConfig(name="log_mel"),  # has no weights
    ],
)
def test_prepared_features_equal_the_trained_networks(config):
    torch.manual_seed(0)
    extractor = randomised(build_extractor(config))
    chunks = 0.1 * torch.randn(3, extractor.chunk_samples)
    with torch.inference_mode():
        expected, found = extractor(chunks), prepare_extractor(extractor)(chunks)
    assert (found - expected).abs().max() <= 1e-4 * expected.abs().max()


@pytest.mark.parametrize(
    "config", [ExtractorConfig(num_channels=16, frontend_scale=0.1), ExtractorConfig(name="hcnn", num_channels=8)]
)
@pytest.mark.parametrize("has_units", [True, False])
def test_bfloat16_is_close_to_float32_and_ignored_without_units(config, has_units, monkeypatch, caplog):
    torch.manual_seed(0)
    monkeypatch.setattr(inference, "has_bfloat16_units", lambda: has_units)
    extractor = randomised(build_extractor(config))
    chunks = 0.1 * torch.randn(3, extractor.chunk_samples)
    with torch.inference_mode():
        exact, rough = (prepare_extractor(extractor, precision)(chunks) for precision in ("float32", "bfloat16"))
    assert rough.dtype == torch.float32
    difference = float((rough - exact).abs().max() / exact.abs().max())
    assert (0 < difference < 0.03) if has_units else difference == 0
    assert bool(caplog.records) == (not has_units)


def test_tf32_is_for_gpus_and_only_if_chosen(caplog):
    with inference.convolution_precision("float32"):
        assert not torch.backends.cudnn.allow_tf32
    with inference.convolution_precision("tf32"):
        assert torch.backends.cudnn.allow_tf32
    extractor = build_extractor(ExtractorConfig(num_channels=8, frontend_scale=0.05))
    prepare_extractor(extractor, "tf32")
    assert [record.message for record in caplog.records] == ["tf32 needs a GPU: float32 is used"]


def test_prepared_features_do_not_depend_on_the_batch():
    torch.manual_seed(0)
    extractor = prepare_extractor(randomised(build_extractor(ExtractorConfig(num_channels=16, frontend_scale=0.1))))
    chunks = 0.1 * torch.randn(5, extractor.chunk_samples)
    with torch.inference_mode():
        together = extractor(chunks)
        alone = torch.cat([extractor(chunk[None]) for chunk in chunks])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)
