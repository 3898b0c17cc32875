"""Containers that a listing takes as audio are decoded, also those that FFmpeg opens and libsndfile does not."""

import numpy as np
import pytest

from muscaps.audio import decode_audio
from muscaps.audio.pyav_reader import _DEMUXERS
from tests.hostile_files import encode, encode_with_ffmpeg, notes
from tests.reference_audio import expected_pcm, likeness

RATE = 48_000
SOUND = notes(3.0, 71, RATE, channels=2)
WITH_FFMPEG = {
    "flv": ("flv", "aac"),
    "ts": ("mpegts", "aac"),
    "avi": ("avi", "mp3"),
    "3gp": ("3gp", "aac"),
    "rm": ("rm", "ac3"),
    "nut": ("nut", "pcm_s16le"),
    "mpg": ("mpeg", "mp2"),
    "mpa": ("mp2", "mp2"),
    "tta": ("tta", "tta"),
    "wv": ("wv", "wavpack"),
    "wma": ("asf", "wmav2"),
    "eac3": ("eac3", "eac3"),
    "mka": ("matroska", "alac"),
    "mov": ("mov", "pcm_s24le"),
}


@pytest.mark.parametrize("suffix", WITH_FFMPEG)
def test_a_container_is_decoded(suffix: str) -> None:
    container, codec = WITH_FFMPEG[suffix]
    decoded = decode_audio(encode_with_ffmpeg(SOUND, RATE, container, codec, bit_rate=192_000))
    assert likeness(decoded.pcm, expected_pcm(SOUND, RATE)) > 0.9
    assert (decoded.damaged, decoded.coverage) == (None, 1.0)


def dsf(sound: np.ndarray) -> bytes:
    """Mono DSD at 2.8 MHz: the density of random bits follows the signal at 16 kHz, (samples,)."""
    slow = sound[np.arange(2_822_400 * len(sound) // 16_000) * 16_000 // 2_822_400]
    bits = np.random.default_rng(0).uniform(-1, 1, len(slow)) < slow
    data = np.packbits(bits, bitorder="little").tobytes()
    data += b"\x69" * (-len(data) % 4_096)
    fields = (1, 0, 1, 1, 2_822_400, 1)
    header = b"fmt " + (52).to_bytes(8, "little") + b"".join(field.to_bytes(4, "little") for field in fields)
    header += len(bits).to_bytes(8, "little") + (4_096).to_bytes(4, "little") + bytes(4)
    body = header + b"data" + (12 + len(data)).to_bytes(8, "little") + data
    return b"DSD " + (28).to_bytes(8, "little") + (28 + len(body)).to_bytes(8, "little") + bytes(8) + body


def test_dsd_is_decoded() -> None:
    time = np.arange(16_000) / 16_000
    sound = 0.5 * np.sin(2 * np.pi * 440 * time) + 0.3 * np.sin(2 * np.pi * 660 * time)
    decoded = decode_audio(dsf(sound))
    assert decoded.sample_rate == 352_800
    assert likeness(decoded.pcm, sound) > 0.8
    assert decoded.damaged is None


def test_random_bytes_are_in_no_format() -> None:
    """The marks of the formats are long enough."""
    rng = np.random.default_rng(8)
    for size in (3_000, 30_000, 300_000):
        for _ in range(4):
            with pytest.raises(ValueError, match=r"no audio format|none of it|could be decoded"):
                decode_audio(rng.bytes(size))


def test_playlists_manifests_and_raw_samples_are_not_opened() -> None:
    allowed = set(_DEMUXERS.split(","))
    assert allowed.isdisjoint({"hls", "dash", "concat", "concatf", "sdp", "rtsp", "image2", "s16le", "f32le", "lavfi"})


def test_a_wave_file_of_64_bits_is_decoded() -> None:
    assert likeness(decode_audio(encode(SOUND, RATE, "W64")).pcm, expected_pcm(SOUND, RATE)) > 0.99
