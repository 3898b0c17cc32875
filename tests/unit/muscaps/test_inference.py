"""Layers rearranged for speed compute the same: tall filters, folded normalisations, the decoder for search."""

import pytest
import torch

from muscaps import inference
from muscaps.config import DecodingOptions, ExtractorConfig, ModelConfig
from muscaps.decoding import beam_search
from muscaps.inference import prepare_decoder, prepare_extractor
from muscaps.inference.search_model import SearchModel
from muscaps.inference.tall_correlation import TallCorrelationMax
from muscaps.models.architectures import build_captioner, build_extractor


def randomised(module, seed=0):
    """Give normalisations statistics that matter, some of their scales negative."""
    generator = torch.Generator().manual_seed(seed)
    for part in module.modules():
        if isinstance(part, torch.nn.modules.batchnorm._BatchNorm):
            part.running_mean.normal_(generator=generator)
            part.running_var.uniform_(0.5, 2, generator=generator)
            part.weight.data.normal_(generator=generator)
            part.bias.data.normal_(generator=generator)
    return module.eval()


@pytest.mark.parametrize("heights", [(38, 67), (95,), (96, 1)])
@pytest.mark.parametrize("frames", [1, 5, 188])
def test_tall_correlations_equal_the_convolutions(heights, frames):
    torch.manual_seed(frames)
    convolutions = [torch.nn.Conv2d(1, 6, (height, 7), padding=(0, 3)) for height in heights]
    spectrogram = torch.randn(3, 1, 96, frames)
    with torch.inference_mode():
        expected = torch.cat([torch.relu(one(spectrogram).amax(dim=2)) for one in convolutions], dim=1)
        found = TallCorrelationMax(convolutions, block_frames=11)(spectrogram)
    assert found.shape == expected.shape
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


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
def test_bfloat16_is_near_float32_and_left_alone_without_units(config, has_units, monkeypatch, caplog):
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


def test_tf32_is_for_gpus_that_were_asked_for_it(caplog):
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


@pytest.mark.parametrize("scale", [1.0, 30.0], ids=["exponentials", "queries too far apart for them"])
@pytest.mark.parametrize("fusion", ["early", "late", "attention"])
def test_the_arranged_decoder_predicts_what_the_model_predicts(fusion, scale):
    torch.manual_seed(1)
    model = randomised(
        build_captioner(
            ModelConfig(
                fusion=fusion,
                extractor=ExtractorConfig(num_channels=8, frontend_scale=0.05),
                vocabulary_size=40,
                word_embedding_dim=12,
                hidden_dim=24,
                audio_embedding_dim=24,
                attention_dim=10,
            )
        )
    )
    with torch.no_grad():
        if model.attention is not None:
            model.attention.project_hidden.weight.mul_(scale)
    arranged = prepare_decoder(model)
    assert isinstance(arranged, SearchModel)
    features = torch.randn(4, 7, model.feature_extractor.feature_dim) * 3
    mask = torch.arange(7) < torch.tensor([[7], [1], [4], [6]])
    with torch.inference_mode():
        plain, quick = model.encode(features, mask), arranged.encode(features, mask)
        before, after = model.start(plain), arranged.start(quick)
        for _ in range(6):
            words = torch.randint(0, 40, (4,))
            expected, before = model.step(plain, before, words)
            found, after = arranged.step(quick, after, words)
            torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
        if after.attention is not None:
            torch.testing.assert_close(after.attention, before.attention, atol=1e-4, rtol=1e-4)
            assert (after.attention[~mask] == 0).all()
        options = DecodingOptions(beam_size=4, max_words=9)
        for one, two in zip(beam_search(model, plain, options), beam_search(arranged, quick, options), strict=True):
            assert one[0].word_ids == two[0].word_ids
            assert one[0].log_prob == pytest.approx(two[0].log_prob, abs=1e-4)


def test_keys_beyond_every_exponent_still_saturate():
    torch.manual_seed(2)
    model = build_captioner(
        ModelConfig(
            fusion="attention", extractor=ExtractorConfig(num_channels=8, frontend_scale=0.05), vocabulary_size=9
        )
    ).eval()
    arranged = SearchModel(model)
    features = 1e4 * torch.randn(2, 5, model.feature_extractor.feature_dim)
    mask = torch.ones(2, 5, dtype=torch.bool)
    with torch.inference_mode():
        plain, quick = model.encode(features, mask), arranged.encode(features, mask)
        hidden = torch.rand(2, 256) * 2 - 1
        expected = model.attention(hidden, plain.keys, plain.features, mask)[1]
        found = arranged._attend(quick, hidden)[0]
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
