"""Training a captioner: loss, data order, dropout, steps, validation, resuming, fine-tuning."""

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from muscaps.captioner import Captioner
from muscaps.checkpoint import load_checkpoint
from muscaps.config import DecodingOptions, ExtractorConfig, ModelConfig
from muscaps.models.muscaps import MusCaps
from muscaps.training.captioner_config import CaptionTrainingConfig
from muscaps.training.captioner_objective import CaptionerTraining, caption_loss
from muscaps.training.data_parallel import Workers
from muscaps.training.dataset.pairs import DatasetError, Pair
from muscaps.training.dataset.reader import PreparedDataset
from muscaps.training.dataset.writer import DatasetWriter
from muscaps.training.example_dropout import ExampleDropout, dropout_mask
from muscaps.training.initial_captioner import grow_captioner, new_captioner
from muscaps.training.schedules import linear_decay
from muscaps.vocabulary import PAD, tokenize

EXTRACTOR = ExtractorConfig(num_channels=2, frontend_scale=0.02)
MODEL = ModelConfig(
    extractor=EXTRACTOR,
    word_embedding_dim=12,
    audio_embedding_dim=32,
    hidden_dim=32,
    attention_dim=8,
    dropout=0.25,
)
INSTRUMENTS = ("piano", "guitar", "drums", "strings", "flute", "harp", "brass", "organ")
MOODS = ("slow", "fast", "bright", "dark")


def caption_of(index: int) -> str:
    return f"a {MOODS[index // 8 % 4]} tune for {INSTRUMENTS[index % 8]} and {INSTRUMENTS[(index + 3) % 8]}"


def new_extractor_dim() -> int:
    from muscaps.models.architectures import build_extractor

    return build_extractor(EXTRACTOR).feature_dim


def write_dataset(directory: Path, num_train: int = 16, num_validation: int = 6, audio_seconds: float = 0) -> Path:
    """Features that tell the pairs apart, and captions that go with them."""
    rng = np.random.default_rng(0)
    writer = DatasetWriter(directory)
    pairs = []
    for index in range(num_train + num_validation):
        name = f"t{index}"
        features = rng.normal(size=(1 + index % 3, new_extractor_dim())).astype(np.float32)
        audio = None
        if audio_seconds:
            audio = (3000 * rng.standard_normal(int(audio_seconds * 16_000))).astype(np.int16)
        writer.store(name, features=features, audio=audio)
        text = caption_of(index)
        captions = (text, f"{text} indeed") if index % 2 else (text,)
        split = "train" if index < num_train else "validation"
        pairs.append(Pair(track_id=name, uri=name, captions=captions, split=split))
    writer.finish(pairs, min_count=1)
    return directory


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Threads cost more than they bring at this size, and all the more on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def dataset(tmp_path: Path) -> PreparedDataset:
    return PreparedDataset(write_dataset(tmp_path / "dataset"))


@pytest.fixture
def start(dataset: PreparedDataset) -> Callable[..., CaptionerTraining]:
    def make(fusion: str = "early", workers: Workers | None = None, **settings: object) -> CaptionerTraining:
        config = CaptionTrainingConfig(**{"batch_size": 4, "learning_rate": 1e-3, "seed": 1, **settings})
        model = new_captioner(dataset, replace(MODEL, fusion=fusion), seed=1)
        return CaptionerTraining(dataset, model, dataset.vocabulary, config, workers=workers or Workers())

    return make


def test_loss_ignores_padding_and_divides_by_the_whole_batch() -> None:
    logits = torch.randn(2, 3, 7, dtype=torch.float64).float()
    targets = torch.tensor([[4, 5, PAD], [6, PAD, PAD]])
    by_hand = -sum(float(logits[row, t].log_softmax(0)[targets[row, t]]) for row, t in ((0, 0), (0, 1), (1, 0)))
    assert float(caption_loss(logits, targets, 3)) == pytest.approx(by_hand / 3, rel=1e-5)
    halves = caption_loss(logits[:1], targets[:1], 3) + caption_loss(logits[1:], targets[1:], 3)
    assert float(halves) == pytest.approx(by_hand / 3, rel=1e-5)


def test_learning_rate_falls_linearly_to_zero() -> None:
    assert [linear_decay(step, 10, 1e-4) for step in (0, 5, 10)] == pytest.approx([1e-4, 5e-5, 0])


def test_dropout_depends_on_the_example_alone() -> None:
    together = dropout_mask((5, 8), [5, 3], [11, 12], 0.25)
    alone = dropout_mask((3, 8), [3], [12], 0.25)
    assert torch.equal(together[1, :3], alone[0])
    assert not torch.equal(dropout_mask((3, 8), [3], [13], 0.25), alone)
    many = dropout_mask((50, 200), [50], [5], 0.25)
    assert float(many.mean()) == pytest.approx(0.75, abs=0.02)


