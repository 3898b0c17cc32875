"""Parity with the published MusCaps code, whose answers on seeded weights are in tests/data/parity.

`parity.json` and `encoder_features.npz` hold what the published program returned (float32, CPU, torch 2.11)
for weights and waveforms that `seeded.py` makes; see tests/data/README.md.
"""

from functools import cache

import numpy as np
import pytest
import torch

from muscaps.config import DecodingOptions
from muscaps.decoding import beam_search, greedy_search
from muscaps.models.architectures import build_extractor
from muscaps.published import captioner_from_published, extractor_config, load_extractor_weights
from muscaps.vocabulary import EOS, SOS, SPECIAL_TOKENS, Vocabulary
from tests.data.parity import seeded
from tests.published_answers import FOLDER, PARITY, published_weights

CAPTIONERS = sorted(PARITY["captioners"])


def chunks_of(seconds, seed, chunk_samples):
    waveform = seeded.waveform(seconds, seed)
    count = len(waveform) // chunk_samples
    return torch.from_numpy(waveform[: count * chunk_samples].reshape(count, chunk_samples))


@cache
def captioner(name):
    """The published captioner of this name, and its three cases' features."""
    entry = PARITY["captioners"][name]
    size = entry["shapes"]["text_encoder.word_embeddings.weight"][0][0]
    words = Vocabulary([*SPECIAL_TOKENS, *(f"word{i}" for i in range(size - 4))])
    model = captioner_from_published(
        published_weights(entry["shapes"], entry["eos_bias"]), name.split("_")[0], words, origin=name
    )
    with torch.inference_mode():
        features = [
            model.feature_extractor(
                chunks_of(case["seconds"], case["waveform_seed"], model.feature_extractor.chunk_samples)
            )
            for case in entry["cases"]
        ]
    return model, features


def encoded_together(model, features):
    """Encode a captioner's cases as one padded batch, so that parity also proves the masking."""
    padded = torch.nn.utils.rnn.pad_sequence(features, batch_first=True)
    lengths = torch.tensor([len(track) for track in features])
    mask = torch.arange(padded.shape[1])[None] < lengths[:, None]
    with torch.inference_mode():
        return model.encode(padded, mask)


@pytest.mark.parametrize("name", sorted(PARITY["encoders"]))
def test_chunk_features_equal_the_published_ones(name):
    weights = published_weights(PARITY["encoders"][name])
    extractor = build_extractor(extractor_config(weights, name))
    load_extractor_weights(extractor, weights, name)
    extractor.eval()
    expected = np.load(FOLDER / "encoder_features.npz")[name]
    with torch.inference_mode():
        found = extractor(chunks_of(31, 7, extractor.chunk_samples)).numpy()
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= 1e-4 * np.abs(expected).max()


@pytest.mark.parametrize("name", CAPTIONERS)
def test_teacher_forced_logits_equal_the_published_ones(name):
    model, features = captioner(name)
    for case, track in zip(PARITY["captioners"][name]["cases"], features, strict=True):
        ids = torch.tensor([case["teacher_ids"]])
        with torch.inference_mode():
            logits = model(track[None], torch.ones(1, len(track), dtype=torch.bool), ids)[0]
        norms = logits.norm(dim=1).numpy()
        np.testing.assert_allclose(norms, case["teacher_logits_l2"], atol=1e-3)
        assert logits.argmax(dim=1).tolist() == case["teacher_argmax"]


@pytest.mark.parametrize("name", CAPTIONERS)
def test_greedy_captions_equal_the_published_ones(name):
    model, features = captioner(name)
    found = greedy_search(model, encoded_together(model, features), max_words=22)
    for case, hypothesis in zip(PARITY["captioners"][name]["cases"], found, strict=True):
        ids = [SOS, *hypothesis.word_ids, *([EOS] if hypothesis.finished else [])]
        assert ids == case["greedy"]


@pytest.mark.parametrize("beam_size", [2, 3, 5])
@pytest.mark.parametrize("name", CAPTIONERS)
def test_beam_search_equals_the_published_one_where_that_finished(name, beam_size):
    model, features = captioner(name)
    found = beam_search(model, encoded_together(model, features), DecodingOptions(beam_size=beam_size))
    for case, hypotheses in zip(PARITY["captioners"][name]["cases"], found, strict=True):
        expected = case[f"beam{beam_size}"]
        if expected:
            assert hypotheses[0].finished
            assert [SOS, *hypotheses[0].word_ids, EOS] == expected
            assert hypotheses[0].log_prob == pytest.approx(case[f"beam{beam_size}_score"], abs=1e-3)
        else:
            assert not hypotheses[0].finished
            assert len(hypotheses[0].word_ids) == 22
