"""Pre-training a tagger: scores, losses, the rearranged musicnn pass, a tagger that learns."""

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from muscaps.checkpoint import load_extractor
from muscaps.config import ExtractorConfig
from muscaps.evaluation.tag_metrics import pr_auc, roc_auc, score_tags
from muscaps.inference.tall_convolution import fix_input_statistics, keep_scales_positive, training_features
from muscaps.models.musicnn import Musicnn
from muscaps.training.augmentation import NO_AUGMENTATION
from muscaps.training.data_parallel import Workers, share_batch_norms
from muscaps.training.dataset.pairs import DatasetError, Pair
from muscaps.training.dataset.reader import PreparedDataset
from muscaps.training.dataset.writer import DatasetWriter
from muscaps.training.log_mel_cache import LOG_MELS, log_mels
from muscaps.training.schedules import warmup_cosine
from muscaps.training.tagger_config import TaggingConfig
from muscaps.training.tagger_excerpts import MelExcerpts
from muscaps.training.tagger_model import tag_scores
from muscaps.training.tagger_objective import TaggerTraining, masked_tagging_loss, train_tagger

SMALL = ExtractorConfig(num_channels=4, frontend_scale=0.04)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Threads cost more than they bring at this size, and all the more on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def write_tagged(directory: Path, count: int = 24) -> Path:
    """Noise bursts and low tones, alone or together, 4 s each."""
    rng = np.random.default_rng(0)
    time = np.arange(4 * 16_000) / 16_000
    writer, pairs = DatasetWriter(directory), []
    for index in range(count):
        tags = [("hat",), ("kick",), ("hat", "kick"), ("kick",)][index % 4]
        signal = np.zeros(len(time))
        if "hat" in tags:
            signal += 0.2 * rng.standard_normal(len(time)) * np.exp(-30 * (time % 0.25))
        if "kick" in tags:
            signal += 0.5 * np.sin(2 * np.pi * 80 * time) * np.exp(-10 * (time % 0.5))
        writer.store(str(index), audio=(32_000 * signal.clip(-1, 1)).astype(np.int16))
        split = "validation" if index >= count - 8 else "train"
        pairs.append(Pair(track_id=str(index), uri="", captions=("a drum loop",), tags=tags, split=split))
    writer.finish(pairs, min_count=1)
    return directory


def test_roc_and_pr_auc_agree_with_scikit_learn() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(0)
    for size, levels in ((50, None), (200, 7), (3, 2)):
        truth = rng.random(size) < 0.3
        truth[:2] = True, False
        scores = rng.normal(size=size) + truth
        if levels:  # many equal scores
            scores = np.round(scores * levels / 4)
        assert roc_auc(truth, scores) == pytest.approx(metrics.roc_auc_score(truth, scores), abs=1e-12)
        assert pr_auc(truth, scores) == pytest.approx(metrics.average_precision_score(truth, scores), abs=1e-12)


def test_auc_is_undefined_without_both_kinds() -> None:
    assert math.isnan(roc_auc(np.ones(3), np.arange(3)))
    assert math.isnan(pr_auc(np.zeros(3), np.arange(3)))
    scores = score_tags(np.array([[1, 1], [1, 0]], bool), np.zeros((2, 2)), ["always", "sometimes"])
    assert scores.roc_auc == {"sometimes": 0.5}
    assert scores.mean_roc_auc == 0.5


def test_unknown_tags_leave_the_loss() -> None:
    logits = torch.tensor([[2.0, -1.0], [0.5, 3.0]])
    targets, known = torch.tensor([[1.0, 0.0], [1.0, 1.0]]), torch.tensor([[1.0, 1.0], [1.0, 0.0]])
    by_hand = [math.log1p(math.exp(-2)) * 3, math.log1p(math.exp(-1)), math.log1p(math.exp(-0.5)) * 3]
    loss = masked_tagging_loss(logits, targets, known, torch.tensor([3.0, 1.0]))
    assert float(loss) == pytest.approx(sum(by_hand) / 2, rel=1e-6)


def test_learning_rate_warms_up_and_falls_to_zero() -> None:
    assert warmup_cosine(0, 0.0, 1.0) == pytest.approx(1 / 200)
    assert warmup_cosine(100, 0.01, 1.0) == pytest.approx(101 / 200, abs=1e-3)
    assert warmup_cosine(10, 0.1, 1.0) > 0.97  # of a run of 100 steps
    assert warmup_cosine(500, 0.5, 1.0) == pytest.approx(0.5)
    assert warmup_cosine(500, 1.0, 1.0) == pytest.approx(0.0)


