"""Tags after the audio, of any size and in any order, are no damage and change no sample."""

import io
import itertools

import numpy as np
import pytest

from muscaps.audio import decode_audio
from muscaps.audio.source_file import SourceFile
from muscaps.audio.trailing_tags import end_of_audio
from tests.hostile_files import encode, encode_with_ffmpeg, notes

SOUND = notes(6.0, 41, 44_100, channels=2)
FILES = {
    "mp3": encode(SOUND, 44_100, "MP3"),
    "flac": encode(SOUND, 44_100, "FLAC"),
    "aac": encode_with_ffmpeg(SOUND, 44_100, "adts", "aac"),
    "wv": encode_with_ffmpeg(SOUND, 44_100, "wv", "wavpack"),
    "mp2": encode_with_ffmpeg(SOUND, 44_100, "mp2", "mp2"),
}


def picture(size: int) -> bytes:
    """Bytes in which decoders find frames that are none."""
    rng = np.random.default_rng(size)
    data = bytearray(rng.bytes(size))
    for position in range(0, size - 4, 500):
        data[position : position + 4] = b"\xff\xfb\x90\x64"
    return bytes(data)


def ape(size: int, *, header: bool = True) -> bytes:
    item = picture(size)
    body = len(item).to_bytes(4, "little") + (2).to_bytes(4, "little") + b"Cover Art (Front)\0" + item
    length = len(body) + 32

    def block(flags: int) -> bytes:
        numbers = (2000, length, 1, flags)
        return b"APETAGEX" + b"".join(number.to_bytes(4, "little") for number in numbers) + bytes(8)

    with_header = 0x8000_0000 if header else 0
    return (block(0xA000_0000) if header else b"") + body + block(with_header)


def lyrics3(size: int) -> bytes:
    body = b"LYRICSBEGIN" + b"LYR" + b"%05d" % min(size, 99_999) + picture(size)
    return body + b"%06d" % len(body) + b"LYRICS200"


def lyrics3_version_1(size: int) -> bytes:
    return b"LYRICSBEGIN" + b"la " * (size // 3) + b"LYRICSEND"


def id3v2_at_the_end(size: int) -> bytes:
    length = bytes(size >> 7 * part & 0x7F for part in (3, 2, 1, 0))
    return b"ID3\x04\x00\x10" + length + picture(size) + b"3DI\x04\x00\x10" + length


TAGS = {
    "ID3v1": b"TAG" + b"A title".ljust(125, b"\0"),
    "enhanced ID3v1": b"TAG+" + bytes(223) + b"TAG" + bytes(125),
    "APE": ape(100_000),
    "APE without header": ape(40_000, header=False),
    "Lyrics3v2": lyrics3(60_000),
    "Lyrics3v1": lyrics3_version_1(5_000),
    "ID3v2.4 at the end": id3v2_at_the_end(70_000),
}


@pytest.mark.parametrize("suffix", FILES)
@pytest.mark.parametrize("name", TAGS)
def test_a_tag_after_the_audio_changes_nothing(suffix: str, name: str) -> None:
    data = FILES[suffix]
    plain, tagged = decode_audio(data), decode_audio(data + TAGS[name])
    assert tagged.damaged is None
    np.testing.assert_array_equal(tagged.pcm, plain.pcm)
    assert tagged.duration_s == plain.duration_s


@pytest.mark.parametrize("order", list(itertools.permutations(["APE", "Lyrics3v2", "ID3v2.4 at the end"])))
def test_tags_in_any_order_before_id3v1_are_found(order: tuple[str, ...]) -> None:
    audio = FILES["mp3"]
    data = audio + b"".join(TAGS[name] for name in order) + TAGS["ID3v1"]
    with SourceFile(io.BytesIO(data), owned=True) as file:
        assert end_of_audio(file, data[:100], len(data)) == len(audio)
    assert decode_audio(data, chunk_samples=16_000, max_chunks=3, only_needed=True).damaged is None


@pytest.mark.parametrize(
    "tail",
    [
        b"APETAGEX" + (2000).to_bytes(4, "little") + (2**31).to_bytes(4, "little") + bytes(16),
        b"APETAGEX" + (2000).to_bytes(4, "little") + (0).to_bytes(4, "little") + bytes(16),
        b"999999LYRICS200",
        b"000100LYRICS200",
        b"LYRICSEND",
        b"3DI\x04\x00\x10\x7f\x7f\x7f\x7f",
    ],
)
def test_a_tag_with_an_impossible_length_is_no_tag(tail: bytes) -> None:
    data = FILES["mp3"] + tail
    with SourceFile(io.BytesIO(data), owned=True) as file:
        assert end_of_audio(file, data[:100], len(data)) == len(data)


def test_a_cut_file_with_a_tag_is_still_damaged() -> None:
    data = FILES["flac"]
    cut = decode_audio(data[: len(data) // 2] + TAGS["APE"])
    assert cut.damaged is not None
    assert cut.coverage == pytest.approx(0.5, abs=0.1)
