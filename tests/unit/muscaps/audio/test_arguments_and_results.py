"""Arguments, results and errors of `decode_audio` and `load_audio`."""

import io
import pickle

import numpy as np
import pytest
import soundfile

from muscaps.audio import (
    PCM_SCALE,
    AudioError,
    DecodedAudio,
    decode_audio,
    load_audio,
)
from tests.hostile_files import encode, notes
from tests.reference_audio import RATE


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"sample_rate": 0}, "sample_rate must be at least 1"),
        ({"max_chunks": 3}, "max_chunks=3 needs chunk_samples"),
        ({"chunk_samples": 0}, "chunk_samples must be at least 1"),
        ({"chunk_samples": 10, "max_chunks": 0}, "max_chunks must be at least 1"),
        ({"chunk_samples": 10, "only_needed": True}, "only_needed=True needs max_chunks"),
        ({"min_seconds": 5.0, "max_seconds": 2.0}, "min_seconds=5.0"),
    ],
)
def test_invalid_arguments_are_errors(arguments: dict[str, float], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint) as caught:
        decode_audio(b"", **arguments)
    assert not isinstance(caught.value, AudioError)


def test_load_audio_takes_short_and_silent_tracks() -> None:
    waveform = load_audio(encode(np.zeros(1_600, np.float32), RATE, "WAV"))
    assert (waveform.dtype, waveform.shape) == (np.float32, (1_600,))


def test_load_audio_is_the_pcm_over_its_scale() -> None:
    data = encode(notes(1.0, 12, 44_100, 2), 44_100, "FLAC")
    waveform = load_audio(data)
    np.testing.assert_array_equal(waveform, decode_audio(data).pcm / np.float32(PCM_SCALE))
    assert np.abs(waveform).max() <= 1.0


def test_load_audio_resamples_to_the_rate_asked_for() -> None:
    assert len(load_audio(encode(notes(1.0, 13, 44_100), 44_100, "WAV"), sample_rate=22_050)) == 22_050


def test_results_and_errors_pickle() -> None:
    decoded = decode_audio(encode(notes(1.0, 14, RATE), RATE, "WAV"))
    again = pickle.loads(pickle.dumps(decoded))
    assert isinstance(again, DecodedAudio)
    np.testing.assert_array_equal(again.pcm, decoded.pcm)
    error = pickle.loads(pickle.dumps(AudioError("silent", "The file is silent.")))
    assert (error.error_type, str(error)) == ("silent", "The file is silent.")


def test_soundfile_reads_what_the_tests_write() -> None:
    """The generators of the tests themselves: what is encoded is what was meant."""
    sound = notes(1.0, 15, 44_100, 2)
    decoded, rate = soundfile.read(io.BytesIO(encode(sound, 44_100, "WAV", "FLOAT")), dtype="float32")
    assert rate == 44_100
    np.testing.assert_array_equal(decoded, sound)
