"""Tracks as callers pass them: types, rates, files, and one clear error for anything else."""

from pathlib import Path

import numpy as np
import pytest
import torch

from muscaps import AudioError, Captioner
from muscaps.waveforms import as_waveforms

RATE = 16_000


def tone(rate: int = RATE, seconds: float = 3.5) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * 220 * np.arange(int(seconds * rate)) / rate)).astype(np.float32)


def one(track: object, sample_rate: float | None = None) -> np.ndarray:
    [waveform] = as_waveforms([track], sample_rate=sample_rate, model_rate=RATE)  # type: ignore[list-item]
    return waveform


@pytest.mark.parametrize(
    "change", [np.float64, np.float16, list, tuple, torch.from_numpy], ids=lambda change: change.__name__
)
def test_floats_of_any_kind_are_one_waveform(change: object) -> None:
    wave = tone()
    given = wave.astype(change) if isinstance(change, type) and issubclass(change, np.generic) else change(wave)  # type: ignore[operator]
    found = one(given)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, wave, atol=1e-3)


def test_a_waveform_of_another_rate_is_resampled() -> None:
    found = one(tone(44_100), sample_rate=44_100)
    np.testing.assert_allclose(found[1000:-1000], tone()[1000 : len(found) - 1000], atol=1e-3)


def test_int16_of_another_rate_stays_int16() -> None:
    assert one((tone(44_100) * 32767).astype(np.int16), sample_rate=44_100).dtype == np.int16


def test_int16_beside_floats_becomes_floats() -> None:
    pcm = (tone() * 32767).astype(np.int16)
    waves = as_waveforms([pcm, tone()], sample_rate=None, model_rate=RATE)
    assert [wave.dtype for wave in waves] == [np.float32, np.float32]
    np.testing.assert_allclose(waves[0], waves[1], atol=1e-3)


def test_paths_and_bytes_are_decoded_at_their_own_rate(tone_files: list[Path]) -> None:
    path = tone_files[1]
    waves = as_waveforms([path, str(path), path.read_bytes()], sample_rate=44_100, model_rate=RATE)
    assert [len(wave) for wave in waves] == [3 * RATE] * 3


def test_a_file_that_is_no_audio_is_named(tmp_path: Path) -> None:
    path = tmp_path / "notes.wav"
    path.write_text("buy milk")
    with pytest.raises(AudioError, match=r"notes\.wav: "):
        one(path)


@pytest.mark.parametrize(
    ("tracks", "message"),
    [
        (tone(), r"not an array of shape \(56000,\): write \[waveform\]"),
        (np.array(0.5), "not an array of shape"),
        (torch.zeros(5), "not an array of shape"),
        ([0.1, 0.2], "not a list of numbers"),
        ("song.mp3", r"not one str: write \[track\]"),
        (b"RIFF", "not one bytes"),
        (5, "expected a list of tracks, not int"),
        ([np.array(0.5)], "not a single number"),
        ([None], "not NoneType"),
        ([3], "not a list of numbers"),
        ([{"a": 1}], "not dict"),
        ([np.zeros(9, np.int32)], "floats in .* or int16, not int32"),
        ([np.zeros(9, np.complex64)], "not complex64"),
        ([[[0.1], [0.1, 0.2]]], "not this list"),
    ],
)
def test_anything_else_is_one_clear_type_error(tracks: object, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        as_waveforms(tracks, sample_rate=None, model_rate=RATE)  # type: ignore[arg-type]


@pytest.mark.parametrize("rate", [0, -1.0, float("nan")])
def test_a_rate_must_be_positive(rate: float) -> None:
    with pytest.raises(ValueError, match="sample_rate must be positive"):
        one(tone(), sample_rate=rate)


def test_stereo_is_refused_with_the_remedy() -> None:
    with pytest.raises(ValueError, match="average the channels first"):
        one(np.zeros((2, 48_000), np.float32))


def test_a_captioner_takes_paths_and_rates(tiny_checkpoint: Path, tone_files: list[Path]) -> None:
    captioner = Captioner.load(tiny_checkpoint)
    [by_path] = captioner.caption([tone_files[3]])
    [by_rate] = captioner.caption([np.repeat(tone(), 2)], sample_rate=2 * RATE)
    assert by_path.text and by_rate.text
    assert "tiny" in repr(captioner)


def test_a_number_in_place_of_options_is_a_type_error(tiny_checkpoint: Path) -> None:
    with pytest.raises(TypeError, match="sample_rate="):
        Captioner.load(tiny_checkpoint).caption([tone()], 44_100)  # type: ignore[arg-type]
