"""Disturbed log-mels: bounded, repeatable, and physically sensible."""

import numpy as np
import pytest
import torch

from muscaps.training.augmentation import (
    NO_AUGMENTATION,
    SILENCE_DB,
    AugmentationConfig,
    Augmenter,
    augmented_chunks,
    frames_needed,
    pitch_warps,
)

FRAMES = 60


def generators(count: int, seed: int = 0) -> list[np.random.Generator]:
    return [np.random.default_rng([seed, index]) for index in range(count)]


def excerpts(count: int, config: AugmentationConfig) -> torch.Tensor:
    torch.manual_seed(0)
    return 15 * torch.randn(count, frames_needed(FRAMES, config), 96) - 30


def test_nothing_changes_when_everything_is_off() -> None:
    augmenter, batch = Augmenter(NO_AUGMENTATION, FRAMES), excerpts(3, NO_AUGMENTATION)
    resampled = augmenter.resample(batch, generators(3))
    mixed, chosen = augmenter.mix(resampled, resampled.flip(0), generators(3))
    result = augmenter.augment(mixed, generators(3))
    assert torch.allclose(result, batch[:, :FRAMES].clamp(min=SILENCE_DB), atol=1e-4)
    assert not chosen.any()


def test_disturbances_stay_finite_even_on_silence() -> None:
    config = AugmentationConfig(
        mix_probability=1,
        equaliser_probability=1,
        band_limit_probability=1,
        noise_probability=1,
        room_probability=1,
        dynamics_probability=1,
        mask_probability=1,
    )
    augmenter = Augmenter(config, FRAMES)
    for batch in (excerpts(8, config), torch.full((8, frames_needed(FRAMES, config), 96), SILENCE_DB)):
        first = augmenter.resample(batch, generators(8))
        mixed, chosen = augmenter.mix(first, first.flip(0), generators(8))
        result = augmenter.augment(mixed, generators(8))
        assert chosen.all()
        assert result.shape == (8, FRAMES, 96)
        assert bool(result.isfinite().all())
        assert float(result.min()) >= SILENCE_DB


def test_an_example_is_disturbed_the_same_whatever_shares_its_batch() -> None:
    config = AugmentationConfig()
    augmenter, batch = Augmenter(config, FRAMES), excerpts(4, config)
    together = augmenter.augment(augmenter.resample(batch, (g := generators(4))), g)
    alone = augmenter.augment(augmenter.resample(batch[2:3], (g := generators(4)[2:3])), g)
    assert torch.allclose(together[2:3], alone, atol=1e-4)


def test_adding_a_clip_to_itself_at_the_same_level_adds_three_decibels() -> None:
    config = AugmentationConfig(mix_probability=1, mix_gain_db=(0, 0))
    batch = excerpts(2, config)[:, :FRAMES]
    mixed, _ = Augmenter(config, FRAMES).mix(batch, batch, generators(2))
    assert torch.allclose(mixed, batch + 10 * np.log10(2), atol=1e-3)


def test_pitch_warps_move_a_partial_by_the_interval() -> None:
    [up, same] = pitch_warps(np.array([12.0, 0.0]))
    mels = 2595 * np.log10(1 + 8000 / 700)
    centres = 700 * (10 ** (np.linspace(0, mels, 98)[1:-1] / 2595) - 1)
    spectrum = torch.zeros(96)
    spectrum[int(np.abs(centres - 440).argmin())] = 1
    assert torch.allclose(spectrum @ same, spectrum, atol=1e-3)
    found = float(centres[int((spectrum @ up).argmax())])
    assert found == pytest.approx(880, rel=0.05)


def test_a_tracks_chunks_share_one_disturbance() -> None:
    chunk = 15 * torch.randn(1, 1, 96, 188) - 30
    quiet = AugmentationConfig(noise_probability=0, mix_probability=0, mask_probability=0, max_tempo_change=0)
    result = augmented_chunks(chunk.repeat(3, 1, 1, 1), (1, 2), quiet)
    assert result.shape == (3, 1, 96, 188)
    assert torch.equal(result[0], result[2])
    assert not torch.allclose(result[0], chunk[0], atol=0.5)
    assert torch.equal(result, augmented_chunks(chunk.repeat(3, 1, 1, 1), (1, 2), quiet))
    assert not torch.equal(result, augmented_chunks(chunk.repeat(3, 1, 1, 1), (1, 3), quiet))


def test_probabilities_outside_0_to_1_are_refused() -> None:
    with pytest.raises(ValueError, match="noise_probability must lie in 0 to 1, not 2"):
        AugmentationConfig(noise_probability=2)
