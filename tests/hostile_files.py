"""A folder of damaged, misleading and hostile files among good ones, with the expected outcome of each.

The same seed gives the same bytes. Sound is synthesised: notes over faint noise, a few seconds long.
"""

import io
import itertools
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import av
import numpy as np
import soundfile

Outcome = Literal["captioned", "failed", "either"]
"""`either`: random damage that may leave audio or not; one of the two rows must be there."""


@dataclass(frozen=True, kw_only=True)
class MadeFile:
    """One file and its expected outcome."""

    path: Path
    """Its path; the name states the damage."""
    good: bool
    """True for the sound files the damaged ones are mixed with."""
    outcome: Outcome
    """The row it must get."""
    error_types: tuple[str, ...] = ()
    """The reasons that are right for a failure."""


@dataclass(frozen=True, kw_only=True)
class _Content:
    name: str
    data: bytes
    outcome: Outcome
    error_types: tuple[str, ...] = ()


def make_files(folder: Path, *, num_good: int = 100, num_hostile: int = 100, seed: int = 0) -> list[MadeFile]:
    """Write the files and return what is expected of them, good ones first.

    Args:
        folder: Where they go; created if missing.
        num_good: Sound files to make, in seven formats.
        num_hostile: Damaged ones; the kinds come in turn, so a smaller number still has many kinds.
        seed: Decides sounds and damage.
    """
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    for number in range(num_good):
        suffix, data = _good(number, seed)
        path = folder / f"good-{number:03}.{suffix}"
        path.write_bytes(data)
        made.append(MadeFile(path=path, good=True, outcome="captioned"))
    for number, content in zip(range(num_hostile), _hostile(seed), strict=False):
        path = folder / f"bad-{number:03}-{content.name}"
        path.write_bytes(content.data)
        made.append(MadeFile(path=path, good=False, outcome=content.outcome, error_types=content.error_types))
    return made


def notes(seconds: float, seed: int, sample_rate: int = 16_000, channels: int = 1) -> np.ndarray:
    """Decaying notes over faint noise, float32 in [-1, 1], (samples, channels)."""
    rng = np.random.default_rng(seed)
    time = np.arange(round(seconds * sample_rate)) / sample_rate
    sound = 0.01 * rng.standard_normal((len(time), channels))
    for _ in range(3):
        hertz, period = 110 * 2 ** (rng.integers(0, 36) / 12), 0.25 * rng.integers(1, 5)
        note = np.sin(2 * np.pi * hertz * time) * np.exp(-3 * np.mod(time, period) / period)
        sound += 0.25 * note[:, None] * rng.uniform(0.5, 1, channels)
    return sound.astype(np.float32)


def encode(sound: np.ndarray, sample_rate: int, container: str, subtype: str | None = None) -> bytes:
    """Encode with libsndfile: WAV, FLAC, MP3, OGG, AIFF, CAF, W64, AU, ..."""
    file = io.BytesIO()
    soundfile.write(file, sound, sample_rate, format=container, subtype=subtype)
    return file.getvalue()


def encode_with_ffmpeg(
    sound: np.ndarray,
    sample_rate: int,
    container: str,
    codec: str,
    *,
    bit_rate: int | None = None,
    options: dict[str, str] | None = None,
) -> bytes:
    """Encode mono or stereo with FFmpeg: mp4, adts, asf, ac3, webm, matroska, ...

    Raises:
        av.FFmpegError: This build of FFmpeg lacks the codec or does not support the combination.
    """
    layout = "mono" if sound.shape[1] == 1 else "stereo"
    file = io.BytesIO()
    with av.open(file, "w", format=container, container_options=options or {}) as output:
        stream = output.add_stream(codec, rate=sample_rate, layout=layout)
        if bit_rate:
            stream.bit_rate = bit_rate
        stream.codec_context.options = {"strict": "experimental"}
        stream.codec_context.open()
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(sound.T), format="fltp", layout=layout)
        frame.sample_rate = sample_rate
        converter = av.AudioResampler(
            format=stream.codec_context.format,
            layout=layout,
            rate=sample_rate,
            frame_size=stream.codec_context.frame_size,
        )
        for piece in (*converter.resample(frame), *converter.resample(None)):
            output.mux(stream.encode(piece))
        output.mux(stream.encode(None))
    return file.getvalue()


