"""Decoding, mixing, resampling and chunking, against generated sound and other decoders."""

import dataclasses
import io
import pickle
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
import soxr

from muscaps.audio import (
    PCM_SCALE,
    AudioError,
    DecodedAudio,
    decode_audio,
    decoding,
    load_audio,
    needed_chunks,
    soundfile_reader,
    to_chunks,
)
from muscaps.audio.pyav_reader import pyav_blocks
from tests.hostile_files import encode, encode_with_ffmpeg, notes

RATE = 16_000
DEMO_TRACKS = sorted((Path(__file__).parents[3] / "jobs" / "demo_tracks").glob("*.opus"))


def likeness(heard: np.ndarray, expected: np.ndarray) -> float:
    """Correlation of two signals at the best lag within 4,000 samples (codecs delay what they encode)."""
    num_samples = min(len(heard), len(expected))
    a, b = heard[:num_samples].astype(np.float64), expected[:num_samples].astype(np.float64)
    spectrum = np.fft.rfft(a, 2 * num_samples) * np.conj(np.fft.rfft(b, 2 * num_samples))
    correlation = np.fft.irfft(spectrum)
    near = np.concatenate([correlation[:4_000], correlation[-4_000:]])
    return float(near.max() / np.sqrt((a @ a) * (b @ b)))


def expected_pcm(sound: np.ndarray, sample_rate: int) -> np.ndarray:
    """Mean of the channels, resampled in one piece, (samples,)."""
    return soxr.resample(sound.mean(axis=1), sample_rate, RATE, quality="HQ")


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
def test_formats_libsndfile_writes_are_decoded(container: str, subtype: str | None, least: float) -> None:
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
def test_formats_ffmpeg_writes_are_decoded(container: str, codec: str, bit_rate: int | None, rate: int) -> None:
    sound = notes(2.0, 2, rate, channels=2)
    try:
        data = encode_with_ffmpeg(sound, rate, container, codec, bit_rate=bit_rate)
    except (av.FFmpegError, ValueError) as error:
        pytest.skip(f"this FFmpeg does not write {codec} in {container}: {error}")
    decoded = decode_audio(data)
    assert (decoded.sample_rate, decoded.channels, decoded.damaged) == (rate, 2, None)
    assert decoded.duration_s == pytest.approx(2.0, abs=0.1)
    assert likeness(decoded.pcm, expected_pcm(sound, rate)) > 0.9


def test_sound_of_a_film_is_decoded() -> None:
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


def test_16_bit_mono_at_the_target_rate_comes_through_bit_for_bit() -> None:
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
def test_bundled_tracks_are_sound(path: Path) -> None:
    decoded = decode_audio(path)
    assert decoded.damaged is None
    assert 20 <= decoded.duration_s <= 30
    assert len(decoded.pcm) == round(decoded.duration_s * RATE)


def test_sampling_rate_changing_on_the_way_is_followed() -> None:
    parts = [notes(seconds, 9, rate, 1) for seconds, rate in ((3.0, 44_100), (5.0, 22_050))]
    data = b"".join(encode(part, rate, "MP3") for part, rate in zip(parts, (44_100, 22_050), strict=True))
    decoded = decode_audio(data)
    assert decoded.duration_s == pytest.approx(8.0, abs=0.3)
    assert decoded.sample_rate == 22_050
    assert len(decoded.pcm) == pytest.approx(8.0 * RATE, abs=0.3 * RATE)


def test_chained_ogg_is_heard_to_its_end() -> None:
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


def test_a_file_that_does_not_seek_is_refused() -> None:
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


def test_many_threads_decode_alike() -> None:
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


# Evenly spaced chunks.


def numbered(num_chunks: int, chunk_samples: int, rest: int = 0) -> bytes:
    """WAV whose every sample says which chunk it is in."""
    pcm = np.repeat(np.arange(num_chunks, dtype=np.int16), chunk_samples)
    return encode(np.concatenate([pcm, np.full(rest, num_chunks, np.int16)]), RATE, "WAV")


