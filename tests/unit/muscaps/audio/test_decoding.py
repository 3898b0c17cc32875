"""Decoding, mixing, resampling and chunking, against generated sound and other decoders."""

import io
import shutil
import subprocess
import threading
from pathlib import Path

import av
import numpy as np
import pytest

from muscaps.audio import (
    PCM_SCALE,
    decode_audio,
    decoding,
)
from muscaps.audio.pyav_reader import pyav_blocks
from tests.hostile_files import encode, encode_with_ffmpeg, notes
from tests.reference_audio import DEMO_TRACKS, RATE, expected_pcm, likeness

LIBSNDFILE_FORMATS = [
    ("WAV", "PCM_U8", 0.99),
    ("WAV", "PCM_16", 0.999),
    ("WAV", "PCM_24", 0.999),
    ("WAV", "PCM_32", 0.999),
    ("WAV", "FLOAT", 0.999),
    ("WAV", "DOUBLE", 0.999),
    ("WAV", "ULAW", 0.99),
    ("WAV", "ALAW", 0.99),
    ("WAV", "MS_ADPCM", 0.98),
    ("WAV", "IMA_ADPCM", 0.98),
    ("WAVEX", "PCM_24", 0.999),
    ("RF64", "PCM_16", 0.999),
    ("W64", "PCM_16", 0.999),
    ("AIFF", "PCM_16", 0.999),
    ("AIFF", "FLOAT", 0.999),
    ("CAF", "PCM_24", 0.999),
    ("CAF", "ALAC_16", 0.999),
    ("AU", "ULAW", 0.99),
    ("FLAC", "PCM_S8", 0.99),
    ("FLAC", "PCM_16", 0.999),
    ("FLAC", "PCM_24", 0.999),
    ("OGG", "VORBIS", 0.9),
    ("OGG", "OPUS", 0.9),
    ("MP3", None, 0.9),
]


@pytest.mark.parametrize(("container", "subtype", "least"), LIBSNDFILE_FORMATS)
def test_formats_written_by_libsndfile_are_decoded(container: str, subtype: str | None, least: float) -> None:
    rate = 48_000 if subtype == "OPUS" else 44_100
    sound = notes(2.0, 1, rate, channels=2)
    decoded = decode_audio(encode(sound, rate, container, subtype))
    assert (decoded.sample_rate, decoded.channels, decoded.damaged) == (rate, 2, None)
    assert decoded.duration_s == pytest.approx(2.0, abs=0.06)
    assert likeness(decoded.pcm, expected_pcm(sound, rate)) > least


FFMPEG_FORMATS = [
    ("wav", "pcm_s64le", None, 44_100),
    ("wav", "pcm_f64le", None, 44_100),
    ("wav", "mp3", 128_000, 44_100),
    ("mp3", "libmp3lame", 128_000, 44_100),
    ("mp2", "mp2", 192_000, 44_100),
    ("adts", "aac", 128_000, 44_100),
    ("ipod", "aac", 128_000, 44_100),
    ("mp4", "aac", 128_000, 44_100),
    ("mov", "pcm_s16be", None, 44_100),
    ("ipod", "alac", None, 44_100),
    ("asf", "wmav1", 128_000, 44_100),
    ("asf", "wmav2", 128_000, 44_100),
    ("ac3", "ac3", 192_000, 48_000),
    ("eac3", "eac3", 192_000, 48_000),
    ("webm", "libopus", 96_000, 48_000),
    ("webm", "vorbis", 128_000, 44_100),
    ("matroska", "pcm_s24le", None, 44_100),
    ("mpegts", "aac", 128_000, 44_100),
    ("avi", "mp3", 128_000, 44_100),
    ("wv", "wavpack", None, 44_100),
    ("tta", "tta", None, 44_100),
]