def network(seed: int = 0) -> Musicnn:
    torch.manual_seed(seed)
    model = Musicnn(num_channels=6, frontend_scale=0.05)
    fix_input_statistics(model, -20.0, 300.0)
    for vertical in model.vertical:
        vertical.norm.weight.data.uniform_(0.5, 1.5)
        vertical.norm.running_mean.uniform_(-0.5, 0.5)
        vertical.norm.running_var.uniform_(0.5, 2)
    return model


@pytest.mark.parametrize(("fast", "tolerance"), [(False, 1e-5), (True, 0.05)])
def test_the_rearranged_pass_computes_the_same_features(fast: bool, tolerance: float) -> None:
    model = network().eval()
    spectrogram = 15 * torch.randn(3, 1, 96, 188) - 20
    with torch.no_grad():
        expected, found = model.from_spectrogram(spectrogram), training_features(model, spectrogram, fast=fast)
    assert float((found - expected).abs().max()) < tolerance * float(expected.abs().max())


def test_bfloat16_gradients_point_the_way_of_float32_ones() -> None:
    spectrogram = 15 * torch.randn(4, 1, 96, 188, generator=torch.Generator().manual_seed(1)) - 20
    gradients = []
    for fast in (False, True):
        model = network().train()
        training_features(model, spectrogram, fast=fast).square().mean().backward()
        gradients.append([v.conv.weight.grad.flatten() for v in model.vertical])
    for exact, rounded in zip(*gradients, strict=True):
        assert float(torch.nn.functional.cosine_similarity(exact, rounded, dim=0)) > 0.95


def test_batch_norms_are_replaced_without_a_trace_in_the_state() -> None:
    model, plain = network(), network()
    share_batch_norms(model)
    assert list(model.state_dict()) == list(plain.state_dict())
    spectrogram = 15 * torch.randn(2, 1, 96, 188) - 20
    with torch.no_grad():
        assert torch.equal(model.train().from_spectrogram(spectrogram), plain.train().from_spectrogram(spectrogram))
        assert torch.equal(model.temporal[0].norm.running_var, plain.temporal[0].norm.running_var)


def test_scales_are_kept_positive() -> None:
    model = network()
    model.vertical[0].norm.weight.data.fill_(-1)
    keep_scales_positive(model)
    assert float(model.vertical[0].norm.weight.detach().min()) > 0


def test_log_mels_are_the_extractors_and_are_computed_once(tmp_path: Path) -> None:
    dataset = PreparedDataset(write_tagged(tmp_path, 12))
    mels, places = log_mels(dataset)
    example = dataset.examples[3]
    start, frames = places[example.index]
    waveform = torch.from_numpy(dataset.audio(example).astype(np.float32) / 32_768)
    expected = Musicnn(2, 0.02).spectrogram(waveform[None])[0, 0].T
    assert np.allclose(mels[start : start + frames], expected.numpy(), atol=0.07)  # float16 at 100 dB
    before = (tmp_path / LOG_MELS).stat().st_mtime_ns
    log_mels(PreparedDataset(tmp_path))
    assert (tmp_path / LOG_MELS).stat().st_mtime_ns == before


def test_undisturbed_excerpts_are_cut_from_the_clip(tmp_path: Path) -> None:
    dataset = PreparedDataset(write_tagged(tmp_path, 12))
    source = MelExcerpts(dataset, 48_000, NO_AUGMENTATION)
    examples = dataset.examples[:2]
    generators = [np.random.default_rng(i) for i in range(2)]
    spectrogram, mixed = source.training_batch(examples, examples[::-1], generators)
    assert spectrogram.shape == (2, 1, 96, 188)
    assert not mixed.any()
    mels, places = log_mels(dataset)
    start, frames = places[0]
    windows = [mels[start + o : start + o + 188].T for o in range(frames - 188)]
    assert min(float(np.abs(spectrogram[0, 0].numpy() - window).max()) for window in windows) < 1e-3


