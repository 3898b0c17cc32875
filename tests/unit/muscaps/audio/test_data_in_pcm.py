"""DTS and AC-3 that is stored as PCM samples is decoded or refused, and music is never taken for it."""

from typing import Any

import numpy as np
import pytest

from muscaps.audio import AudioError, decode_audio
from muscaps.audio.data_in_pcm import compressed_format
from tests.hostile_files import encode, encode_with_ffmpeg, notes
from tests.reference_audio import expected_pcm, likeness

SOUND = notes(4.0, 51, 48_000, channels=2)
RAW_AC3 = encode_with_ffmpeg(SOUND, 48_000, "ac3", "ac3", bit_rate=384_000)
IEC_AC3 = encode_with_ffmpeg(SOUND, 48_000, "spdif", "ac3", bit_rate=384_000)


def as_samples(data: bytes) -> np.ndarray:
    """Bytes as 16-bit stereo samples, (samples, 2)."""
    return np.frombuffer(data[: len(data) // 4 * 4], "<i2").reshape(-1, 2)


def dts_frames(*, words: str, frame_bytes: int = 1_024, distance: int = 2_048, count: int = 20) -> bytes:
    """Frames with the header of DTS and random content, 16 bits a word in byte order `words`, at a fixed distance."""
    header = 0x7FFE8001 << 28 | 1 << 27 | 31 << 22 | 15 << 14 | (frame_bytes - 1)
    content = np.random.default_rng(3).bytes(frame_bytes)
    frame = (header << 4).to_bytes(8, "big") + content[8:]
    data = (frame + bytes(distance - frame_bytes)) * count
    return np.frombuffer(data, ">u2").astype(words).tobytes()


def dts_frames_of_14_bits(words: str) -> bytes:
    bits = np.unpackbits(np.frombuffer(dts_frames(words=">u2", distance=1_792, frame_bytes=1_008), np.uint8))
    values = bits.reshape(-1, 14) @ (1 << np.arange(13, -1, -1))
    signed = np.where(values >= 1 << 13, values - (1 << 14), values)
    return signed.astype(words.replace("u", "i")).tobytes()


def error_of(data: bytes, **settings: Any) -> AudioError | None:
    try:
        decode_audio(data, **settings)
    except AudioError as error:
        return error
    return None


@pytest.mark.parametrize("data", [RAW_AC3, IEC_AC3], ids=["raw", "IEC 61937"])
def test_ac3_in_wav_is_decoded(data: bytes) -> None:
    decoded = decode_audio(encode(as_samples(data), 48_000, "WAV"))
    assert likeness(decoded.pcm, expected_pcm(SOUND, 48_000)) > 0.9
    assert decoded.damaged is None


@pytest.mark.parametrize("container", ["FLAC", "AIFF", "CAF", "W64", "WAV"])
@pytest.mark.parametrize("only_needed", [False, True])
def test_dolby_in_other_lossless_files_is_decoded_or_refused(container: str, only_needed: bool) -> None:
    """After a second of digital silence, as on a disc; in WAV, FFmpeg searches only the beginning."""
    for data in (RAW_AC3, IEC_AC3):
        samples = np.concatenate([np.zeros((48_000, 2), np.int16), as_samples(data)])
        file = encode(samples, 48_000, container)
        error = error_of(file, chunk_samples=8_000, max_chunks=4, only_needed=only_needed)
        if error is None:
            decoded = decode_audio(file)
            assert np.abs(decoded.pcm.astype(int)).max() < 20_000  # noise reaches full scale
        else:
            assert error.error_type == "unsupported"
            assert "AC-3 data as PCM samples" in str(error)


@pytest.mark.parametrize(
    "data",
    [dts_frames(words="<u2"), dts_frames(words=">u2"), dts_frames_of_14_bits("<u2"), dts_frames_of_14_bits(">u2")],
    ids=["16 bits", "16 bits swapped", "14 bits", "14 bits swapped"],
)
def test_dts_is_recognised_and_never_played_as_noise(data: bytes) -> None:
    assert compressed_format(as_samples(data) / np.float32(32_768)) == "DTS"
    for container in ("WAV", "FLAC"):
        with pytest.raises(AudioError) as caught:  # the content of these frames is random, so nothing decodes
            decode_audio(encode(as_samples(data), 44_100, container))
        assert caught.value.error_type in ("unsupported", "damaged")


def test_smpte_337_in_24_bits_is_recognised() -> None:
    words = np.zeros(24_000, np.int64)
    words[::1_600], words[1::1_600], words[2::1_600] = 0x96F872, 0xA54E1F, 1 << 8
    signed = np.where(words >= 1 << 23, words - (1 << 24), words)
    assert compressed_format((signed / 2**23).astype(np.float32).reshape(-1, 2)) is not None


def test_music_noise_and_periodic_signals_are_sound() -> None:
    rng = np.random.default_rng(0)
    time = np.arange(96_000)
    signals = [
        notes(2.0, 52, 48_000, 2),
        rng.uniform(-1, 1, (65_536, 2)),
        np.stack([np.sign(np.sin(time / 7)) * 32_766 / 32_768, -np.sign(np.sin(time / 7)) * 32_767 / 32_768], 1),
        np.full((65_536, 2), 0x0B77 / 32_768),
        np.tile(np.array([[0x7FFE, 0x8001 - 65_536]]) / 32_768, (30_000, 1)),
        np.full((1_000, 2), np.nan),
        np.zeros((1, 1)),
    ]
    for signal in signals:
        assert compressed_format(np.asarray(signal, np.float32)) is None
