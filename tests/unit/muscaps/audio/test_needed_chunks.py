"""Decoding of only the chunks that are kept."""

import dataclasses
import io
from collections.abc import Iterator

import numpy as np
import pytest
import soundfile

from muscaps.audio import (
    PCM_SCALE,
    AudioError,
    decode_audio,
    needed_chunks,
    soundfile_reader,
    to_chunks,
)
from tests.hostile_files import encode, encode_with_ffmpeg, notes
from tests.reference_audio import DEMO_TRACKS, RATE, expected_pcm, numbered

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
def test_needed_chunks_at_the_target_rate_are_unchanged_bit_for_bit(container: str) -> None:
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
    assert (chunks[:, ::2] == chunks[:, :1]).all()
    assert chunks[:, 0].tolist() == [(2 * part + 1) * 1_000 // (2 * max_chunks) for part in range(max_chunks)]
    assert decoded.coverage == max_chunks / 1_000
    assert decoded.duration_s == 1_000_300 / RATE


@pytest.mark.parametrize("container", ["WAV", "FLAC"])
def test_chunks_that_are_not_needed_are_not_read(container: str) -> None:
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


def flac_with_wrong_length(frames: int) -> bytes:
    flac = encode(notes(10.0, 44, RATE), RATE, "FLAC")
    info = int.from_bytes(flac[18:26], "big") & ~((1 << 36) - 1) | frames
    return flac[:18] + info.to_bytes(8, "big") + flac[26:]


def bare_mp3(seed: int, bit_rate: int, rate: int = 44_100) -> bytes:
    options = {"write_xing": "0", "id3v2_version": "0"}
    return encode_with_ffmpeg(notes(5.0, seed, rate, 2), rate, "mp3", "libmp3lame", bit_rate=bit_rate, options=options)


def doubtful_files() -> dict[str, bytes]:
    """Files for which the needed chunks alone would give a wrong result."""
    sound = notes(10.0, 44, RATE, 2)
    wav, flac, mp3 = (encode(sound, RATE, container) for container in ("WAV", "FLAC", "MP3"))
    between = np.zeros((20 * CHUNK, 1), np.float32)
    between[5 * CHUNK : 9 * CHUNK] = sound[: 4 * CHUNK, :1]  # chunks 3, 10 and 16 are needed
    return {
        "WAV cut short": wav[: len(wav) * 2 // 3],
        "FLAC cut short": flac[: len(flac) * 2 // 3],
        "MP3 cut short": mp3[: len(mp3) * 2 // 3],
        "FLAC with a damaged end": flac[:-30_000] + bytes(30_000),
        "FLAC of unknown length": flac_with_wrong_length(0),
        "FLAC with a stated length too short": flac_with_wrong_length(8 * RATE),
        "FLAC with a stated length too long": flac_with_wrong_length(12 * RATE),
        "FLAC with a stated length far too long": flac_with_wrong_length(10**10),
        "MP3 with a quieter end": bare_mp3(45, 192_000) + bare_mp3(46, 64_000),
        "MP3 with a louder end": bare_mp3(45, 64_000) + bare_mp3(46, 192_000),
        "MP3 with another rate at its end": bare_mp3(45, 64_000) + bare_mp3(46, 64_000, 22_050),
        "two MP3s with lengths": encode(sound[: 5 * RATE], RATE, "MP3") * 2,
        "no numbers in a needed chunk": encode(
            np.where(np.arange(20 * CHUNK) == 10 * CHUNK, np.nan, 0.1 * np.sin(np.arange(20 * CHUNK))),
            RATE,
            "WAV",
            "FLOAT",
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


def test_a_track_too_long_or_silent_is_an_error_if_only_chunks_are_needed() -> None:
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
