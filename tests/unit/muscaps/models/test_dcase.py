"""The DCASE 2020 baseline: its formula written out, its frames, and the interface it shares with MusCaps."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from muscaps.captioner import Captioner
from muscaps.checkpoint import load_extractor, save_checkpoint, save_log_mel_extractor
from muscaps.config import LOG_MEL, LOG_MEL_FRAMES, DecodingOptions, ExtractorConfig, ModelConfig
from muscaps.models.architectures import build_captioner
from muscaps.models.dcase import (
    EXCERPT_CHUNKS,
    MIN_MAGNITUDE,
    N_MELS,
    BidirectionalGRU,
    DcaseBaseline,
    LogMelFrames,
)
from muscaps.training.dataset.feature_cache import extractor_digest
from muscaps.vocabulary import EOS, SPECIAL_TOKENS, Vocabulary
from tests.conftest import tones

FEATURE_DIM = LOG_MEL_FRAMES * N_MELS


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    # Thousands of tiny operations: a thread pool only waits for itself, for minutes on a busy machine.
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def tiny_config(vocabulary_size: int = 9) -> ModelConfig:
    return ModelConfig(
        extractor=ExtractorConfig(name="log_mel"),
        fusion="dcase",
        vocabulary_size=vocabulary_size,
        hidden_dim=6,
        audio_embedding_dim=6,
    )


@pytest.fixture
def model() -> DcaseBaseline:
    torch.manual_seed(3)
    built = build_captioner(tiny_config()).eval()
    assert isinstance(built, DcaseBaseline)
    return built


def random_features(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, FEATURE_DIM, generator=torch.Generator().manual_seed(seed))


def test_frames_are_slaney_mel_magnitudes_in_natural_logarithms() -> None:
    waveform = torch.from_numpy(tones(1.024, seed=4))[None]
    extractor = LogMelFrames()
    frames = extractor(waveform).reshape(LOG_MEL_FRAMES, N_MELS)
    padded = F.pad(waveform, (512, 512), mode="reflect")[0]
    windows = padded.unfold(0, 1024, 512)[:LOG_MEL_FRAMES] * torch.hann_window(1024)
    magnitudes = torch.fft.rfft(windows).abs()
    mels = magnitudes @ slaney_filters().float()
    assert extractor.chunk_samples == 16_384
    assert torch.allclose(frames, mels.clamp(min=MIN_MAGNITUDE).log(), atol=1e-3)
    assert torch.equal(extractor(torch.zeros(1, 16_384)), torch.full((1, FEATURE_DIM), float(np.log(MIN_MAGNITUDE))))


def slaney_filters() -> torch.Tensor:
    """Area-normalised triangles, linear below 1 kHz and logarithmic above, (513, 64)."""

    def to_mel(hertz: np.ndarray) -> np.ndarray:
        return np.where(hertz < 1000, hertz * 3 / 200, 15 + 27 * np.log(np.maximum(hertz, 1) / 1000) / np.log(6.4))

    def to_hertz(mel: np.ndarray) -> np.ndarray:
        return np.where(mel < 15, mel * 200 / 3, 1000 * np.exp(np.log(6.4) / 27 * (mel - 15)))

    edges = to_hertz(np.linspace(0, float(to_mel(np.array(8000.0))), N_MELS + 2))
    bins = np.linspace(0, 8000, 513)[:, None]
    left, middle, right = edges[:-2], edges[1:-1], edges[2:]
    triangles = np.minimum((bins - left) / (middle - left), (right - bins) / (right - middle)).clip(0)
    return torch.from_numpy(triangles * 2 / (right - left))


def as_torch_gru(layer: BidirectionalGRU) -> torch.nn.GRU:
    """Copy a layer's weights into torch's own bidirectional GRU."""
    ahead, back = layer.ahead.state_dict(), layer.back.state_dict()
    gru = torch.nn.GRU(layer.ahead.input_size, layer.ahead.hidden_size, batch_first=True, bidirectional=True)
    gru.load_state_dict({**ahead, **{f"{name}_reverse": weight for name, weight in back.items()}})
    return gru


def test_frames_of_a_step_are_averaged() -> None:
    samples = torch.from_numpy(tones(3.0, 1)).float()[None, :16_384] / 32_768
    frames = LogMelFrames()(samples).view(LOG_MEL_FRAMES, N_MELS)
    steps = LogMelFrames(frames_per_step=8)(samples).view(-1, N_MELS)
    torch.testing.assert_close(steps, torch.stack([part.mean(dim=0) for part in frames.split(8)]))


def test_a_model_with_several_frames_per_step_ignores_padding() -> None:
    extractor = replace(LOG_MEL, frames_per_step=8)
    model = build_captioner(replace(tiny_config(), extractor=extractor)).eval()
    features = torch.randn(2, 3, 4 * N_MELS, generator=torch.Generator().manual_seed(2))
    mask = torch.tensor([[True, True, True], [True, False, False]])
    with torch.no_grad():
        both = model.encode(features, mask).embedding
        alone = model.encode(features[1:, :1], mask[1:, :1]).embedding
    torch.testing.assert_close(both[1:], alone)


def test_frames_per_step_must_fit() -> None:
    with pytest.raises(ValueError, match="divisor of 32"):
        ExtractorConfig(name="log_mel", frames_per_step=5)
    with pytest.raises(ValueError, match="means nothing"):
        ExtractorConfig(frames_per_step=2)


def test_the_audio_embedding_follows_the_published_formula(model: DcaseBaseline) -> None:
    features = random_features(1, 3)
    first, second, third = map(as_torch_gru, model.encoder)
    frames = features.reshape(1, 3 * LOG_MEL_FRAMES, N_MELS)
    with torch.no_grad():
        h1 = first(frames)[0]
        h2 = h1 + second(h1)[0]
        h3 = h2 + third(h2)[0]
        embedding = model.encode(features, torch.ones(1, 3, dtype=torch.bool)).embedding
    assert torch.allclose(embedding, h3[:, -1], atol=1e-6)


def test_the_decoder_reads_the_same_embedding_at_every_step(model: DcaseBaseline) -> None:
    features, mask = random_features(2, 2), torch.ones(2, 2, dtype=torch.bool)
    reference = torch.nn.GRU(12, 6, batch_first=True)
    for ours, theirs in (("weight_ih", "weight_ih_l0"), ("weight_hh", "weight_hh_l0")):
        getattr(reference, theirs).data.copy_(getattr(model.decoder, ours))
        bias = ours.replace("weight", "bias")
        getattr(reference, theirs.replace("weight", "bias")).data.copy_(getattr(model.decoder, bias))
    with torch.no_grad():
        embedding = model.encode(features, mask).embedding
        expected = model.output(reference(embedding[:, None].expand(-1, 5, -1))[0])
        assert torch.allclose(model(features, mask, torch.zeros(2, 5, dtype=torch.long)), expected, atol=1e-6)


def test_stepping_equals_the_whole_caption_and_words_have_no_effect(model: DcaseBaseline) -> None:
    features, mask = random_features(2, 3), torch.tensor([[True, True, True], [True, False, False]])
    with torch.no_grad():
        whole = model(features, mask, torch.zeros(2, 4, dtype=torch.long)).log_softmax(-1)
        encoded = model.encode(features, mask)
        state = model.start(encoded)
        for t in range(4):
            log_probs, state = model.step(encoded, state, torch.tensor([t, 8 - t]))
            assert torch.allclose(log_probs, whole[:, t], atol=1e-6)


def test_padding_changes_nothing(model: DcaseBaseline) -> None:
    features = random_features(2, 4)
    mask = torch.tensor([[True] * 4, [True, True, False, False]])
    with torch.no_grad():
        together = model.encode(features, mask).embedding
        alone = model.encode(features[1:, :2], mask[1:, :2]).embedding
        features[1, 2:] = 1e6
        poisoned = model.encode(features, mask).embedding
    assert torch.allclose(together[1:], alone, atol=1e-6)
    assert torch.equal(together, poisoned)


def test_a_long_track_is_encoded_from_its_middle(model: DcaseBaseline) -> None:
    features = random_features(2, EXCERPT_CHUNKS + 7)
    mask = torch.ones(2, EXCERPT_CHUNKS + 7, dtype=torch.bool)
    mask[1, 10:] = False  # a short track beside it keeps all it has
    with torch.no_grad():
        whole = model.encode(features, mask).embedding
        middle = model.encode(features[:1, 3 : 3 + EXCERPT_CHUNKS], mask[:1, :EXCERPT_CHUNKS]).embedding
        short = model.encode(features[1:, :10], mask[1:, :10]).embedding
    assert torch.allclose(whole, torch.cat([middle, short]), atol=1e-6)


def test_training_hears_random_excerpts() -> None:
    torch.manual_seed(0)
    model = DcaseBaseline(tiny_config())
    model.regularise.p = 0.0
    features, mask = random_features(1, EXCERPT_CHUNKS + 30), torch.ones(1, EXCERPT_CHUNKS + 30, dtype=torch.bool)
    with torch.no_grad():
        embeddings = {round(float(model.train().encode(features, mask).embedding.sum()), 6) for _ in range(8)}
    assert len(embeddings) > 1


def test_a_track_without_chunks_is_an_error(model: DcaseBaseline) -> None:
    with pytest.raises(ValueError, match="at least one real chunk"):
        model.encode(random_features(1, 2), torch.zeros(1, 2, dtype=torch.bool))


def test_it_learns_what_a_decoder_without_words_can() -> None:
    torch.manual_seed(1)
    model = DcaseBaseline(tiny_config())
    model.regularise.p = 0.0
    features = torch.cat([torch.full((1, 1, FEATURE_DIM), level) for level in (-1.0, 1.0)])
    mask = torch.ones(2, 1, dtype=torch.bool)
    captions = torch.tensor([[4, 5, 6, EOS], [7, 5, EOS, 0]])
    optimiser = torch.optim.Adam(model.parameters(), lr=0.05)
    for _ in range(60):
        loss = F.cross_entropy(model(features, mask, captions).flatten(0, 1), captions.flatten(), ignore_index=0)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    model.eval()
    with torch.no_grad():
        found = model(features, mask, captions).argmax(-1)
    assert torch.equal(found[:, :3], captions[:, :3])


def test_the_same_captioner_loads_and_drives_it(tmp_path: Path) -> None:
    vocabulary = Vocabulary([*SPECIAL_TOKENS, "a", "calm", "piano", "tune", "slow"])
    torch.manual_seed(5)
    model = build_captioner(tiny_config(len(vocabulary))).eval()
    save_checkpoint(tmp_path / "dcase", model, vocabulary, name="dcase", training={}, metrics={})
    captioner = Captioner.load(tmp_path / "dcase")
    waveforms = [tones(2.5, seed=1), tones(4.0, seed=2)]
    features = captioner.features(waveforms)
    assert [track.shape for track in features] == [(2, FEATURE_DIM), (3, FEATURE_DIM)]
    captions = captioner.caption(waveforms, DecodingOptions(beam_size=3))
    assert all(len(caption.words) <= 22 for caption in captions)
    alone = captioner.caption(waveforms[1:], DecodingOptions(beam_size=3))
    assert alone[0].text == captions[1].text
    assert np.isfinite(captioner.score(features, "a calm piano tune")).all()


def test_the_front_end_is_an_extractor_checkpoint_without_weights(tmp_path: Path) -> None:
    directory = save_log_mel_extractor(tmp_path / "log-mel")
    written = (directory / "model_card.json").read_text()
    extractor, config, _, _ = load_extractor(directory)
    assert config == LOG_MEL
    assert extractor_digest(extractor) == extractor_digest(LogMelFrames())
    assert (save_log_mel_extractor(directory) / "model_card.json").read_text() == written


def test_a_configuration_of_two_minds_is_refused() -> None:
    with pytest.raises(ValueError, match="does not go with extractor 'musicnn'"):
        ModelConfig(fusion="dcase")
    with pytest.raises(ValueError, match="does not go with extractor 'log_mel'"):
        ModelConfig(fusion="early", extractor=ExtractorConfig(name="log_mel"))