def test_a_mixed_clip_has_the_tags_of_both_and_hides_the_rest(tmp_path: Path) -> None:
    from dataclasses import replace

    from muscaps.training.augmentation import AugmentationConfig

    dataset = PreparedDataset(write_tagged(tmp_path))
    config = TaggingConfig(
        batch_size=16, min_tag_count=1, additive_tags=("hat",), augmentation=AugmentationConfig(mix_probability=1)
    )
    training = TaggerTraining(dataset, SMALL, config, workers=Workers())
    _, targets, known = training.batch(0, 0)
    hat, kick = training.tags.index("hat"), training.tags.index("kick")
    assert known[:, hat].all()
    assert not known[:, kick].any()
    assert targets[:, hat].mean() > 0.5  # half of the clips have it, so three quarters of the pairs
    alone = replace(config, augmentation=NO_AUGMENTATION)
    assert TaggerTraining(dataset, SMALL, alone, workers=Workers()).batch(0, 0)[2].all()


def test_a_tagger_learns_saves_and_resumes(tmp_path: Path) -> None:
    dataset = PreparedDataset(write_tagged(tmp_path / "data"))
    config = TaggingConfig(
        batch_size=8,
        max_epochs=6,
        excerpts_per_clip=4,
        min_tag_count=2,
        average_decay=0.8,
        learning_rate=1e-2,
        augmentation=NO_AUGMENTATION,
    )
    scores = train_tagger(dataset, tmp_path / "out", SMALL, config)
    assert scores.mean_roc_auc > 0.9
    extractor, found, card, head = load_extractor(tmp_path / "out" / "extractor")
    assert found == SMALL
    assert card["training"]["chunks_seen"] == 6 * 64
    hat = [tag_scores(extractor, head, [np.full((2, extractor.feature_dim), level)]) for level in (0.0, 1.0)]
    assert hat[0].shape == (1, 2)
    again = TaggerTraining(dataset, SMALL, config, workers=Workers())
    again.resume(tmp_path / "out" / "state")
    assert again.epoch == 6
    assert len(again.history) == 6


def test_resuming_a_tagger_gives_the_same_weights(tmp_path: Path) -> None:
    dataset = PreparedDataset(write_tagged(tmp_path / "data"))
    config = TaggingConfig(batch_size=8, max_epochs=2, excerpts_per_clip=1, min_tag_count=2)
    whole = TaggerTraining(dataset, SMALL, config, workers=Workers())
    whole.train(lambda metrics, save: save(tmp_path / f"state{metrics['epoch']}"))
    resumed = TaggerTraining(dataset, SMALL, config, workers=Workers())
    resumed.resume(tmp_path / "state1")
    resumed.train()
    for module in ("tagger", "average"):
        expected = getattr(whole, module).state_dict()
        assert all(torch.equal(v, expected[k]) for k, v in getattr(resumed, module).state_dict().items())


def test_a_harmonic_cnn_trains_on_waveforms(tmp_path: Path) -> None:
    dataset = PreparedDataset(write_tagged(tmp_path, 12))
    config = TaggingConfig(batch_size=4, min_tag_count=1)
    training = TaggerTraining(dataset, ExtractorConfig(name="hcnn", num_channels=2), config, workers=Workers())
    quality = training.tagger.extractor.spectrogram.quality.detach().clone()
    assert math.isfinite(training.step(0, 0))
    assert not torch.equal(training.tagger.extractor.spectrogram.quality, quality)
    assert training.validate().clips == 8


def test_what_cannot_be_learned_from_is_refused(tmp_path: Path) -> None:
    DatasetWriter(tmp_path / "silent").finish(
        [Pair(track_id="a", uri="", captions=("slow piano",), tags=("piano",), split="train")], min_count=1
    )
    with pytest.raises(DatasetError, match="cannot train a tagger on 0 training and 0 validation clips"):
        TaggerTraining(PreparedDataset(tmp_path / "silent"), SMALL, TaggingConfig(), workers=Workers())
    dataset = PreparedDataset(write_tagged(tmp_path / "d"))
    with pytest.raises(ValueError, match="does not divide among 3 workers"):
        TaggerTraining(dataset, SMALL, TaggingConfig(batch_size=8), workers=Workers(rank=0, size=3))
    with pytest.raises(ValueError, match="exceeds an epoch"):
        TaggerTraining(dataset, SMALL, TaggingConfig(batch_size=512), workers=Workers())