@pytest.mark.parametrize("max_chunks", [1, 2, 3, 7, 50, 100])
@pytest.mark.parametrize("num_chunks", [101, 250, 401, 402, 999, 1_000])
def test_kept_chunks_are_whole_in_order_and_evenly_spaced(num_chunks: int, max_chunks: int) -> None:
    decoded = decode_audio(numbered(num_chunks, 1_000, rest=300), chunk_samples=1_000, max_chunks=max_chunks)
    chunks = to_chunks(decoded.pcm, 1_000)
    assert decoded.chunk_indices == tuple(chunks[:, 0])
    assert (chunks == chunks[:, :1]).all()
    assert len(chunks) == max_chunks
    assert decoded.coverage == pytest.approx(max_chunks / num_chunks)
    assert decoded.duration_s == pytest.approx((num_chunks * 1_000 + 300) / RATE)
    middles = (np.arange(max_chunks) + 0.5) * num_chunks / max_chunks
    assert np.abs(chunks[:, 0] - middles).max() <= 0.25 * num_chunks / max_chunks + 1


@pytest.mark.parametrize("rest", [0, 1, 999])
def test_a_track_of_no_more_chunks_is_kept_whole(rest: int) -> None:
    data = numbered(50, 1_000, rest)
    decoded = decode_audio(data, chunk_samples=1_000, max_chunks=50)
    np.testing.assert_array_equal(decoded.pcm, decode_audio(data).pcm)
    assert (decoded.coverage, decoded.chunk_indices) == (1.0, None)


def test_a_track_shorter_than_a_chunk_is_kept_whole() -> None:
    decoded = decode_audio(numbered(12, 1_000), chunk_samples=48_000, max_chunks=3)
    assert (len(decoded.pcm), decoded.coverage) == (12_000, 1.0)


def test_kept_chunks_do_not_depend_on_what_the_header_says() -> None:
    data = bytearray(encode(notes(30.0, 11, RATE), RATE, "FLAC"))
    honest = decode_audio(bytes(data), chunk_samples=8_000, max_chunks=5)
    data[21:26] = (int.from_bytes(data[21:26], "big") & ~((1 << 36) - 1)).to_bytes(5, "big")  # length unknown
    silent_about_it = decode_audio(bytes(data), chunk_samples=8_000, max_chunks=5)
    np.testing.assert_array_equal(honest.pcm, silent_about_it.pcm)
    assert honest.chunk_indices == silent_about_it.chunk_indices


# Only the chunks that are needed.

CHUNK = 8_000  # half a second


