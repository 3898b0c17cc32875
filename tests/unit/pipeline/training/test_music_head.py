"""The head that separates music from speech and noise, and the sounds that it is trained on."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from muscaps.captioner import Captioner
from muscaps.checkpoint import load_checkpoint, save_checkpoint
from muscaps.tagger import TagHeads
from muscaps.tags import MUSIC
from pipeline.training.bundled import other_sounds
from pipeline.training.bundled.card import save_changed
from pipeline.training.bundled.music_head import fit_music_head, share_below, with_music_head

WIDTH = 6


def sounds(count: int, centre: float, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(centre, 1, (count, WIDTH)).astype(np.float32)


def heads(width: int) -> TagHeads:
    return TagHeads(
        names=(("mood", "dark"), ("vocals", "none")),
        weight=torch.ones(2, width),
        bias=torch.zeros(2),
        card={"training_tracks": 3},
    )


def test_music_scores_above_other_sounds_although_there_is_less_of_it() -> None:
    head = fit_music_head(sounds(20, 2, 0), sounds(200, -2, 1))
    assert share_below(head, sounds(100, 2, 2)) < 0.05
    assert share_below(head, sounds(100, -2, 3)) > 0.95


def test_the_head_is_added_and_then_replaced() -> None:
    first = fit_music_head(sounds(20, 2, 0), sounds(20, -2, 1))
    second = fit_music_head(sounds(20, 2, 4), sounds(20, -2, 5))
    once = with_music_head(heads(WIDTH), first, {"noise": "a"})
    twice = with_music_head(once, second, {"noise": "b"})
    assert twice.names == (("mood", "dark"), ("vocals", "none"), MUSIC)
    np.testing.assert_allclose(twice.weight[2], second.weight[0], rtol=1e-5)
    assert twice.card == {"training_tracks": 3, "music_head": {"noise": "b"}}


def test_a_captioner_keeps_everything_but_its_id(tiny_checkpoint: Path, tmp_path: Path) -> None:
    plain = load_checkpoint(tiny_checkpoint)
    tagger = heads(plain.model.feature_extractor.feature_dim)
    save_checkpoint(
        tmp_path / "tagged", plain.model, plain.vocabulary, name="tagged", training={}, metrics={"a": 1}, tagger=tagger,
        sections={"decoding": {"word_reward": 0.5}, "notices": ["a licence"]},
    )  # fmt: skip
    before = load_checkpoint(tmp_path / "tagged")
    head = fit_music_head(*(np.eye(tagger.feature_dim, dtype=np.float32)[place : place + 3] for place in (0, 3)))
    new_id = save_changed(before, tmp_path / "new", tagger=with_music_head(tagger, head, {}))
    after = load_checkpoint(tmp_path / "new")
    assert after.model_id == new_id != before.model_id
    without = {key: value for key, value in after.card.items() if key != "tagger"}
    assert without == {key: value for key, value in before.card.items() if key != "tagger"}
    wave = np.sin(np.arange(48_000) / 20).astype(np.float32)
    captions = [Captioner(part).caption([wave])[0] for part in (before, after)]
    assert captions[0].text == captions[1].text
    assert captions[0].log_prob == captions[1].log_prob


@pytest.mark.parametrize("number", range(len(other_sounds.KINDS)))
def test_noise_is_audible_finite_and_the_same_each_time(number: int) -> None:
    wave, again = (list(other_sounds.noise(number + 1))[number] for _ in range(2))
    assert wave.shape == (other_sounds.NUM_SAMPLES,)
    assert np.isfinite(wave).all()
    assert 0.03 < np.abs(wave).max() <= 1
    np.testing.assert_array_equal(wave, again)


def test_speech_without_espeak_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(ValueError, match="apt install espeak-ng"):
        next(other_sounds.speech(1))


@pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="needs espeak-ng")
def test_voices_differ() -> None:
    first, second = other_sounds.speech(2)
    assert first.shape == second.shape == (other_sounds.NUM_SAMPLES,)
    assert not np.array_equal(first, second)