def test_dropout_keeps_the_mean_and_rests_in_evaluation() -> None:
    layer = ExampleDropout(0.5)
    with pytest.raises(RuntimeError, match="needs its mask"):
        layer(torch.ones(1, 2, 3))
    layer.mask = torch.tensor([[[1.0, 0.0], [0.0, 1.0]]])
    assert layer(torch.ones(1, 2, 2)).tolist() == [[[2.0, 0.0], [0.0, 2.0]]]
    assert layer.eval()(torch.ones(1, 2, 2)).tolist() == [[[1.0, 1.0], [1.0, 1.0]]]


@pytest.mark.parametrize("fusion", ["early", "late", "attention"])
def test_one_step_lowers_the_loss_and_spares_what_is_frozen(
    start: Callable[..., CaptionerTraining], fusion: str
) -> None:
    training = start(fusion, learning_rate=1e-2)
    frozen = {
        name: value.clone()
        for name, value in training.model.state_dict().items()
        if name.startswith("feature_extractor.") or name.startswith("word_embedding")
    }
    trained = {name: p.detach().clone() for name, p in training.model.named_parameters() if p.requires_grad}
    before = training.validate(decode=False)["loss"]
    for step in range(training.steps_per_epoch):
        training.step(0, step)
    assert training.validate(decode=False)["loss"] < before
    state = training.model.state_dict()
    assert all(torch.equal(state[name], value) for name, value in frozen.items())
    # The extractor's statistics are among what is frozen; of the trained part nothing stands still.
    assert all(not torch.equal(state[name], value) for name, value in trained.items())


def test_every_example_is_seen_once_an_epoch_in_another_order_each_time(
    start: Callable[..., CaptionerTraining],
) -> None:
    training = start()
    epochs = [[place for step in range(4) for place in training.plan(epoch, step)] for epoch in (0, 1)]
    assert sorted(epochs[0]) == sorted(epochs[1]) == list(range(16))
    assert epochs[0] != epochs[1]


def test_several_captions_take_turns_by_seed(start: Callable[..., CaptionerTraining]) -> None:
    training = start()
    drawn = [training.caption_of(1, epoch) for epoch in range(20)]
    assert drawn == [start().caption_of(1, epoch) for epoch in range(20)]
    assert len({tuple(caption) for caption in drawn}) == 2


def test_workers_share_a_global_batch(start: Callable[..., CaptionerTraining]) -> None:
    whole, num_tokens = start().batch(2, 1)
    shares = [start(workers=Workers(rank=rank, size=3)).batch(2, 1) for rank in range(3)]
    assert {count for _, count in shares} == {num_tokens}
    ids = [row[row != PAD].tolist() for share, _ in shares for row in share.word_ids]
    assert ids == [row[row != PAD].tolist() for row in whole.word_ids]


def test_16_pairs_are_learned_word_for_word(dataset: PreparedDataset, tmp_path: Path) -> None:
    config = CaptionTrainingConfig(batch_size=16, learning_rate=2e-2, max_epochs=240)
    model = new_captioner(dataset, replace(MODEL, dropout=0.0, hidden_dim=64, audio_embedding_dim=64), seed=0)
    training = CaptionerTraining(dataset, model, dataset.vocabulary, config, workers=Workers())
    training._captions = [captions[:1] for captions in training._captions]  # one truth each
    for epoch in range(config.max_epochs):
        training.step(epoch, 0)
    training.save_checkpoints(tmp_path, name="learned")
    captioner = Captioner.load(tmp_path / "last")
    features = [np.asarray(dataset.features(example), np.float32) for example in training.train_examples]
    captions = captioner.caption_features(features, DecodingOptions(beam_size=1))
    assert [list(c.words) for c in captions] == [tokenize(e.captions[0]) for e in training.train_examples]


def test_resuming_gives_the_same_weights_bit_for_bit(start: Callable[..., CaptionerTraining], tmp_path: Path) -> None:
    undisturbed = start("attention", max_epochs=4)
    undisturbed.train()
    halves: list[Path] = []

    def stop_after_two(metrics: object, save: Callable[[Path], None]) -> None:
        if not halves and len(interrupted.history) == 2:
            save(tmp_path / "state")
            halves.append(tmp_path / "state")

    interrupted = start("attention", max_epochs=4)
    interrupted.train(stop_after_two)
    resumed = start("attention", max_epochs=4)
    resumed.resume(halves[0])
    assert resumed.epoch == 2
    resumed.train()
    expected = undisturbed.model.state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in resumed.model.state_dict().items())
    assert [row["validation_loss"] for row in resumed.history] == [
        row["validation_loss"] for row in undisturbed.history
    ]