@pytest.mark.parametrize(("container", "codec", "bit_rate", "rate"), FFMPEG_FORMATS)
def test_formats_written_by_ffmpeg_are_decoded(container: str, codec: str, bit_rate: int | None, rate: int) -> None:
    sound = notes(2.0, 2, rate, channels=2)
    try:
        data = encode_with_ffmpeg(sound, rate, container, codec, bit_rate=bit_rate)
    except (av.FFmpegError, ValueError) as error:
        pytest.skip(f"this FFmpeg does not write {codec} in {container}: {error}")
    decoded = decode_audio(data)
    assert (decoded.sample_rate, decoded.channels, decoded.damaged) == (rate, 2, None)
    assert decoded.duration_s == pytest.approx(2.0, abs=0.1)
    assert likeness(decoded.pcm, expected_pcm(sound, rate)) > 0.9


def test_the_audio_of_a_film_is_decoded() -> None:
    sound = notes(2.0, 3, 44_100, channels=2)
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as film:
        picture = film.add_stream("mpeg4", rate=5)
        picture.width = picture.height = 32
        picture.pix_fmt = "yuv420p"
        track = film.add_stream("aac", rate=44_100, layout="stereo")
        for _ in range(10):
            frame = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="rgb24")
            film.mux(picture.encode(frame))
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(sound.T), format="fltp", layout="stereo")
        frame.sample_rate = 44_100
        film.mux(track.encode(frame))
        film.mux(picture.encode(None))
        film.mux(track.encode(None))
    assert likeness(decode_audio(file.getvalue()).pcm, expected_pcm(sound, 44_100)) > 0.95


@pytest.mark.parametrize("rate", [7_000, 8_000, 11_025, 16_000, 22_050, 35_467, 96_000, 192_000, 384_000])
def test_any_sampling_rate_keeps_pitch_and_length(rate: int) -> None:
    time = np.arange(2 * rate) / rate
    decoded = decode_audio(encode(0.5 * np.sin(2 * np.pi * 1_000 * time), rate, "WAV", "FLOAT"))
    assert abs(len(decoded.pcm) - 2 * RATE) <= 1
    spectrum = np.abs(np.fft.rfft(decoded.pcm[:RATE]))
    assert spectrum.argmax() == 1_000
    assert np.abs(decoded.pcm[4_000:-4_000]).max() == pytest.approx(0.5 * PCM_SCALE, rel=0.01)


@pytest.mark.parametrize("channels", [1, 2, 3, 6, 8])
def test_channels_are_mixed_by_their_mean(channels: int) -> None:
    sound = notes(1.0, 4, RATE, channels)
    decoded = decode_audio(encode(sound, RATE, "WAV", "FLOAT"))
    assert decoded.channels == channels
    np.testing.assert_allclose(decoded.pcm / PCM_SCALE, sound.mean(axis=1), atol=1 / PCM_SCALE)


@pytest.mark.parametrize("channels", [3, 6, 7, 8])
@pytest.mark.parametrize("container", ["OGG", "FLAC"])
def test_compressed_surround_is_mixed_by_its_mean(container: str, channels: int) -> None:
    """With 8 channels, PyAV's own conversion of what FFmpeg decodes crashes the process."""
    sound = notes(2.0, 4, 44_100, channels)
    decoded = decode_audio(encode(sound, 44_100, container))
    assert (decoded.channels, decoded.damaged) == (channels, None)
    assert likeness(decoded.pcm, expected_pcm(sound, 44_100)) > 0.95


def test_16_bit_mono_at_the_target_rate_is_unchanged_bit_for_bit() -> None:
    pcm = np.random.default_rng(5).integers(-PCM_SCALE, PCM_SCALE, 200_000).astype(np.int16)
    for container in ("WAV", "FLAC"):
        np.testing.assert_array_equal(decode_audio(encode(pcm, RATE, container)).pcm, pcm)


def test_streaming_equals_resampling_in_one_piece() -> None:
    sound = notes(20.0, 6, 44_100, channels=2)
    decoded = decode_audio(encode(sound, 44_100, "WAV", "FLOAT"))
    expected = expected_pcm(sound, 44_100)
    assert abs(len(decoded.pcm) - len(expected)) <= 1
    num_samples = min(len(decoded.pcm), len(expected))
    difference = decoded.pcm[:num_samples] / PCM_SCALE - expected[:num_samples]
    assert np.abs(difference).max() < 1e-3


