"""Damaged and misleading files and files that are not audio give audio or a reason, in bounded time and memory."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from muscaps.audio import AudioError, DecodedAudio, decode_audio, load_audio
from tests.hostile_files import MadeFile, encode, encode_with_ffmpeg, flac_bomb, make_files, notes

RATE = 16_000


def decoded_or_reason(data: bytes | Path) -> DecodedAudio | AudioError:
    """Decode as a run does; anything but a result or an AudioError fails the test."""
    try:
        decoded = decode_audio(data, chunk_samples=48_000, max_chunks=10)
    except AudioError as error:
        return error
    assert decoded.pcm.dtype == np.int16
    assert len(decoded.pcm) > 0
    assert np.isfinite(decoded.duration_s)
    assert 0 < decoded.coverage <= 1
    return decoded


def reason(data: bytes, **arguments: float) -> AudioError:
    with pytest.raises(AudioError) as caught:
        decode_audio(data, **arguments)
    return caught.value


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> list[MadeFile]:
    return make_files(tmp_path_factory.mktemp("hostile"), num_good=14, num_hostile=100)


def test_every_hostile_file_has_the_expected_outcome(made: list[MadeFile]) -> None:
    assert len(made) == 114
    wrong = []
    for file in made:
        result = decoded_or_reason(file.path)
        failed = isinstance(result, AudioError)
        assert not failed or str(result).endswith(".")
        allowed = ("failed", "either") if failed else ("captioned", "either")
        if file.outcome not in allowed or (failed and result.error_type not in file.error_types):
            wrong.append((file.path.name, result))
    assert wrong == []


def test_hostile_files_are_the_same_for_the_same_seed(made: list[MadeFile], tmp_path: Path) -> None:
    again = make_files(tmp_path, num_good=3, num_hostile=20)
    by_name = {file.path.name: file.path.read_bytes() for file in made}
    # MP4 and WebM carry the time they were written.
    same = [
        by_name[file.path.name] == file.path.read_bytes() for file in again if file.path.suffix not in (".m4a", ".mp4")
    ]
    assert all(same)
    assert len(same) > 15


SOUND = notes(6.0, 21, 44_100, channels=2)
WHOLE = {
    "wav": encode(SOUND, 44_100, "WAV"),
    "adpcm": encode(SOUND, 44_100, "WAV", "MS_ADPCM"),
    "flac": encode(SOUND, 44_100, "FLAC"),
    "mp3": encode(SOUND, 44_100, "MP3"),
    "ogg": encode(SOUND, 44_100, "OGG"),
    "aiff": encode(SOUND, 44_100, "AIFF"),
    "caf": encode(SOUND, 44_100, "CAF", "ALAC_16"),
    "aac": encode_with_ffmpeg(SOUND, 44_100, "adts", "aac"),
    "m4a": encode_with_ffmpeg(SOUND, 44_100, "ipod", "aac"),
    "ac3": encode_with_ffmpeg(SOUND, 44_100, "ac3", "ac3"),
}


@pytest.mark.parametrize("suffix", WHOLE)
def test_flipped_bits_give_audio_or_a_reason(suffix: str) -> None:
    rng = np.random.default_rng(sum(suffix.encode()))
    for flips in (1, 3, 10, 30, 100, 300):
        data = np.frombuffer(WHOLE[suffix], np.uint8).copy()
        reach = len(data) if flips > 10 else 300
        data[rng.integers(0, reach, flips)] ^= (1 << rng.integers(0, 8, flips)).astype(np.uint8)
        decoded_or_reason(data.tobytes())


@pytest.mark.parametrize("suffix", WHOLE)
def test_truncated_files_give_their_audio_or_a_reason(suffix: str) -> None:
    rng = np.random.default_rng(sum(suffix.encode()))
    for share in (0.0005, 0.01, *rng.uniform(0.05, 0.95, 4)):
        result = decoded_or_reason(WHOLE[suffix][: int(share * len(WHOLE[suffix]))])
        if isinstance(result, DecodedAudio):
            assert result.duration_s <= 6.2 * share + 0.5


@pytest.mark.parametrize("suffix", ["wav", "flac", "mp3", "aiff", "aac"])
def test_half_a_file_gives_half_of_the_audio(suffix: str) -> None:
    decoded = decode_audio(WHOLE[suffix][: len(WHOLE[suffix]) // 2])
    assert decoded.duration_s == pytest.approx(3.0, abs=0.4)
    assert decoded.damaged is not None


def test_an_mp4_without_its_index_is_reported() -> None:
    error = reason(WHOLE["m4a"][: len(WHOLE["m4a"]) // 2])
    assert error.error_type == "damaged"
    assert "index" in str(error)


def test_overwritten_middle_does_not_lose_the_rest() -> None:
    for suffix in ("mp3", "aac", "flac"):
        data = WHOLE[suffix]
        middle = len(data) // 2
        hole = data[:middle] + np.random.default_rng(1).bytes(4_000) + data[middle + 4_000 :]
        assert decode_audio(hole).duration_s > 4.0


@pytest.mark.parametrize(
    ("data", "named"),
    [
        (b"  <!DOCTYPE html><title>Sign in</title>", "web page"),
        (b"\xef\xbb\xbf<HTML>", "web page"),
        (b"PK\x03\x04" + bytes(100), "ZIP"),
        (b'{"detail": "not found"}', "JSON"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "PNG image"),
        (b"\xff\xd8\xff\xe0" + bytes(100), "JPEG image"),
        (b"%PDF-1.4\n" + bytes(100), "PDF"),
        (b"MThd\x00\x00\x00\x06" + bytes(100), "MIDI"),
        (b"#EXTM3U\nfile:///etc/passwd", "playlist"),
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS"),
        (b"<?xml version='1.0'?><Error><Code>NoSuchKey</Code></Error>", "NoSuchKey"),
        ("Größe: 3 MB".encode("latin-1"), "text"),
        ("Hello there".encode("utf-16"), "text"),
        (bytes(200_000), "zero bytes"),
    ],
)
def test_content_that_is_not_audio_is_named(data: bytes, named: str) -> None:
    error = reason(data)
    assert error.error_type == "not_audio"
    assert named in str(error)


def test_an_empty_file_is_reported_as_empty() -> None:
    assert reason(b"").error_type == "empty_file"


def test_a_playlist_opens_nothing_else(tmp_path: Path) -> None:
    """FFmpeg follows playlists to other files and addresses; here neither their text nor their bytes may."""
    other = tmp_path / "other.wav"
    other.write_bytes(WHOLE["wav"])
    disguised = b"\x00\x00" + f"#EXTM3U\n#EXT-X-TARGETDURATION:6\n#EXTINF:6,\n{other.as_uri()}\n".encode()
    for data in (disguised[2:], disguised, f"ffconcat version 1.0\nfile '{other}'\n".encode()):
        assert reason(data).error_type == "not_audio"


def test_channels_that_cancel_are_not_silence() -> None:
    left = notes(2.0, 30, RATE)
    decoded = decode_audio(encode(np.hstack([left, -left]), RATE, "WAV", "FLOAT"))
    np.testing.assert_allclose(decoded.pcm / 32_768, left[:, 0], atol=1e-4)
    assert decoded.damaged is not None
    assert "cancel" in decoded.damaged


def test_a_tenth_of_a_second_is_too_short() -> None:
    data = encode(notes(0.1, 31, RATE), RATE, "WAV")
    assert reason(data).error_type == "too_short"
    assert decode_audio(data, min_seconds=0.05).duration_s == pytest.approx(0.1)


def test_samples_that_are_not_numbers_are_replaced_and_reported() -> None:
    sound = notes(2.0, 32, 44_100)
    sound[10_000:10_100], sound[20_000], sound[30_000], sound[40_000] = np.nan, np.inf, -np.inf, 3e38
    decoded = decode_audio(encode(sound, 44_100, "WAV", "FLOAT"))
    assert decoded.damaged is not None
    assert decoded.damaged.startswith("103 samples")
    assert np.isfinite(load_audio(encode(sound, 44_100, "WAV", "FLOAT"))).all()


def test_flac_with_a_wrong_length_is_decoded_to_its_end() -> None:
    flac = WHOLE["flac"]
    for claim in (0, 44_100, 10**9):
        info = int.from_bytes(flac[18:26], "big") & ~((1 << 36) - 1) | claim
        decoded = decode_audio(flac[:18] + info.to_bytes(8, "big") + flac[26:])
        assert decoded.duration_s == pytest.approx(6.0)
        assert (decoded.damaged is None) == (claim != 10**9)


@pytest.mark.parametrize("suffix", ["wav", "flac", "aiff", "matroska"])
def test_coverage_counts_what_the_header_states_and_the_file_lacks(suffix: str) -> None:
    if suffix == "matroska":
        data = encode_with_ffmpeg(np.tile(SOUND, (2, 1)), 44_100, "matroska", "aac")
    else:
        data = encode(np.tile(SOUND, (2, 1)), 44_100, suffix.upper())
    whole, part = decode_audio(data), decode_audio(data[: len(data) // 4])
    assert (whole.coverage, whole.damaged) == (1.0, None)
    assert part.damaged is not None
    assert part.coverage == pytest.approx(0.25, abs=0.05)
    assert part.coverage == pytest.approx(part.duration_s / 12, abs=0.01)
    assert part.share_kept == 1.0


def test_a_flac_cut_from_60_s_to_8_s_has_coverage_of_an_eighth() -> None:
    data = encode(notes(60.0, 33, RATE), RATE, "FLAC")
    for end in range(len(data) // 10, len(data) // 5, 2_000):
        cut = decode_audio(data[:end], chunk_samples=48_000, max_chunks=20)
        if cut.duration_s >= 8:
            break
    assert cut.coverage == pytest.approx(0.13, abs=0.01)
    assert cut.damaged is not None


def test_chunks_left_out_and_a_missing_end_both_reduce_coverage() -> None:
    data = encode(np.tile(SOUND, (4, 1)), 44_100, "FLAC")
    decoded = decode_audio(data[: len(data) // 2], chunk_samples=16_000, max_chunks=3)
    assert decoded.share_kept == pytest.approx(3 / 12, abs=0.03)
    assert decoded.coverage == pytest.approx(decoded.share_kept * decoded.duration_s / 24, abs=0.001)


def test_a_decompression_bomb_is_stopped_at_the_limit() -> None:
    data = flac_bomb(3 * 3600, sample_rate=8_000)
    assert len(data) < 50_000
    error = reason(data, max_seconds=600.0)
    assert error.error_type == "too_long"
    assert "10:00.0" in str(error)


@pytest.mark.skipif(sys.platform != "linux", reason="memory limits are Linux's")
def test_a_long_recording_takes_bounded_memory(tmp_path: Path) -> None:
    """Five hours would take 576 MB as PCM; the process may grow by a sixth of that."""
    path = tmp_path / "long.flac"
    minute = np.tile(np.repeat(np.array([8_000, -8_000], dtype=np.int16), 20), 60 * 4_000 // 40)
    with soundfile.SoundFile(path, "w", samplerate=4_000, channels=1, subtype="PCM_16") as file:
        for _ in range(5 * 60):
            file.write(minute)
    program = """
import resource, sys
from muscaps.audio import decode_audio
decode_audio(sys.argv[2], chunk_samples=48_000, max_chunks=50)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
decoded = decode_audio(sys.argv[1], chunk_samples=48_000, max_chunks=50)
grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
print(grown, decoded.duration_s, decoded.coverage, len(decoded.pcm))
"""
    short = tmp_path / "short.flac"
    short.write_bytes(WHOLE["flac"])
    run = subprocess.run([sys.executable, "-c", program, path, short], capture_output=True, text=True, check=True)
    grown_kib, seconds, coverage, samples = map(float, run.stdout.split())
    assert seconds == pytest.approx(18_000, abs=20)
    assert coverage == pytest.approx(50 / 6_000, rel=0.01)
    assert samples == 50 * 48_000
    assert grown_kib < 100 * 1024