@pytest.fixture
def frames_read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Frames libsndfile decodes, block by block."""
    read: list[int] = []
    real = soundfile_reader.next_blocks

    def counted(file: soundfile.SoundFile, frames: int) -> Iterator[np.ndarray]:
        for block in real(file, frames):
            read.append(len(block))
            yield block

    for module in (soundfile_reader, needed_chunks):
        monkeypatch.setattr(module, "next_blocks", counted)
    return read


def steps_apart(pcm: np.ndarray, expected: np.ndarray) -> int:
    assert pcm.shape == expected.shape
    return int(np.abs(pcm.astype(int) - expected).max())


SEEKABLE = [  # and the largest share of the track that may be decoded
    ("WAV", "PCM_16", 44_100, 2, 0.4),
    ("WAV", "PCM_24", 48_000, 2, 0.4),
    ("WAV", "FLOAT", 96_000, 3, 0.4),
    ("WAV", "FLOAT", 35_467, 1, 0.9),  # coincides with the target rate only once a second
    ("WAV", "MS_ADPCM", 44_100, 2, 0.4),
    ("AIFF", "PCM_16", 22_050, 2, 0.4),
    ("CAF", "ALAC_16", 44_100, 2, 0.4),
    ("AU", "ULAW", 8_000, 1, 0.4),
    ("FLAC", "PCM_16", 44_100, 2, 0.4),
    ("FLAC", "PCM_24", 48_000, 1, 0.4),
    ("MP3", None, 44_100, 2, 0.7),  # needs frames before each chunk
    ("MP3", None, 22_050, 1, 0.7),
]


@pytest.mark.parametrize(("container", "subtype", "rate", "channels", "most"), SEEKABLE)
def test_needed_chunks_are_those_of_the_whole_track(
    container: str, subtype: str | None, rate: int, channels: int, most: float, frames_read: list[int]
) -> None:
    data = encode(notes(12.2, 40, rate, channels), rate, container, subtype)
    decoded = decode_audio(data, chunk_samples=CHUNK, max_chunks=6, only_needed=True)
    assert sum(frames_read) < most * 12.2 * rate
    whole = decode_audio(data, chunk_samples=CHUNK, max_chunks=6)
    assert decoded.chunk_indices == whole.chunk_indices == (2, 6, 10, 14, 18, 22)
    assert dataclasses.replace(decoded, pcm=whole.pcm) == whole
    assert steps_apart(decoded.pcm, whole.pcm) <= 1  # resampled in other blocks, a sum may round the other way


@pytest.mark.parametrize("container", ["WAV", "FLAC"])
def test_needed_chunks_at_the_target_rate_come_through_bit_for_bit(container: str) -> None:
    pcm = np.random.default_rng(41).integers(-PCM_SCALE, PCM_SCALE, 40 * CHUNK).astype(np.int16)
    decoded = decode_audio(encode(pcm, RATE, container), chunk_samples=CHUNK, max_chunks=3, only_needed=True)
    np.testing.assert_array_equal(to_chunks(decoded.pcm, CHUNK), to_chunks(pcm, CHUNK)[[6, 20, 33]])


@pytest.mark.parametrize("bare", [False, True], ids=["with length", "without length"])
@pytest.mark.parametrize(
    ("bit_rate", "rate", "channels"), [(192_000, 44_100, 2), (32_000, 44_100, 1), (8_000, 24_000, 1)]
)
def test_needed_chunks_of_an_mp3_begin_where_they_do_in_the_whole(
    bit_rate: int, rate: int, channels: int, bare: bool, frames_read: list[int]
) -> None:
    """A frame's bits may lie in many frames before it, the more the lower the bit rate; a header may give no length."""
    options = {"write_xing": "0", "id3v2_version": "0"} if bare else {}
    sound = notes(12.0, 42, rate, channels)
    data = encode_with_ffmpeg(sound, rate, "mp3", "libmp3lame", bit_rate=bit_rate, options=options)
    decoded = decode_audio(data, chunk_samples=CHUNK, max_chunks=6, only_needed=True)
    assert sum(frames_read) < 0.7 * 12 * rate
    # In one piece: where soundfile seeks after every read, blocks begin with glitches at low bit rates.
    whole, _ = soundfile.read(io.BytesIO(data), dtype="float32", always_2d=True)
    assert decoded.duration_s == len(whole) / rate
    expected = np.clip(np.rint(expected_pcm(whole, rate) * PCM_SCALE), -PCM_SCALE, PCM_SCALE - 1)
    assert steps_apart(decode_audio(data).pcm, expected) <= 1
    assert decoded.chunk_indices is not None
    for index, chunk in zip(decoded.chunk_indices, to_chunks(decoded.pcm, CHUNK), strict=True):
        assert steps_apart(chunk, expected[index * CHUNK : (index + 1) * CHUNK]) <= 1