_GOOD_FORMATS = (
    ("wav", "WAV", "PCM_16"),
    ("flac", "FLAC", "PCM_16"),
    ("mp3", "MP3", None),
    ("ogg", "OGG", "VORBIS"),
    ("aiff", "AIFF", "PCM_24"),
    ("wav", "WAV", "FLOAT"),
    ("caf", "CAF", "PCM_16"),
)


def _good(number: int, seed: int) -> tuple[str, bytes]:
    suffix, container, subtype = _GOOD_FORMATS[number % len(_GOOD_FORMATS)]
    rate = (16_000, 22_050, 44_100)[number % 3]
    sound = notes(3.2 + number % 4, seed * 1_000 + number, rate, channels=1 + number % 2)
    return suffix, encode(sound, rate, container, subtype)


def _hostile(seed: int) -> Iterator[_Content]:
    """The kinds in turn: one of each, then the next of each, until the last of them ends."""
    rng = np.random.default_rng(seed + 1)
    whole = _whole_files(seed)
    kinds = [
        _not_audio(rng),
        _nothing_to_hear(),
        _lying_headers(whole),
        _cut_short(whole),
        _odd_but_fine(seed),
        _flipped_bits(whole, np.random.default_rng(seed + 2)),
    ]
    for turn in itertools.zip_longest(*kinds):
        yield from filter(None, turn)


def _whole_files(seed: int) -> dict[str, bytes]:
    """Undamaged files, 6 s of stereo, by suffix; m4a has its index at the end, mp4 comes in fragments."""
    sound = notes(6.0, seed + 7_777, 44_100, channels=2)
    return {
        "wav": encode(sound, 44_100, "WAV"),
        "flac": encode(sound, 44_100, "FLAC"),
        "mp3": encode(sound, 44_100, "MP3"),
        "ogg": encode(sound, 44_100, "OGG"),
        "aiff": encode(sound, 44_100, "AIFF"),
        "aac": encode_with_ffmpeg(sound, 44_100, "adts", "aac"),
        "m4a": encode_with_ffmpeg(sound, 44_100, "ipod", "aac"),
        "mp4": encode_with_ffmpeg(sound, 44_100, "mp4", "aac", options={"movflags": "frag_keyframe+empty_moov"}),
        "webm": encode_with_ffmpeg(notes(6.0, seed, 48_000, 2), 48_000, "webm", "libopus"),
    }


def _not_audio(rng: np.random.Generator) -> Iterator[_Content]:
    contents = {
        "web-page.mp3": b"<!DOCTYPE html><html><body>404 Not Found</body></html>",
        "archive.mp3": b"PK\x03\x04\x14\x00\x00\x00\x08\x00" + rng.bytes(3_000),
        "random-1.mp3": rng.bytes(40_000),
        "json.wav": b'{"error": "quota exceeded", "code": 429}',
        "storage-error.flac": b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>',
        "playlist.mp3": b"#EXTM3U\n#EXTINF:10,\nfile:///etc/passwd\n",
        "hls-playlist.m4a": b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nhttp://127.0.0.1:9/secret\n",
        "concat-script.wav": b"ffconcat version 1.0\nfile '/etc/passwd'\n",
        "image.mp3": b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + rng.bytes(900),
        "photo.ogg": b"\xff\xd8\xff\xe0\x00\x10JFIF" + rng.bytes(2_000),
        "document.flac": b"%PDF-1.7\n" + rng.bytes(2_000),
        "notes-without-sound.mp3": b"MThd\x00\x00\x00\x06\x00\x01\x00\x02\x01\xe0" + rng.bytes(300),
        "text.mp3": "Grüße aus dem Archiv, die Datei folgt.\n".encode() * 20,
        "utf16-text.mp3": "The file will follow.\n".encode("utf-16") * 20,
        "git-lfs-pointer.wav": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n",
        "gzip.mp3": b"\x1f\x8b\x08\x00" + rng.bytes(3_000),
        "zero-bytes.wav": bytes(30_000),
        "program.mp3": b"\x7fELF\x02\x01\x01" + rng.bytes(3_000),
        "random-2.flac": rng.bytes(9_000),
        "video-manifest.mp4": b'<?xml version="1.0"?><MPD><BaseURL>http://127.0.0.1:9/</BaseURL></MPD>',
    }
    yield _Content(name="empty.mp3", data=b"", outcome="failed", error_types=("empty_file",))
    for name, data in contents.items():
        yield _Content(name=name, data=data, outcome="failed", error_types=("not_audio",))
    tag = b"ID3\x04\x00\x00\x00\x00\x10\x00" + bytes(2_048)
    yield _Content(name="only-a-tag.mp3", data=tag, outcome="failed", error_types=("damaged", "not_audio"))
    silent_film = _video_without_sound()
    yield _Content(name="silent-film.mp4", data=silent_film, outcome="failed", error_types=("no_audio_stream",))