@pytest.mark.parametrize("container", ["WAV", "FLAC", "MP3"])
def test_both_decoders_agree(container: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data = encode(notes(5.0, 7, 44_100, channels=2), 44_100, container)
    first = decode_audio(data).pcm
    monkeypatch.setattr(decoding, "_decoders_for", lambda head: (pyav_blocks,))
    second = decode_audio(data).pcm
    assert len(first) == len(second)
    assert np.abs(first.astype(int) - second).max() <= 2


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs the ffmpeg program to compare with")
@pytest.mark.parametrize("suffix", ["mp3", "ogg", "flac"])
def test_decoded_samples_agree_with_the_ffmpeg_program(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"track.{suffix}"
    path.write_bytes(encode(notes(5.0, 8, RATE, channels=1), RATE, suffix.upper()))
    command = ["ffmpeg", "-v", "error", "-i", str(path), "-f", "f32le", "-"]
    expected = np.frombuffer(subprocess.run(command, capture_output=True, check=True).stdout, np.float32)
    decoded = decode_audio(path).pcm
    assert len(decoded) == len(expected)
    assert np.abs(decoded / PCM_SCALE - expected).max() < 3e-4


@pytest.mark.parametrize("path", DEMO_TRACKS, ids=lambda path: path.stem)
def test_bundled_tracks_are_intact(path: Path) -> None:
    decoded = decode_audio(path)
    assert decoded.damaged is None
    assert 20 <= decoded.duration_s <= 30
    assert len(decoded.pcm) == round(decoded.duration_s * RATE)


def test_a_change_of_the_sampling_rate_is_followed() -> None:
    parts = [notes(seconds, 9, rate, 1) for seconds, rate in ((3.0, 44_100), (5.0, 22_050))]
    data = b"".join(encode(part, rate, "MP3") for part, rate in zip(parts, (44_100, 22_050), strict=True))
    decoded = decode_audio(data)
    assert decoded.duration_s == pytest.approx(8.0, abs=0.3)
    assert decoded.sample_rate == 22_050
    assert len(decoded.pcm) == pytest.approx(8.0 * RATE, abs=0.3 * RATE)


def test_chained_ogg_is_decoded_to_its_end() -> None:
    data = b"".join(encode(notes(2.0, seed, 44_100, 2), 44_100, "OGG") for seed in (1, 2, 3))
    assert decode_audio(data).duration_s == pytest.approx(6.0, abs=0.2)


def test_a_source_may_be_bytes_a_path_or_a_file(tmp_path: Path) -> None:
    data = encode(notes(1.0, 10, RATE), RATE, "WAV")
    path = tmp_path / "no suffix"
    path.write_bytes(data)
    expected = decode_audio(data).pcm
    with open(path, "rb") as file:
        file.seek(17)
        for source in (bytearray(data), memoryview(data), path, str(path), io.BytesIO(data), file):
            np.testing.assert_array_equal(decode_audio(source).pcm, expected)
        assert not file.closed


def test_a_file_that_does_not_seek_is_an_error() -> None:
    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

    with pytest.raises(ValueError, match="seekable"):
        decode_audio(Pipe(b"RIFF"))


def test_an_error_of_the_storage_is_not_taken_for_damage() -> None:
    class Unplugged(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            if self.tell() >= 40_000:
                raise ConnectionResetError("the line went dead")
            return super().read(size)

    for container in ("WAV", "FLAC", "OGG"):
        data = encode(np.random.default_rng(0).uniform(-1, 1, (150_000, 2)), 44_100, container)
        assert len(data) > 50_000
        with pytest.raises(ConnectionResetError, match="line went dead"):
            decode_audio(Unplugged(data))


def test_a_missing_file_raises_what_open_raises(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        decode_audio(tmp_path / "none.mp3")


def test_decoding_in_threads_gives_the_same_result() -> None:
    data = [encode(notes(3.0, seed, 44_100, 2), 44_100, kind) for seed, kind in enumerate(["MP3", "FLAC", "OGG"])]
    expected = [decode_audio(item).pcm for item in data]
    same: list[bool] = []

    def work(index: int) -> None:
        same.append(np.array_equal(decode_audio(data[index % 3]).pcm, expected[index % 3]))

    threads = [threading.Thread(target=work, args=(index,)) for index in range(9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert same == [True] * 9