@pytest.mark.parametrize("max_chunks", [1, 2, 7, 100])
def test_needed_chunks_are_the_middles_of_equal_parts(max_chunks: int) -> None:
    """However long the track; decoding all of it keeps only chunks near to them."""
    data = numbered(1_000, 1_000, rest=300)
    decoded = decode_audio(data, chunk_samples=1_000, max_chunks=max_chunks, only_needed=True)
    chunks = to_chunks(decoded.pcm, 1_000)
    assert decoded.chunk_indices == tuple(chunks[:, 0])
    assert (chunks == chunks[:, :1]).all()
    assert chunks[:, 0].tolist() == [(2 * part + 1) * 1_000 // (2 * max_chunks) for part in range(max_chunks)]
    assert decoded.coverage == max_chunks / 1_000
    assert decoded.duration_s == 1_000_300 / RATE


@pytest.mark.parametrize("container", ["WAV", "FLAC"])
def test_what_is_not_needed_is_not_read(container: str) -> None:
    class Counted(io.BytesIO):
        num_read = 0

        def read(self, size: int | None = -1) -> bytes:
            data = super().read(size)
            self.num_read += len(data)
            return data

    data = encode(notes(30.0, 43, 44_100), 44_100, container)
    file = Counted(data)
    decode_audio(file, chunk_samples=CHUNK, max_chunks=3, only_needed=True)
    assert file.num_read < 0.2 * len(data)


def lying_flac(frames: int) -> bytes:
    flac = encode(notes(10.0, 44, RATE), RATE, "FLAC")
    info = int.from_bytes(flac[18:26], "big") & ~((1 << 36) - 1) | frames
    return flac[:18] + info.to_bytes(8, "big") + flac[26:]


def bare_mp3(seed: int, bit_rate: int, rate: int = 44_100) -> bytes:
    options = {"write_xing": "0", "id3v2_version": "0"}
    return encode_with_ffmpeg(notes(5.0, seed, rate, 2), rate, "mp3", "libmp3lame", bit_rate=bit_rate, options=options)


def doubtful_files() -> dict[str, bytes]:
    """Files whose needed chunks alone would not tell what there is to hear."""
    sound = notes(10.0, 44, RATE, 2)
    wav, flac, mp3 = (encode(sound, RATE, container) for container in ("WAV", "FLAC", "MP3"))
    between = np.zeros((20 * CHUNK, 1), np.float32)
    between[5 * CHUNK : 9 * CHUNK] = sound[: 4 * CHUNK, :1]  # chunks 3, 10 and 16 are needed
    return {
        "WAV cut short": wav[: len(wav) * 2 // 3],
        "FLAC cut short": flac[: len(flac) * 2 // 3],
        "MP3 cut short": mp3[: len(mp3) * 2 // 3],
        "FLAC with a damaged end": flac[:-30_000] + bytes(30_000),
        "FLAC of unknown length": lying_flac(0),
        "FLAC that says too little": lying_flac(8 * RATE),
        "FLAC that says too much": lying_flac(12 * RATE),
        "FLAC that says far too much": lying_flac(10**10),
        "MP3 with a quieter end": bare_mp3(45, 192_000) + bare_mp3(46, 64_000),
        "MP3 with a louder end": bare_mp3(45, 64_000) + bare_mp3(46, 192_000),
        "MP3 with another rate at its end": bare_mp3(45, 64_000) + bare_mp3(46, 64_000, 22_050),
        "two MP3s with lengths": encode(sound[: 5 * RATE], RATE, "MP3") * 2,
        "no numbers in a needed chunk": encode(
            np.where(np.arange(20 * CHUNK) == 10 * CHUNK, np.nan, 0.1), RATE, "WAV", "FLOAT"
        ),
        "silence where it is needed": encode(between, RATE, "WAV"),
        "channels that cancel": encode(sound[:, :1] * [1, -1], RATE, "WAV", "FLOAT"),
        "Vorbis": encode(sound, RATE, "OGG"),
        "Opus": DEMO_TRACKS[0].read_bytes(),
        "short": encode(sound[: 3 * CHUNK + 100], RATE, "WAV"),
        "hardly longer": encode(sound[: 4 * CHUNK + 100], RATE, "MP3"),
    }


def test_in_doubt_the_whole_track_is_decoded() -> None:
    for name, data in doubtful_files().items():
        decoded = decode_audio(data, chunk_samples=CHUNK, max_chunks=3, only_needed=True)
        whole = decode_audio(data, chunk_samples=CHUNK, max_chunks=3)
        assert dataclasses.replace(decoded, pcm=whole.pcm) == whole, name
        np.testing.assert_array_equal(decoded.pcm, whole.pcm, err_msg=name)


def test_a_track_too_long_or_silent_is_refused_where_only_chunks_are_needed() -> None:
    how = {"chunk_samples": CHUNK, "max_chunks": 3, "only_needed": True}
    with pytest.raises(AudioError, match="more audio than is allowed"):
        decode_audio(encode(notes(20.0, 47, RATE), RATE, "WAV"), **how, max_seconds=19.0)
    with pytest.raises(AudioError, match="whole file is silent"):
        decode_audio(encode(np.zeros(20 * RATE), RATE, "WAV"), **how)


def test_an_error_of_the_storage_at_a_needed_chunk_is_raised() -> None:
    class Unplugged(io.BytesIO):
        def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
            self.dead = whence == io.SEEK_SET and 300_000 < offset < 500_000
            return super().seek(offset, whence)

        def read(self, size: int | None = -1) -> bytes:
            if self.dead:
                raise ConnectionResetError("the line went dead")
            return super().read(size)

    for container in ("WAV", "FLAC"):
        data = encode(np.random.default_rng(0).uniform(-1, 1, (20 * RATE, 1)), RATE, container)
        with pytest.raises(ConnectionResetError, match="line went dead"):
            decode_audio(Unplugged(data), chunk_samples=CHUNK, max_chunks=3, only_needed=True)


# Arguments and results.


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
def test_bad_arguments_are_refused(arguments: dict[str, float], complaint: str) -> None:
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


@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_to_chunks_drops_the_incomplete_last_one(dtype: type) -> None:
    waveform = np.arange(10).astype(dtype)
    chunks = to_chunks(waveform, 4)
    np.testing.assert_array_equal(chunks, [[0, 1, 2, 3], [4, 5, 6, 7]])
    assert chunks.dtype == dtype
    assert np.shares_memory(chunks, waveform)


def test_to_chunks_pads_a_short_track_to_one_chunk() -> None:
    np.testing.assert_array_equal(to_chunks(np.array([5, 6], np.int16), 4), [[5, 6, 0, 0]])


@pytest.mark.parametrize(("waveform", "chunk_samples"), [(np.zeros(0), 4), (np.zeros((2, 3)), 4), (np.zeros(9), 0)])
def test_to_chunks_refuses_what_has_no_chunks(waveform: np.ndarray, chunk_samples: int) -> None:
    with pytest.raises(ValueError, match="must be"):
        to_chunks(waveform, chunk_samples)


def test_results_and_errors_pickle() -> None:
    decoded = decode_audio(encode(notes(1.0, 14, RATE), RATE, "WAV"))
    again = pickle.loads(pickle.dumps(decoded))
    assert isinstance(again, DecodedAudio)
    np.testing.assert_array_equal(again.pcm, decoded.pcm)
    error = pickle.loads(pickle.dumps(AudioError("silent", "Nothing to hear.")))
    assert (error.error_type, str(error)) == ("silent", "Nothing to hear.")


def test_soundfile_reads_what_the_tests_write() -> None:
    """The generators of the tests themselves: what is encoded is what was meant."""
    sound = notes(1.0, 15, 44_100, 2)
    decoded, rate = soundfile.read(io.BytesIO(encode(sound, 44_100, "WAV", "FLOAT")), dtype="float32")
    assert rate == 44_100
    np.testing.assert_array_equal(decoded, sound)