def _video_without_sound() -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as output:
        stream = output.add_stream("mpeg4", rate=5)
        stream.width = stream.height = 32
        stream.pix_fmt = "yuv420p"
        for _ in range(3):
            frame = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="rgb24")
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return file.getvalue()


def _nothing_to_hear() -> Iterator[_Content]:
    sound = notes(0.1, 5, 44_100, 2)
    dither = np.random.default_rng(5).integers(-1, 2, (88_200, 2)).astype(np.int16)
    for container in ("WAV", "FLAC", "MP3", "OGG"):
        data = encode(np.zeros((132_300, 2), np.float32), 44_100, container)
        yield _Content(name=f"silent.{container.lower()}", data=data, outcome="failed", error_types=("silent",))
        data = encode(sound, 44_100, container)
        name = f"tenth-of-a-second.{container.lower()}"
        yield _Content(name=name, data=data, outcome="failed", error_types=("too_short",))
    yield _Content(name="dither.wav", data=encode(dither, 44_100, "WAV"), outcome="failed", error_types=("silent",))
    empty = encode(sound[:0], 44_100, "WAV")
    yield _Content(name="header-only.wav", data=empty, outcome="failed", error_types=("damaged",))
    one = encode(sound[:1], 44_100, "WAV")
    yield _Content(name="one-sample.wav", data=one, outcome="failed", error_types=("too_short",))


def _lying_headers(whole: dict[str, bytes]) -> Iterator[_Content]:
    wav, flac = whole["wav"], whole["flac"]

    def wav_with(offset: int, layout: str, value: int) -> bytes:
        return wav[:offset] + struct.pack(layout, value) + wav[offset + struct.calcsize(layout) :]

    def flac_with(bits: int, shift: int, value: int) -> bytes:
        """STREAMINFO from byte 18: 20 bits rate, 3 channels, 5 sample size, 36 number of samples."""
        info = int.from_bytes(flac[18:26], "big") & ~(((1 << bits) - 1) << shift) | value << shift
        return flac[:18] + info.to_bytes(8, "big") + flac[26:]

    huge = wav[:4] + struct.pack("<I", 2_000_000_036) + wav[8:40] + struct.pack("<I", 2_000_000_000) + wav[44:]
    yield _Content(name="billion-samples.wav", data=huge, outcome="captioned")
    yield _Content(name="billion-samples.flac", data=flac_with(36, 0, 10**9), outcome="captioned")
    yield _Content(name="no-length.flac", data=flac_with(36, 0, 0), outcome="captioned")
    yield _Content(name="too-few-samples.flac", data=flac_with(36, 0, 44_100), outcome="captioned")
    yield _Content(name="no-length.wav", data=wav_with(40, "<I", 0), outcome="captioned")
    yield _Content(name="endless.wav", data=wav_with(40, "<I", 0xFFFFFFFF), outcome="captioned")
    impossible = {
        "0-hertz.wav": wav_with(24, "<I", 0),
        "1-hertz.wav": wav_with(24, "<I", 1),
        "4-gigahertz.wav": wav_with(24, "<I", 4_000_000_000),
        "65535-channels.wav": wav_with(22, "<H", 65_535),
        "0-channels.wav": wav_with(22, "<H", 0),
        "unknown-coding.wav": wav_with(20, "<H", 0x7777),
    }
    for name, data in impossible.items():
        yield _Content(name=name, data=data, outcome="failed", error_types=("damaged", "unsupported"))
    yield _Content(name="day-and-more.flac", data=flac_bomb(25 * 3600), outcome="failed", error_types=("too_long",))


