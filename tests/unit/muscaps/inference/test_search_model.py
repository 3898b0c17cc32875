"""The decoder arranged for search predicts what the model predicts."""

import pytest
import torch

from muscaps.config import DecodingOptions, ExtractorConfig, ModelConfig
from muscaps.decoding import beam_search
from muscaps.inference import prepare_decoder
from muscaps.inference.search_model import SearchModel
from muscaps.models.architectures import build_captioner
from tests.random_normalisations import randomised


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