def test_early_stopping_waits_for_its_patience_and_keeps_the_best(
    start: Callable[..., CaptionerTraining], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    training = start(patience=2, max_epochs=50)
    losses = iter([3.0, 2.0, 2.5, 2.4, 1.0])
    monkeypatch.setattr(training, "validate", lambda decode: {"loss": next(losses), "cider": 0.0})
    training.train()
    assert training.epoch == 4
    assert training.best_epoch == 2
    training.save_checkpoints(tmp_path, name="kept")
    best, last = load_checkpoint(tmp_path / "best"), load_checkpoint(tmp_path / "last")
    assert best.card["training"]["epoch"] == 2
    assert best.card["metrics"]["validation_loss"] == 2.0
    assert last.card["training"]["epoch"] == 4
    assert not torch.equal(best.model.output.bias, last.model.output.bias)


def test_validation_reports_loss_and_cider(start: Callable[..., CaptionerTraining]) -> None:
    pytest.importorskip("pycocoevalcap")
    scores = start().validate()
    assert scores["loss"] == pytest.approx(math.log(len(start().vocabulary)), rel=0.3)  # untrained: a guess
    assert 0 <= scores["cider"] <= 10


@pytest.mark.parametrize("mode", ["fine-tuned", "scratch"])
def test_the_extractor_learns_from_excerpts(tmp_path: Path, mode: str) -> None:
    dataset = PreparedDataset(write_dataset(tmp_path / "audio", 4, 2, audio_seconds=7))
    config = CaptionTrainingConfig(batch_size=4, learning_rate=1e-3, extractor_mode=mode, excerpt_seconds=6)
    training = CaptionerTraining(dataset, new_captioner(dataset, MODEL), dataset.vocabulary, config, workers=Workers())
    extractor = training.model.feature_extractor
    weight = extractor.vertical[0].conv.weight.detach().clone()
    statistics = extractor.temporal[0].norm.running_mean.clone()
    training.step(0, 0)
    assert not torch.equal(extractor.vertical[0].conv.weight, weight)
    assert torch.equal(extractor.temporal[0].norm.running_mean, statistics) == (mode == "fine-tuned")
    batch, _ = training.batch(0, 0)
    assert batch.audio.shape == (4, 2, 48_000)
    assert math.isfinite(training.validate(decode=False)["loss"])


def test_features_of_another_extractor_are_refused(dataset: PreparedDataset) -> None:
    wider = replace(MODEL, extractor=replace(EXTRACTOR, num_channels=3))
    model = new_captioner(dataset, wider)
    with pytest.raises(ValueError, match="the model reads"):
        CaptionerTraining(dataset, model, dataset.vocabulary, workers=Workers())


def test_training_the_extractor_needs_audio(dataset: PreparedDataset) -> None:
    config = CaptionTrainingConfig(extractor_mode="scratch")
    with pytest.raises(DatasetError, match="needs audio"):
        CaptionerTraining(dataset, new_captioner(dataset, MODEL), dataset.vocabulary, config, workers=Workers())


def test_impossible_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="extractor_mode must be"):
        CaptionTrainingConfig(extractor_mode="warm")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="needs decode_every=1"):
        CaptionTrainingConfig(monitor="cider", decode_every=2)


def test_growing_keeps_what_old_words_mean(start: Callable[..., CaptionerTraining], tmp_path: Path) -> None:
    training = start("attention")
    training.step(0, 0)
    training.save_checkpoints(tmp_path / "old", name="old")
    before = load_checkpoint(tmp_path / "old" / "last")
    writer = DatasetWriter(tmp_path / "team")
    texts = ["a slow tune for theremin and harp", "a fast polka for theremin and brass"]
    pairs = [Pair(track_id=text, uri=text, captions=(text,), split="train") for text in texts]
    writer.finish(pairs, min_count=1)
    model, vocabulary = grow_captioner(before, PreparedDataset(tmp_path / "team"))
    old = len(before.vocabulary)
    assert vocabulary.words[:old] == before.vocabulary.words
    assert vocabulary.words[old:] == ["theremin", "polka"]
    assert torch.equal(model.word_embedding.weight[:old], before.model.word_embedding.weight)
    assert model.word_embedding.weight[old:].abs().sum(dim=1).min() > 0
    features, mask = torch.randn(2, 3, new_extractor_dim()), torch.ones(2, 3, dtype=torch.bool)
    word_ids = torch.tensor([before.vocabulary.encode(tokenize(text))[:-1] for text in (caption_of(0), caption_of(1))])
    with torch.no_grad():
        then = before.model(features, mask, word_ids)
        now = model.eval()(features, mask, word_ids)
    assert torch.allclose(now[:, :, :old], then, atol=1e-5)


def test_models_train_on_from_what_they_saved(start: Callable[..., CaptionerTraining], tmp_path: Path) -> None:
    training = start("late")
    training.step(0, 0)
    training.save_checkpoints(tmp_path, name="kept")
    loaded = load_checkpoint(tmp_path / "last").model
    assert isinstance(loaded, MusCaps)
    state = training.model.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in loaded.state_dict().items())
