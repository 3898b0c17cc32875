"""Captioner objective: loss, steps, validation, what the extractor's modes train."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from muscaps.captioner import Captioner
from muscaps.config import DecodingOptions
from muscaps.training.captioner_config import CaptionTrainingConfig
from muscaps.training.captioner_objective import CaptionerObjective, caption_loss
from muscaps.training.checkpoints import save_captioners
from muscaps.training.data_parallel import Workers
from muscaps.training.dataset.pairs import DatasetError
from muscaps.training.dataset.reader import PreparedDataset
from muscaps.training.initial_captioner import new_captioner
from muscaps.training.loop import TrainingLoop
from muscaps.training.validation_captions import caption_measures
from muscaps.vocabulary import PAD, tokenize
from tests.training_data import EXTRACTOR, MODEL, write_dataset


def test_loss_ignores_padding_and_divides_by_the_whole_batch() -> None:
    logits = torch.randn(2, 3, 7, dtype=torch.float64).float()
    targets = torch.tensor([[4, 5, PAD], [6, PAD, PAD]])
    by_hand = -sum(float(logits[row, t].log_softmax(0)[targets[row, t]]) for row, t in ((0, 0), (0, 1), (1, 0)))
    assert float(caption_loss(logits, targets, 3)) == pytest.approx(by_hand / 3, rel=1e-5)
    halves = caption_loss(logits[:1], targets[:1], 3) + caption_loss(logits[1:], targets[1:], 3)
    assert float(halves) == pytest.approx(by_hand / 3, rel=1e-5)


@pytest.mark.parametrize("fusion", ["early", "late", "attention"])
def test_one_step_lowers_the_loss_and_spares_what_is_frozen(
    start: Callable[..., TrainingLoop[CaptionerObjective]], fusion: str
) -> None:
    loop = start(fusion, learning_rate=1e-2)
    model, objective = loop.objective.model, loop.objective
    frozen = {
        name: value.clone()
        for name, value in model.state_dict().items()
        if name.startswith("feature_extractor.") or name.startswith("word_embedding")
    }
    trained = {name: p.detach().clone() for name, p in model.named_parameters() if p.requires_grad}
    before = objective.scores(decode=False)["validation_loss"]
    for step in range(objective.steps_per_epoch):
        loop.step(0, step)
    assert objective.scores(decode=False)["validation_loss"] < before
    state = model.state_dict()
    assert all(torch.equal(state[name], value) for name, value in frozen.items())
    # The extractor's statistics are frozen too; every trained parameter changes.
    assert all(not torch.equal(state[name], value) for name, value in trained.items())


def test_16_pairs_are_learned_word_for_word(dataset: PreparedDataset, tmp_path: Path) -> None:
    config = CaptionTrainingConfig(batch_size=16, learning_rate=2e-2, max_epochs=240)
    model = new_captioner(dataset, replace(MODEL, dropout=0.0, hidden_dim=64, audio_embedding_dim=64), seed=0)
    objective = CaptionerObjective(dataset, model, dataset.vocabulary, config, workers=Workers())
    objective.batches.captions = [captions[:1] for captions in objective.batches.captions]  # one caption each
    loop = TrainingLoop(objective)
    for epoch in range(config.max_epochs):
        loop.step(epoch, 0)
    save_captioners(loop, tmp_path, name="learned")
    captioner = Captioner.load(tmp_path / "last")
    features = [np.asarray(dataset.features(example), np.float32) for example in objective.train_examples]
    captions = captioner.caption_features(features, DecodingOptions(beam_size=1))
    assert [list(c.words) for c in captions] == [tokenize(e.captions[0]) for e in objective.train_examples]


def test_validation_reports_loss_and_cider(start: Callable[..., TrainingLoop[CaptionerObjective]]) -> None:
    pytest.importorskip("pycocoevalcap")
    objective = start().objective
    scores = objective.scores()
    assert scores["validation_loss"] == pytest.approx(
        math.log(len(objective.vocabulary)), rel=0.3
    )  # untrained: a guess
    assert 0 <= scores["validation_cider"] <= 10


def test_validation_measures_the_captions_that_the_checkpoint_writes(
    start: Callable[..., TrainingLoop[CaptionerObjective]], tmp_path: Path
) -> None:
    loop = start()
    save_captioners(loop, tmp_path, name="untrained")
    captioner, objective = Captioner.load(tmp_path / "last"), loop.objective
    features = [np.asarray(objective.dataset.features(e), np.float32) for e in objective.validation_examples]
    captions = captioner.caption_features(features, DecodingOptions(beam_size=1))
    expected = caption_measures(
        [" ".join(captioner.vocabulary.decode(caption.word_ids)) for caption in captions],
        [example.captions for example in objective.validation_examples],
    )
    found = objective.scores()
    assert {name: found[name] for name in expected} == pytest.approx(expected)
    assert not any("<unk>" in caption.words for caption in captions)


@pytest.mark.parametrize("mode", ["fine-tuned", "scratch"])
def test_the_extractor_learns_from_excerpts(tmp_path: Path, mode: str) -> None:
    dataset = PreparedDataset(write_dataset(tmp_path / "audio", 4, 2, audio_seconds=7))
    config = CaptionTrainingConfig(batch_size=4, learning_rate=1e-3, extractor_mode=mode, excerpt_seconds=6)
    model = new_captioner(dataset, MODEL)
    objective = CaptionerObjective(dataset, model, dataset.vocabulary, config, workers=Workers())
    extractor = model.feature_extractor
    weight = extractor.vertical[0].conv.weight.detach().clone()
    statistics = extractor.temporal[0].norm.running_mean.clone()
    TrainingLoop(objective).step(0, 0)
    assert not torch.equal(extractor.vertical[0].conv.weight, weight)
    assert torch.equal(extractor.temporal[0].norm.running_mean, statistics) == (mode == "fine-tuned")
    assert objective.batches.batch(0, 0).batch.audio.shape == (4, 2, 48_000)
    assert math.isfinite(objective.scores(decode=False)["validation_loss"])


def test_features_of_another_extractor_are_refused(dataset: PreparedDataset) -> None:
    wider = replace(MODEL, extractor=replace(EXTRACTOR, num_channels=3))
    model = new_captioner(dataset, wider)
    with pytest.raises(ValueError, match="the model reads"):
        CaptionerObjective(dataset, model, dataset.vocabulary, workers=Workers())


def test_training_the_extractor_needs_audio(dataset: PreparedDataset) -> None:
    config = CaptionTrainingConfig(extractor_mode="scratch")
    with pytest.raises(DatasetError, match="needs audio"):
        CaptionerObjective(dataset, new_captioner(dataset, MODEL), dataset.vocabulary, config, workers=Workers())