def flac_bomb(seconds: int, sample_rate: int = 1_000) -> bytes:
    """A tiny FLAC file of a constant signal that decodes to `seconds` of audio.

    Args:
        seconds: Length of what it decodes to.
        sample_rate: Its rate in Hz.
    """
    block = 65_535
    num_frames = -(-seconds * sample_rate // block)
    info = sample_rate << 44 | 0 << 41 | 15 << 36 | num_frames * block
    streaminfo = struct.pack(">HH", block, block) + bytes(6) + info.to_bytes(8, "big") + bytes(16)
    frames = []
    for number in range(num_frames):
        # Block size and rate in 16 bits each at the header's end; one channel, 16 bits a sample.
        header = b"\xff\xf8\x7d\x08" + _coded_number(number) + struct.pack(">HH", block - 1, sample_rate)
        frame = header + bytes([_crc(header, 8, 0x07)]) + struct.pack(">Bh", 0, 1_000 + number % 2)
        frames.append(frame + struct.pack(">H", _crc(frame, 16, 0x8005)))
    return b"fLaC\x80\x00\x00\x22" + streaminfo + b"".join(frames)


def _coded_number(number: int) -> bytes:
    """FLAC writes frame numbers as UTF-8 writes characters."""
    return chr(number).encode("utf-8", "surrogatepass")


def _crc(data: bytes, bits: int, polynomial: int) -> int:
    top, mask, value = 1 << (bits - 1), (1 << bits) - 1, 0
    for byte in data:
        value ^= byte << (bits - 8)
        for _ in range(8):
            value = (value << 1 ^ polynomial if value & top else value << 1) & mask
    return value


def _cut_short(whole: dict[str, bytes]) -> Iterator[_Content]:
    for suffix, data in whole.items():
        outcome: Outcome = "either" if suffix == "ogg" else "failed" if suffix == "m4a" else "captioned"
        half = data[: len(data) // 2]
        yield _Content(name=f"half.{suffix}", data=half, outcome=outcome, error_types=("damaged",))
        stub_errors = ("damaged", "not_audio", "too_short")
        yield _Content(name=f"stub.{suffix}", data=data[:60], outcome="failed", error_types=stub_errors)
    yield _Content(name="no-beginning.mp3", data=whole["mp3"][1_500:], outcome="captioned")
    yield _Content(name="no-beginning.flac", data=whole["flac"][9_000:], outcome="captioned")


def _odd_but_fine(seed: int) -> Iterator[_Content]:
    sound = notes(4.0, seed + 50, 44_100, 1)
    wrong = sound.copy()
    wrong[1_000:1_050], wrong[2_000], wrong[3_000] = np.nan, np.inf, 1e30
    makers: dict[str, Callable[[], bytes]] = {
        "8-channels.wav": lambda: encode(notes(4.0, seed + 51, 44_100, 8), 44_100, "WAV"),
        "7-kilohertz.wav": lambda: encode(notes(4.0, seed + 52, 7_000), 7_000, "WAV"),
        "384-kilohertz.wav": lambda: encode(notes(3.0, seed + 53, 384_000), 384_000, "WAV"),
        "flac-called.mp3": lambda: encode(sound, 44_100, "FLAC"),
        "mp3-called.wav": lambda: encode(sound, 44_100, "MP3"),
        "ogg-called.txt": lambda: encode(sound, 44_100, "OGG"),
        "not-a-number.wav": lambda: encode(wrong, 44_100, "WAV", "FLOAT"),
        "channels-cancel.wav": lambda: encode(np.hstack([sound, -sound]), 44_100, "WAV"),
        "8-bit.wav": lambda: encode(sound, 44_100, "WAV", "PCM_U8"),
        "behind-rubbish.mp3": lambda: bytes(range(256)) * 8 + encode(sound, 44_100, "MP3"),
        "chained.ogg": lambda: encode(sound, 44_100, "OGG") + encode(sound, 44_100, "OGG"),
        "too-loud.wav": lambda: encode(sound * 100, 44_100, "WAV", "FLOAT"),
    }
    for name, make in makers.items():
        yield _Content(name=name, data=make(), outcome="captioned")


def _flipped_bits(whole: dict[str, bytes], rng: np.random.Generator) -> Iterator[_Content]:
    suffixes = sorted(whole)
    for number in range(40):
        suffix = suffixes[number % len(suffixes)]
        data = np.frombuffer(whole[suffix], np.uint8).copy()
        reach = len(data) if number % 3 else min(len(data), 400)  # every third: only the header suffers
        places = rng.integers(0, reach, 10 + number)
        data[places] ^= (1 << rng.integers(0, 8, len(places))).astype(np.uint8)
        errors = ("damaged", "not_audio", "unsupported", "too_short", "no_audio_stream", "silent")
        yield _Content(name=f"bit-flips-{number}.{suffix}", data=data.tobytes(), outcome="either", error_types=errors)
