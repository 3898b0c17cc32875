"""Silent and almost silent tracks are errors; quiet and short music is not."""

import numpy as np
import pytest

from muscaps.audio import AudioError, decode_audio
from muscaps.audio.silence import AUDIBLE_RMS, LevelMeter
from tests.hostile_files import encode, notes
from tests.reference_audio import RATE

RNG = np.random.default_rng(5)
SILENT = {
    "digital silence": np.zeros(20 * RATE),
    "dither": RNG.integers(-1, 2, 20 * RATE) / 32_768,
    "noise at -60 dBFS": 0.001 * RNG.standard_normal(20 * RATE),
    "hum at -63 dBFS": 0.001 * np.sin(2 * np.pi * 50 / RATE * np.arange(20 * RATE)),
    "a constant offset": np.full(20 * RATE, 0.02),
    "one click": np.where(np.arange(20 * RATE) == 5 * RATE, 0.9, 0.0),
    "music at -70 dBFS": notes(20.0, 7, RATE)[:, 0] * 1e-3,
}
AUDIBLE = {
    "music at -40 dBFS": notes(20.0, 7, RATE)[:, 0] * 0.03,
    "noise at -50 dBFS": 0.00316 * RNG.standard_normal(20 * RATE),
    "half a second of music in a minute": np.pad(notes(0.6, 8, RATE)[:, 0], (30 * RATE, 30 * RATE)),
    "one short drum beat": notes(0.6, 9, RATE)[:, 0] * np.exp(-np.arange(9_600) / 800),
}


@pytest.mark.parametrize("name", SILENT)
def test_a_silent_track_is_an_error_unless_allowed(name: str) -> None:
    data = encode(SILENT[name].astype(np.float32), RATE, "FLAC")
    with pytest.raises(AudioError, match="silent") as caught:
        decode_audio(data)
    assert caught.value.error_type == "silent"
    with pytest.raises(AudioError, match="silent"):
        decode_audio(data, chunk_samples=8_000, max_chunks=3, only_needed=True)
    assert decode_audio(data, allow_silence=True).duration_s == 20.0


@pytest.mark.parametrize("name", AUDIBLE)
def test_quiet_and_short_music_is_not_silence(name: str) -> None:
    data = encode(AUDIBLE[name].astype(np.float32), RATE, "FLAC")
    assert decode_audio(data).duration_s == len(AUDIBLE[name]) / RATE


def test_the_level_does_not_depend_on_how_the_pcm_is_cut() -> None:
    pcm = (notes(3.0, 4, RATE)[:, 0] * np.linspace(0, 3_000, 48_000)).astype(np.int16)
    whole, pieces = LevelMeter(RATE), LevelMeter(RATE)
    whole.add(pcm)
    for start in range(0, len(pcm), 777):
        pieces.add(pcm[start : start + 777])
    assert (pieces.audible_seconds, pieces.peak) == (whole.audible_seconds, whole.peak)
    assert 0 < whole.audible_seconds < 3


def test_less_than_a_block_is_judged_by_its_peak() -> None:
    for peak, is_silent in ((AUDIBLE_RMS - 1, True), (AUDIBLE_RMS + 1, False)):
        meter = LevelMeter(RATE)
        meter.add(np.full(100, peak, np.int16))
        assert meter.is_silent == is_silent


@pytest.mark.parametrize("audible_end", [0, 1_600])
def test_an_almost_silent_last_chunk_is_left_out(audible_end: int) -> None:
    """A caption must not depend on it; what is kept before it, duration and coverage stay."""
    music = notes(9.0, 10, RATE)[:, 0]
    sound = np.concatenate([music, music[:audible_end], np.zeros(7 * RATE - audible_end, np.float32)])
    decoded = decode_audio(encode(sound, RATE, "WAV"), chunk_samples=48_000, max_chunks=20)
    np.testing.assert_array_equal(decoded.pcm, decode_audio(encode(music, RATE, "WAV")).pcm)
    assert (decoded.duration_s, decoded.coverage, decoded.chunk_indices) == (16.0, 1.0, None)
    chosen = decode_audio(encode(sound, RATE, "WAV"), chunk_samples=16_000, max_chunks=8)
    assert chosen.chunk_indices == (1, 3, 5, 7)
    assert len(chosen.pcm) == 4 * 16_000


def test_an_incomplete_last_chunk_is_kept_with_music_and_dropped_with_silence() -> None:
    music = notes(7.0, 11, RATE)[:, 0]
    data = encode(music, RATE, "WAV")
    assert len(decode_audio(data, chunk_samples=48_000, max_chunks=20).pcm) == 7 * RATE
    data = encode(np.where(np.arange(7 * RATE) < 48_000, music, 0), RATE, "WAV")
    assert len(decode_audio(data, chunk_samples=48_000, max_chunks=20).pcm) == 48_000
