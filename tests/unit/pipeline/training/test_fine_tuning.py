"""Fine-tuning without Ray: replay, blend, comparison in the card, folds."""

import contextlib
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from muscaps.checkpoint import load_checkpoint
from muscaps.training.captioner_config import CaptionTrainingConfig
from muscaps.training.captioner_objective import CaptionerObjective
from muscaps.training.checkpoints import save_captioners
from muscaps.training.dataset.feature_cache import extractor_digest
from muscaps.training.dataset.reader import PreparedDataset
from muscaps.training.initial_captioner import new_captioner
from muscaps.training.loop import TrainingLoop
from pipeline.training import captioner_run
from pipeline.training.captioner_run import CaptionRun, train_captioner
from pipeline.training.fine_tuning import kept_sections, read_replay, read_tested
from tests.training_data import MODEL, write_dataset

CONFIG = CaptionTrainingConfig(batch_size=8, learning_rate=1e-3, max_epochs=2, learn_unknown=False)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CaptionRun:
    """Fine-tuning of an untrained captioner, with a training that stays in this process."""
    torch.set_num_threads(1)
    dataset = PreparedDataset(write_dataset(tmp_path / "dataset"))
    model = new_captioner(dataset, MODEL, seed=1)
    card = {**dataset.card, "extractor": extractor_digest(model.feature_extractor)}
    (dataset.directory / "dataset.json").write_text(json.dumps(card))
    save_captioners(
        TrainingLoop(CaptionerObjective(dataset, model, dataset.vocabulary, CONFIG)), tmp_path / "start", name="start"
    )

    def fit(worker: Any, run: CaptionRun, output: Path, hardware: object, on_epoch: object) -> Path:
        worker({"run": run, "folder": output / "ray"})
        return output / "ray"

    def train(loop: TrainingLoop[Any], config: dict[str, Any], save_models: Any) -> None:
        loop.train()
        config["folder"].mkdir(parents=True)
        save_models(config["folder"])
        (config["folder"] / "history.json").write_text(json.dumps(loop.counters.history))

    @contextlib.contextmanager
    def no_session(*_: object, **__: object) -> Iterator[None]:
        yield

    @contextlib.contextmanager
    def folder(result: Path) -> Iterator[Path]:
        yield result

    monkeypatch.setattr(captioner_run, "fit", fit)
    monkeypatch.setattr(captioner_run, "train_in_worker", train)
    monkeypatch.setattr(captioner_run, "set_up_worker", lambda config: "cpu")
    monkeypatch.setattr(captioner_run, "ray_session", no_session)
    monkeypatch.setattr(captioner_run, "last_checkpoint", folder)
    monkeypatch.setattr(captioner_run, "write_curve", lambda *_: None)
    return CaptionRun(
        dataset=dataset.directory, output=tmp_path / "out", config=CONFIG, start=tmp_path / "start" / "last"
    )


def test_folds_test_every_pair_once_and_the_card_has_the_verdict(run: CaptionRun) -> None:
    dataset = PreparedDataset(run.dataset)
    found = train_captioner(replace(run, folds=3))
    assert found["comparison"]["num_pairs"] == len(dataset.examples)
    assert found["comparison"]["tested_on"].startswith("3 folds")
    tested = [track.track_id for fold in "123" for track in read_tested(run.output / "folds" / fold)]
    assert sorted(tested) == sorted(example.track_id for example in dataset.examples)
    card = load_checkpoint(run.output / "best").card
    assert card["comparison"]["verdict"] in ("better", "worse", "cannot tell")
    assert card["comparison"]["started_from"] == load_checkpoint(run.start or "").model_id
    assert card["training"]["blend_trials"]


def test_every_track_is_replayed_with_its_caption_before_training(run: CaptionRun) -> None:
    train_captioner(replace(run, blend=1.0))
    replay = read_replay(run.output)
    assert set(replay) == {example.track_id for example in PreparedDataset(run.dataset).examples}


def test_a_blend_of_the_whole_training_has_its_weights(run: CaptionRun) -> None:
    train_captioner(replace(run, blend=1.0))
    best, trained = load_checkpoint(run.output / "best"), load_checkpoint(run.output / "ray" / "best")
    for name, value in trained.model.state_dict().items():
        assert torch.allclose(best.model.state_dict()[name], value, atol=1e-6)
    assert best.card["training"]["blend"] == 1.0
    assert best.card["decoding"] == trained.card["decoding"]


def test_folds_without_a_captioner_to_start_from_are_refused(run: CaptionRun) -> None:
    with pytest.raises(ValueError, match="give start"):
        replace(run, start=None, extractor=run.start, folds=3)


def test_phrases_of_own_captions_are_no_longer_excluded() -> None:
    card = {"decoding": {"word_reward": 0.8, "excluded_phrases": ["bright", "solo choir", "and * and", "marching"]}}
    captions = ["A Bright tune, with choir.", "Drums and bass and guitar.", "A solo for choir."]
    kept = kept_sections(card, captions)["decoding"]
    assert kept == {"word_reward": 0.8, "excluded_phrases": ["solo choir", "marching"]}
    assert kept_sections(card) == card
    assert kept_sections({"notices": []}, captions) == {"notices": []}
