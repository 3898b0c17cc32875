"""A track in any common format -> mono PCM at the model's rate -> chunks.

Conventions: rates in Hz, durations in seconds; a waveform is (samples,), int16 between stages and float32
in [-1, 1] at the model; int16 becomes float32 by dividing by 32 768. The content of a file decides what it
is, never its name. Channels are mixed by their mean before resampling (swresample's mix is 3 dB louder,
which would shift dB features). Tracks are read, mixed and resampled block by block, so memory depends on
what is kept and not on the file, and nothing a header claims is ever allocated.

libsndfile decodes PCM, FLAC and MP3, where it is the faster; FFmpeg, through PyAV, decodes everything else
and whatever libsndfile cannot open or finds damaged. Where libsndfile decodes and only some chunks are wanted,
`only_needed` decodes no more than those.
"""

import errno
import io
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias, cast

import av
import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

PCM_SCALE = 32_768  # int16 full scale: 2 ** 15
MAX_SECONDS = 24 * 3600.0  # one day: longer than any release, short enough to stop a decompression bomb
MIN_SECONDS = 0.5  # less sound than this says nothing about music
SILENT_PEAK = 1  # one step of 16-bit audio (-90 dBFS): what dither leaves of digital silence
SAMPLE_RATES = (1_000, 1_536_000)  # lowest and highest rate taken at its word, in Hz

_SFE_SEEK_FAILED = 39  # libsndfile's error code
_LARGEST_TRAILER = 4_096  # bytes of tags that may follow the audio without raising doubt
_MOST_PLANES = 8  # PyAV 18 crashes on reading the planes of a frame that has this many or more
_BLOCK_VALUES = 1 << 17  # float32 values decoded at a time, all channels together: 512 KiB
_VALUES_PER_SECOND = 192_000  # decoding effort allowed per allowed second: stereo at 96 kHz
_HEAD_BYTES = 65_536  # enough of a file's beginning to tell what it is
_SANE_PEAK = 8.0  # float files overshoot full scale a little, never by 18 dB
_LENGTH_TOLERANCE_SECONDS = 1.0  # a length estimated from an MP3 or a container may be this far off
_EDGE_SAMPLES = 256  # how far soxr looks, at the lower of both rates; what lies beyond adds less than 0.05 steps
_RESERVOIR_SECONDS = 0.5  # MP3 keeps bits in earlier frames: enough for 8 kbit/s mono; from 16 on, 0.25 s would be

# What FFmpeg may open: plain media files. Playlists and manifests (HLS, DASH, concat) are left out because
# they make it fetch other files and addresses.
_DEMUXERS = (
    "aac,ac3,aiff,amr,amrnb,amrwb,ape,asf,au,avi,caf,dsf,dts,dtshd,eac3,flac,flv,iff,loas,matroska,webm,mlp,"
    "mov,mp4,m4a,3gp,3g2,mj2,mp3,mpc,mpc8,mpeg,mpegts,nistsphere,ogg,oma,qcp,rm,shn,sox,tak,truehd,tta,voc,"
    "w64,wav,wv,xwma"
)
# Containers whose stated length is a promise; for the others FFmpeg guesses it from the bit rate.
_EXACT_LENGTH = {"aiff", "asf", "caf", "flac", "matroska", "mov", "wav", "w64"}

Source: TypeAlias = bytes | bytearray | memoryview | str | Path | BinaryIO
Pcm: TypeAlias = NDArray[np.int16]
Waveform: TypeAlias = NDArray[np.float32]


class AudioError(ValueError):
    """A track that cannot be heard: `error_type` for machines, the message for the catalogue's editors.

    `error_type` is one of `empty_file`, `not_audio`, `no_audio_stream`, `encrypted`, `unsupported`,
    `damaged`, `too_short`, `too_long`, `silent`.
    """

    def __init__(self, error_type: str, message: str) -> None:
        super().__init__(message)
        self.error_type = error_type

    def __reduce__(self) -> tuple[type["AudioError"], tuple[str, str]]:
        """Pickle with both arguments, so that the error crosses process boundaries."""
        return AudioError, (self.error_type, str(self))


@dataclass(frozen=True, kw_only=True)
class DecodedAudio:
    """A decoded track, or evenly spaced chunks of it."""

    pcm: Pcm
    """Mono signal at the rate asked for, (samples,)."""
    sample_rate: int
    """Sampling rate of the file in Hz; of its longest part where it changes."""
    channels: int
    """Channels of the file; of its longest part where they change."""
    duration_s: float
    """Seconds of audio really decoded, whether kept in `pcm` or not; those stated if only needed chunks were."""
    coverage: float
    """Share of the track's chunks present in `pcm`, in (0, 1]."""
    chunk_indices: tuple[int, ...] | None = None
    """Which chunks of the track `pcm` holds, ascending; None when it holds the whole track."""
    damaged: str | None = None
    """What was lost or repaired, in words; None for a sound file."""


def decode_audio(
    source: Source,
    *,
    sample_rate: int = 16_000,
    chunk_samples: int | None = None,
    max_chunks: int | None = None,
    only_needed: bool = False,
    min_seconds: float = MIN_SECONDS,
    max_seconds: float = MAX_SECONDS,
    allow_silence: bool = False,
) -> DecodedAudio:
    """Decode a track to mono PCM, keeping all of it or evenly spaced chunks.

    Args:
        source: The file's content, its path, or a seekable binary file, which is read from its start.
        sample_rate: Rate of the result in Hz.
        chunk_samples: Samples per chunk at `sample_rate`; needed with `max_chunks`.
        max_chunks: Keep at most this many evenly spaced chunks; memory is then at most four times that many,
            however long the track. A track of no more chunks is kept whole, incomplete last chunk included.
        only_needed: Decode only the chunks kept, by seeking, where the format allows it; needs `max_chunks`.
            PCM, FLAC and MP3 do, if beginning and end of the file are as its header says; in any doubt, and where
            it would save nothing, the whole track is decoded. Given up for it: damage between the chunks goes
            unnoticed, and `duration_s` is what the header states, for MP3 corrected by where its end was found.
        min_seconds: A track with less audio is refused.
        max_seconds: A track with more audio is refused as soon as that much is decoded.
        allow_silence: Return a silent track instead of refusing it; a caption of it would be invention.

    Returns:
        The PCM and what is known about the file. The same bytes give the same result on every call.

    Raises:
        AudioError: The track cannot be heard, is silent, too short or too long.
        OSError: The file could not be read.
        ValueError: An argument is out of range, or `max_chunks` comes without `chunk_samples`, or `only_needed`
            without `max_chunks`.
    """
    _check_arguments(sample_rate, chunk_samples, max_chunks, only_needed, min_seconds, max_seconds)
    with _open(source) as file:
        head, size = file.head(_HEAD_BYTES), file.size()
        if size == 0:
            raise AudioError("empty_file", "The file is empty (0 bytes).")
        if what := _name_of_non_audio(head):
            raise AudioError("not_audio", f"This is {what}, not audio.")

        def attempt(decoder: _Decoder, mix: _Mix = _mean_of_channels) -> _Attempt:
            kept = _KeptPcm(chunk_samples, max_chunks)
            return _run(decoder, file, mix, _Resampler(sample_rate, kept), max_seconds)

        decoders = _decoders_for(head)
        best = None
        if only_needed and decoders[0] is _soundfile_blocks and not _missing_end(file, head, size):
            best = _run_needed(file, size, sample_rate, _KeptPcm(chunk_samples, max_chunks), max_seconds)
        best = best or attempt(decoders[0])
        for decoder in decoders[1:]:
            if best.facts.fatal is None and (best.facts.problems or best.facts.doubtful or not best.seconds):
                best = _better(best, attempt(decoder))
        if best.seconds >= MIN_SECONDS and best.kept.peak <= SILENT_PEAK < best.channel_peak * PCM_SCALE:
            # Left and right are mirror images and the mean of them is nothing, but there is music.
            best = attempt(best.decoder, _first_channel)
            best.facts.problems.append("the channels cancel each other out, so only the first was used")
        best.facts.problems.extend(_missing_end(file, head, size))
    return _result(best, head, min_seconds, allow_silence)


def load_audio(source: Source, *, sample_rate: int = 16_000) -> Waveform:
    """Decode a whole track, however short or silent, to a waveform for a model.

    Args:
        source: The file's content, its path, or a seekable binary file.
        sample_rate: Rate of the result in Hz.

    Returns:
        Mono waveform in [-1, 1], (samples,).

    Raises:
        AudioError: Nothing in the file can be decoded.
        OSError: The file could not be read.
    """
    audio = decode_audio(source, sample_rate=sample_rate, min_seconds=0.0, allow_silence=True)
    return audio.pcm.astype(np.float32) / np.float32(PCM_SCALE)


def to_chunks(waveform: NDArray[Any], chunk_samples: int) -> NDArray[Any]:
    """Cut a waveform into non-overlapping chunks (paper section III-B).

    The incomplete last chunk is dropped, as the published code does. Departs from it: a track shorter than
    one chunk is zero-padded to one.

    Args:
        waveform: Mono signal of any dtype, (samples,).
        chunk_samples: Samples per chunk.

    Returns:
        (chunks, chunk_samples), at least one chunk, of the waveform's dtype; a view where nothing is padded.

    Raises:
        ValueError: The waveform is not one-dimensional or is empty, or chunk_samples is not positive.
    """
    if waveform.ndim != 1 or len(waveform) == 0:
        raise ValueError(f"waveform must be (samples,) with at least one sample, not {waveform.shape}")
    if chunk_samples < 1:
        raise ValueError(f"chunk_samples must be at least 1, not {chunk_samples}")
    if len(waveform) < chunk_samples:
        waveform = np.pad(waveform, (0, chunk_samples - len(waveform)))
    num_chunks = len(waveform) // chunk_samples
    return waveform[: num_chunks * chunk_samples].reshape(num_chunks, chunk_samples)


def _check_arguments(
    sample_rate: int,
    chunk_samples: int | None,
    max_chunks: int | None,
    only_needed: bool,
    min_seconds: float,
    max_seconds: float,
) -> None:
    if sample_rate < 1:
        raise ValueError(f"sample_rate must be at least 1, not {sample_rate}")
    if max_chunks is not None and chunk_samples is None:
        raise ValueError(f"max_chunks={max_chunks} needs chunk_samples")
    if chunk_samples is not None and chunk_samples < 1:
        raise ValueError(f"chunk_samples must be at least 1, not {chunk_samples}")
    if max_chunks is not None and max_chunks < 1:
        raise ValueError(f"max_chunks must be at least 1, not {max_chunks}")
    if only_needed and max_chunks is None:
        raise ValueError("only_needed=True needs max_chunks; without it the whole track is kept")
    if not 0 <= min_seconds < max_seconds:
        raise ValueError(f"min_seconds={min_seconds} must lie in 0 to max_seconds={max_seconds}")


class _File:
    """A binary file the decoders' C code may read from: an error ends the file and is raised afterwards."""

    def __init__(self, file: BinaryIO, *, owned: bool) -> None:
        self._file = file
        self._owned = owned
        self.failure: BaseException | None = None

    def __enter__(self) -> "_File":
        return self

    def __exit__(self, *_: object) -> None:
        if self._owned:
            self._file.close()

    def read(self, count: int = -1) -> bytes:
        try:
            return self._file.read(count) or b""
        except Exception as error:  # of whatever kind the caller's file raises; kept and raised again
            self.failure = self.failure or error
            return b""

    def readinto(self, buffer: Any) -> int:
        data = self.read(len(buffer))
        buffer[0 : len(data)] = data
        return len(data)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        try:
            return self._file.seek(offset, whence)
        except (ValueError, OverflowError):
            return -1  # a damaged file sends its decoder to impossible places; no fault of the storage
        except OSError as error:
            if offset >= 0:
                self.failure = self.failure or error
            return -1

    def tell(self) -> int:
        return self._file.tell()

    def head(self, count: int) -> bytes:
        self.seek(0)
        data = self.read(count)
        self.raise_failure()
        return data

    def tail(self, count: int, size: int) -> bytes:
        self.seek(max(0, size - count))
        data = self.read(count)
        self.raise_failure()
        return data

    def size(self) -> int:
        return self.seek(0, io.SEEK_END)

    def raise_failure(self) -> None:
        if self.failure is not None:
            raise self.failure


def _open(source: Source) -> _File:
    if isinstance(source, (bytes, bytearray, memoryview)):
        return _File(io.BytesIO(source), owned=True)
    if isinstance(source, (str, Path)):
        return _File(open(source, "rb"), owned=True)
    if not source.seekable():
        raise ValueError("the file object must be seekable; pass its content as bytes instead")
    return _File(source, owned=False)


# What a file is, by its first bytes.

_PCM_CONTAINERS = (b"RIFF", b"RIFX", b"RF64", b"riff", b"caff", b".snd")

_SIGNATURES = (
    (b"PK\x03\x04", "a ZIP archive or an office document"),
    (b"PK\x05\x06", "an empty ZIP archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"BZh", "a bzip2 archive"),
    (b"\xfd7zXZ\x00", "an xz archive"),
    (b"(\xb5/\xfd", "a zstd archive"),
    (b"7z\xbc\xaf'\x1c", "a 7-Zip archive"),
    (b"Rar!", "a RAR archive"),
    (b"%PDF", "a PDF document"),
    (b"%!PS", "a PostScript document"),
    (b"{\\rtf", "an RTF document"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an office document"),
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"II*\x00", "a TIFF image"),
    (b"MM\x00*", "a TIFF image"),
    (b"8BPS", "a Photoshop image"),
    (b"MThd", "a MIDI file (notes, no sound)"),
    (b"\x7fELF", "a program"),
    (b"MZ", "a Windows program"),
    (b"SQLite format 3", "a database"),
    (b"PAR1", "a Parquet table"),
    (b"\x93NUMPY", "a NumPy array"),
)
_TEXT_SIGNATURES = (
    (b"<!doctype html", "a web page"),
    (b"<html", "a web page"),
    (b"<head", "a web page"),
    (b"<body", "a web page"),
    (b"<script", "a web page"),
    (b"<svg", "an SVG image"),
    (b"<?xml", "an XML document"),
    (b"<error", "an XML error message"),
    (b"{", "JSON text"),
    (b"[", "JSON or other text"),
    (b"#extm3u", "a playlist"),
    (b"version https://git-lfs", "a Git LFS pointer (the audio itself was not fetched)"),
)


def _name_of_non_audio(head: bytes) -> str | None:
    """Name content that is surely something else than audio, for the message."""
    for signature, name in _SIGNATURES:
        if head.startswith(signature):
            return name
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "a WebP image"
    if head[:2] == b"BM" and head[6:10] == bytes(4):
        return "a BMP image"
    if not head.strip(b"\x00"):
        return None if len(head) == _HEAD_BYTES else "a file of zero bytes"
    return _name_of_text(head)


def _name_of_text(head: bytes) -> str | None:
    if head[:2] in (b"\xff\xfe", b"\xfe\xff"):  # UTF-16
        head = head[2:].replace(b"\x00", b"")
    head = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    text = head.lower()
    if any(byte < 0x20 and byte not in b"\t\n\r\f" for byte in head[:4096]):
        return None
    if not text:
        return "a file of blanks"
    if text.startswith(b"<?xml") and (code := head.partition(b"<Code>")[2].partition(b"</Code>")[0]):
        return f"an error message from the storage ({code[:60].decode(errors='replace')})"
    for signature, name in _TEXT_SIGNATURES:
        if text.startswith(signature):
            return name
    return "text"


def _looks_like_audio(head: bytes) -> bool:
    """True for the beginnings of formats people deliver music in."""
    return (
        head[:4] in (*_PCM_CONTAINERS, b"FORM", b"fLaC", b"OggS", b"\x1aE\xdf\xa3")
        or head[:3] == b"ID3"
        or head[4:8] == b"ftyp"
        or head[:4] == b"0&\xb2u"  # ASF: wma
        or (len(head) > 1 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0)  # MPEG frame sync
    )


# Decoders: each yields blocks (samples, channels) of float32 with their rate, and notes what it finds.


@dataclass
class _Facts:
    """What a decoder learned on the way."""

    sample_rate: int = 0
    channels: int = 0
    name: str = "audio"
    problems: list[str] = field(default_factory=list)
    doubtful: bool = False  # the file goes on after the end its header gives
    changes_format: bool = False
    fatal: AudioError | None = None


_Blocks: TypeAlias = Iterator[tuple[Waveform, int]]
_Decoder: TypeAlias = Callable[[_File, _Facts], _Blocks]
_Mix: TypeAlias = Callable[[Waveform], Waveform]


def _decoders_for(head: bytes) -> tuple[_Decoder, ...]:
    """The decoders to try, in order; libsndfile is kept from formats it was not chosen for."""
    pcm = head[:4] in _PCM_CONTAINERS or head[8:12] in (b"AIFF", b"AIFC")
    mp3 = head[:3] == b"ID3" or (len(head) > 1 and head[0] == 0xFF and head[1] & 0xE6 in (0xE2, 0xE4, 0xE6))
    if pcm or mp3 or head[:4] == b"fLaC":
        return (_soundfile_blocks, _pyav_blocks)
    if head[:4] == b"OggS" or _looks_like_audio(head):
        return (_pyav_blocks,)
    return (_pyav_blocks, _pyav_flac_blocks)


class _SoundFile(soundfile.SoundFile):  # type: ignore[misc]  # soundfile has no types
    """A file whose MP3 frames are read straight on between seeks.

    soundfile seeks after every read to where the read ended. After that seek libmpg123 knows only a few of the
    earlier frames, in which MP3 keeps bits, and at low bit rates the next block begins with a glitch.
    """

    def seekable(self) -> bool:
        """What soundfile asks before it seeks of itself; FLAC needs it, to be heard beyond a length that is wrong."""
        return bool(super().seekable()) and self.format != "MP3"


def _soundfile_blocks(file: _File, facts: _Facts) -> _Blocks:
    file.seek(0)
    samples = position = 0
    try:
        with _SoundFile(file) as audio:
            facts.name = audio.format
            for block in _next_blocks(audio, audio.frames):
                samples += len(block)
                position = file.tell()
                yield block, audio.samplerate
            seconds, stated = samples / audio.samplerate, audio.frames / audio.samplerate
            if stated - seconds > (_LENGTH_TOLERANCE_SECONDS if _is_mpeg(audio) else 0.0):
                facts.problems.append(_ended_early(seconds, stated))
            facts.doubtful = _goes_on(audio, position, file.size())
    except soundfile.LibsndfileError as error:
        if error.code == _SFE_SEEK_FAILED:  # how FLAC without a length, or changing its rate, ends
            facts.doubtful = True
        else:
            facts.problems.append(_in_words(error))


def _next_blocks(audio: soundfile.SoundFile, frames: int) -> Iterator[Waveform]:
    """So many frames from where the file is, or as many as there are; each block takes the place of the last."""
    block = np.empty((max(1, _BLOCK_VALUES // audio.channels), audio.channels), np.float32)
    # Asking for more than there is would send libsndfile through the rest of the file.
    while frames > 0:
        decoded = audio.read(min(len(block), frames), out=block)
        if not len(decoded):
            break
        frames -= len(decoded)
        yield decoded


def _is_mpeg(audio: soundfile.SoundFile) -> bool:
    """True where the length may be an estimate, and where a frame needs some before it."""
    return str(audio.subtype).startswith("MPEG")


def _goes_on(audio: soundfile.SoundFile, position: int, size: int) -> bool:
    """True if more than tags follow the end of the audio."""
    return audio.format in ("FLAC", "MP3") and size - position > _LARGEST_TRAILER


def _pyav_flac_blocks(file: _File, facts: _Facts) -> _Blocks:
    """FLAC frames without a header, or behind bytes that are not FLAC."""
    for block in _pyav_blocks(file, facts, format_name="flac"):
        facts.problems = ["the file does not begin with a header; FLAC frames were found further on"]
        yield block


def _pyav_blocks(file: _File, facts: _Facts, format_name: str | None = None) -> _Blocks:
    file.seek(0)
    options = {"format_whitelist": _DEMUXERS, "protocol_whitelist": "none"}
    try:
        container = av.open(file, format=format_name, container_options=options, metadata_errors="replace")
    except (av.FFmpegError, ValueError, MemoryError) as error:
        facts.problems.append(_in_words(error))
        return
    with container:
        stream = _audio_stream(container, facts)
        if stream is not None:
            yield from _pyav_stream_blocks(container, stream, facts)


def _audio_stream(container: Any, facts: _Facts) -> Any:
    facts.name = container.format.name.split(",")[0]
    stream = container.streams.best("audio")
    if stream is None and container.streams.audio:
        stream = container.streams.audio[0]
    if stream is None:
        kinds = " and ".join(sorted({stream.type for stream in container.streams} - {None}))
        if kinds:
            facts.fatal = AudioError("no_audio_stream", f"The file has no sound track, only {kinds}.")
        return None
    codec = stream.codec_context
    if codec is None:
        facts.fatal = AudioError("unsupported", f"No decoder for the audio in this {facts.name} file.")
        return None
    if codec.codec_tag in ("drms", "enca"):
        facts.fatal = AudioError("encrypted", "The file is encrypted (DRM); ask for an unprotected copy.")
        return None
    codec.thread_count = 1  # one core per decoding task; several would only fight
    return stream


def _pyav_stream_blocks(container: Any, stream: Any, facts: _Facts) -> _Blocks:
    fifo = av.AudioFifo()  # gathers frames of a few milliseconds to blocks worth a call
    shape: tuple[int, int, str] | None = None  # sampling rate, channels, sample format
    seconds = 0.0
    for frame in _frames(container, stream, facts):
        now = (frame.sample_rate, frame.layout.nb_channels, frame.format.name)
        if shape is not None and (now != shape or fifo.samples * shape[1] >= _BLOCK_VALUES):
            yield from _blocks(fifo.read(), facts)
            facts.changes_format |= now[:2] != shape[:2]
            if now != shape:
                fifo = av.AudioFifo()
        shape = now
        seconds += frame.samples / frame.sample_rate
        frame.pts = None  # gaps in the file's clock are no gaps in the sound
        fifo.write(frame)
    if shape is not None and fifo.samples:
        yield from _blocks(fifo.read(), facts)
    stated = _stated_seconds(container, stream)
    if facts.name in _EXACT_LENGTH and stated - seconds > _LENGTH_TOLERANCE_SECONDS:
        facts.problems.append(_ended_early(seconds, stated))


def _frames(container: Any, stream: Any, facts: _Facts) -> Iterator[Any]:
    """Every frame that can be decoded; packets that cannot are counted and passed over."""
    good = bad = 0
    for packet in _packets(container, stream, facts):
        try:
            frames = packet.decode()
        except (av.FFmpegError, ValueError, MemoryError):
            bad += 1
            if bad > 10_000 and bad > 100 * good:
                break
            continue
        good += 1
        yield from (frame for frame in frames if frame.samples and frame.sample_rate)
    if bad:
        facts.problems.append(f"{bad} of {good + bad} packets could not be decoded")


def _packets(container: Any, stream: Any, facts: _Facts) -> Iterator[Any]:
    try:
        yield from container.demux(stream)
    except (av.FFmpegError, ValueError, MemoryError) as error:
        facts.problems.append(_in_words(error))


def _stated_seconds(container: Any, stream: Any) -> float:
    if stream.duration is not None and stream.time_base is not None:
        return float(stream.duration * stream.time_base)
    return float((container.duration or 0) / av.time_base)


def _blocks(frame: Any, facts: _Facts) -> _Blocks:
    """A frame as a block, (samples, channels), in [-1, 1] for integer formats; none if it is beyond us."""
    rate, channels = frame.sample_rate, frame.layout.nb_channels
    try:
        if frame.format.is_planar and channels >= _MOST_PLANES:
            [frame] = av.AudioResampler(format="flt", layout=frame.layout.name).resample(frame)
        block = _frame_array(frame)
    except (av.FFmpegError, ValueError) as error:
        facts.problems.append(f"{frame.samples / rate:.1f} s in {channels} channels were lost: {_in_words(error)}")
        return
    # Planar frames are (channels, samples), packed ones (1, samples x channels).
    block = block.T if frame.format.is_planar else block.reshape(-1, channels)
    if block.dtype == np.uint8:
        yield (block.astype(np.float32) - 128.0) / np.float32(128.0), rate
    elif block.dtype.kind == "i":
        yield block.astype(np.float32) / np.float32(-float(np.iinfo(block.dtype).min)), rate
    else:
        with np.errstate(over="ignore"):
            yield block.astype(np.float32, copy=False), rate


def _frame_array(frame: Any) -> NDArray[Any]:
    if not frame.format.name.startswith("s64"):
        return cast(NDArray[Any], frame.to_ndarray())
    # PyAV does not convert 64-bit integers.
    count = frame.samples * (1 if frame.format.is_planar else frame.layout.nb_channels)
    return np.stack([np.frombuffer(plane, np.int64, count) for plane in frame.planes])


# From blocks to PCM.


def _mean_of_channels(block: Waveform) -> Waveform:
    """(samples, channels) -> (samples,)."""
    if block.shape[1] == 1:
        return block[:, 0].copy()
    mono = block[:, 0] + block[:, 1]
    for channel in range(2, block.shape[1]):
        mono += block[:, channel]
    mono *= np.float32(1.0 / block.shape[1])
    return mono


def _first_channel(block: Waveform) -> Waveform:
    return block[:, 0].copy()


class _KeptPcm:
    """The PCM of a track, all of it or evenly spaced chunks.

    How long a track is shows only at its end, whatever its header says. So every `stride`-th chunk is kept,
    and whenever four times too many have gathered, every other one of them goes and the stride doubles. What
    remains is at least twice what is wanted, to choose from evenly.
    """

    def __init__(self, chunk_samples: int | None = None, max_chunks: int | None = None) -> None:
        self.chunk_samples = chunk_samples or 0
        self.max_chunks = max_chunks or 0  # 0: all of the track
        self._pending = bytearray()
        self._kept: dict[int, bytes] = {}  # by which chunk of the track it is, ascending
        self._stride = 1
        self._num_chunks = 0
        self.peak = 0

    def append(self, pcm: Pcm) -> None:
        if len(pcm) == 0:
            return
        self.peak = max(self.peak, int(pcm.max()), -int(pcm.min()))
        self._pending += pcm.tobytes()
        if self.max_chunks:
            self._cut()

    def skip_to(self, index: int) -> None:
        """Pass over chunks that are not decoded, up to the one that comes next."""
        self._num_chunks = index

    def _cut(self) -> None:
        chunk_bytes = 2 * self.chunk_samples
        num_ready = len(self._pending) // chunk_bytes
        for start in range(0, num_ready * chunk_bytes, chunk_bytes):
            if self._num_chunks % self._stride == 0:
                self._kept[self._num_chunks] = bytes(self._pending[start : start + chunk_bytes])
                if len(self._kept) > 4 * self.max_chunks:
                    self._kept = dict(list(self._kept.items())[::2])
                    self._stride *= 2
            self._num_chunks += 1
        del self._pending[: num_ready * chunk_bytes]

    def finish(self) -> tuple[Pcm, tuple[int, ...] | None, float]:
        """The PCM, which chunks it holds (None: the whole track) and their share of the track."""
        if self._num_chunks <= self.max_chunks or not self.max_chunks:
            whole = bytearray().join([*self._kept.values(), self._pending]) if self._kept else self._pending
            return np.frombuffer(whole, np.int16), None, 1.0
        middles = _middles(self._num_chunks, self.max_chunks)
        nearest = (middles + self._stride // 2) // self._stride * self._stride
        indices = np.minimum(nearest, max(self._kept)).tolist()
        pcm = np.frombuffer(bytearray().join([self._kept[index] for index in indices]), np.int16)
        return pcm, tuple(indices), len(indices) / self._num_chunks


def _middles(num_chunks: int, max_chunks: int) -> NDArray[np.int_]:
    """The chunk in the middle of each of max_chunks equal parts of a track."""
    parts = 2 * np.arange(max_chunks) + 1
    return parts * num_chunks // (2 * max_chunks)


class _Resampler:
    """Mono blocks of any rate, which may change on the way -> PCM at one rate."""

    def __init__(self, sample_rate: int, kept: _KeptPcm) -> None:
        self._target = sample_rate
        self._source = sample_rate
        self._stream: soxr.ResampleStream | None = None
        self.kept = kept

    def push(self, mono: Waveform, sample_rate: int) -> None:
        if sample_rate != self._source:
            self.finish()
            self._source = sample_rate
            if sample_rate != self._target:
                self._stream = soxr.ResampleStream(sample_rate, self._target, 1, "float32", "HQ")
        self._keep(mono if self._stream is None else self._stream.resample_chunk(mono))

    def finish(self) -> None:
        if self._stream is not None:
            self._keep(self._stream.resample_chunk(np.empty(0, np.float32), last=True))
            self._stream = None

    def _keep(self, mono: Waveform) -> None:
        scaled = mono * np.float32(PCM_SCALE)
        np.rint(scaled, out=scaled)
        np.clip(scaled, -PCM_SCALE, PCM_SCALE - 1, out=scaled)
        self.kept.append(scaled.astype(np.int16))


@dataclass
class _Attempt:
    """What one decoder made of a file."""

    decoder: _Decoder
    facts: _Facts
    kept: _KeptPcm
    seconds: float = 0.0
    channel_peak: float = 0.0


def _run(decoder: _Decoder, file: _File, mix: _Mix, resampler: _Resampler, max_seconds: float) -> _Attempt:
    facts = _Facts()
    result = _Attempt(decoder=decoder, facts=facts, kept=resampler.kept)
    values_left = max_seconds * _VALUES_PER_SECOND
    repaired = 0
    samples_at: dict[tuple[int, int], int] = {}  # by sampling rate and number of channels
    for block, rate in decoder(file, facts):
        if not SAMPLE_RATES[0] <= rate <= SAMPLE_RATES[1]:
            facts.fatal = AudioError("damaged", f"The header gives an impossible sampling rate, {rate} Hz.")
            break
        kind = (rate, block.shape[1])
        samples_at[kind] = samples_at.get(kind, 0) + len(block)
        result.seconds = sum(samples / of_kind[0] for of_kind, samples in samples_at.items())
        values_left -= block.size
        if result.seconds > max_seconds or values_left < 0:
            raise AudioError("too_long", f"The file holds more audio than is allowed, {_clock(max_seconds)}.")
        with np.errstate(over="ignore", invalid="ignore"):
            mono = mix(block)
        if result.channel_peak * PCM_SCALE <= SILENT_PEAK:
            result.channel_peak = float(np.nan_to_num(np.abs(block).max(initial=0.0)))
        repaired += _repair(mono)
        resampler.push(mono, rate)
    resampler.finish()
    file.raise_failure()
    if repaired:
        facts.problems.append(f"{repaired} samples were no numbers or far beyond full scale")
    if samples_at:
        facts.sample_rate, facts.channels = max(samples_at, key=lambda kind: samples_at[kind] / kind[0])
    return result


def _repair(mono: Waveform) -> int:
    """Replace samples no sound can have, in place: NaN by silence, others by the limit; count them."""
    if max(mono.max(initial=0.0), -mono.min(initial=0.0)) <= _SANE_PEAK:  # False for NaN
        return 0
    wrong = ~(np.abs(mono) <= _SANE_PEAK)
    np.nan_to_num(mono, copy=False, nan=0.0, posinf=_SANE_PEAK, neginf=-_SANE_PEAK)
    np.clip(mono, -_SANE_PEAK, _SANE_PEAK, out=mono)
    return int(wrong.sum())


# Only what is needed.


def _run_needed(file: _File, size: int, sample_rate: int, kept: _KeptPcm, max_seconds: float) -> _Attempt | None:
    """Decode only the chunks that will be kept; None in doubt or where it saves nothing."""
    file.seek(0)
    try:
        with _SoundFile(file) as audio:
            rate, frames = audio.samplerate, _frames_there(audio, file, size, max_seconds)
            # soxr rounds the length of a track at the new rate half up.
            num_chunks = (2 * frames * sample_rate + rate) // (2 * rate * kept.chunk_samples)
            if num_chunks <= kept.max_chunks:
                return None
            needed = {
                index: _stretch(audio, frames, sample_rate, index * kept.chunk_samples, kept.chunk_samples)
                for index in _middles(num_chunks, kept.max_chunks).tolist()
            }
            if sum(len(stretch) for stretch, _ in needed.values()) >= frames:
                return None
            for index, (stretch, lead) in needed.items():
                resampler = _Resampler(sample_rate, _KeptPcm())
                part = _run(_stretch_decoder(audio, stretch), file, _mean_of_channels, resampler, max_seconds)
                if part.facts.problems:
                    return None
                pcm, _, _ = part.kept.finish()
                kept.skip_to(index)
                kept.append(pcm[lead : lead + kept.chunk_samples])
            kept.skip_to(num_chunks)
            facts = _Facts(sample_rate=rate, channels=audio.channels)
    except soundfile.LibsndfileError:
        return None
    if kept.peak <= SILENT_PEAK:
        return None  # there may be music elsewhere, or in channels that cancel each other out
    return _Attempt(decoder=_soundfile_blocks, facts=facts, kept=kept, seconds=frames / rate)


def _frames_there(audio: soundfile.SoundFile, file: _File, size: int, max_seconds: float) -> int:
    """The length of a file if its end is where the header says, or else 0."""
    rate, stated = int(audio.samplerate), int(audio.frames)
    most = max_seconds * min(rate, _VALUES_PER_SECOND / audio.channels)
    if not SAMPLE_RATES[0] <= rate <= SAMPLE_RATES[1] or stated > most:
        return 0
    tail = min(stated, round(_LENGTH_TOLERANCE_SECONDS * rate))
    found = position = 0
    audio.seek(stated - tail)
    for block in _next_blocks(audio, tail):
        found += len(block)
        position = file.tell()
    if not found or (found < tail and not _is_mpeg(audio)) or _goes_on(audio, position, size):
        return 0
    return stated - tail + found


def _stretch(
    audio: soundfile.SoundFile, frames: int, sample_rate: int, first: int, num_samples: int
) -> tuple[range, int]:
    """The frames some samples at the target rate are made of, and how many samples come before those."""
    rate = audio.samplerate
    edge = math.ceil(_EDGE_SAMPLES * max(1.0, rate / sample_rate))
    before = edge + (round(_RESERVOIR_SECONDS * rate) if _is_mpeg(audio) else 0)
    # Frames and samples coincide once in so many frames; starting there leaves resampling in step.
    step = rate // math.gcd(rate, sample_rate)
    start = max(0, first * rate // sample_rate - before) // step * step
    stop = min(frames, -(-(first + num_samples) * rate // sample_rate) + edge)
    return range(start, stop), first - start * sample_rate // rate


def _stretch_decoder(audio: soundfile.SoundFile, stretch: range) -> _Decoder:
    """A decoder of part of a file that is open, for which the end of the file is a problem."""

    def blocks(file: _File, facts: _Facts) -> _Blocks:
        audio.seek(stretch.start)
        samples = 0
        for block in _next_blocks(audio, len(stretch)):
            samples += len(block)
            yield block, audio.samplerate
        if samples < len(stretch):
            facts.problems.append("the file ends early")

    return blocks


def _better(first: _Attempt, second: _Attempt) -> _Attempt:
    """The attempt that heard more; what the other one met still counts, unless it only lacked an ability."""
    better, other = (second, first) if second.seconds >= first.seconds else (first, second)
    if other.seconds > 0 and not better.facts.changes_format:
        better.facts.problems = better.facts.problems or other.facts.problems
    better.facts.fatal = better.facts.fatal or other.facts.fatal
    return better


def _missing_end(file: _File, head: bytes, size: int) -> list[str]:
    """Files that say how large they are and are smaller: the decoders pass over it in silence."""
    if head[:4] in (b"RIFF", b"FORM") and len(head) >= 12:
        stated = int.from_bytes(head[4:8], "little" if head[:4] == b"RIFF" else "big") + 8
        streamed = stated >= 0x7FFFFFFF  # written without knowing the length: a marker, not a size
        if not streamed and stated > size + 1:
            return [f"the file is cut short: {size:,} of {stated:,} bytes are there"]
    if head[4:8] == b"ftyp" and not _has_index(file, size):
        return ["the index of the file is missing: it was cut short"]
    if head[:4] == b"OggS":
        tail = file.tail(_HEAD_BYTES, size)
        page = tail.rfind(b"OggS")
        lacing = tail[page + 27 : page + 27 + tail[page + 26]] if 0 <= page < len(tail) - 27 else b""
        if page >= 0 and page + 27 + len(lacing) + sum(lacing) > len(tail):
            return ["the file is cut short in the middle of a page"]
    return []


def _has_index(file: _File, size: int) -> bool:
    """True if an MP4 file holds a `moov` atom; it often comes last."""
    position = 0
    for _ in range(1_000):  # more top-level atoms than any file has
        file.seek(position)
        atom = file.read(16)
        if len(atom) < 8 or position >= size:
            return False
        if atom[4:8] == b"moov":
            return True
        length = int.from_bytes(atom[:4], "big")
        position += int.from_bytes(atom[8:16], "big") if length == 1 else max(length, 8)
    return False


def _result(best: _Attempt, head: bytes, min_seconds: float, allow_silence: bool) -> DecodedAudio:
    facts = best.facts
    damaged = "; ".join(dict.fromkeys(facts.problems)) or None
    if best.seconds <= 0:
        raise facts.fatal or _undecodable(facts, head)
    if best.seconds < min_seconds and damaged:
        raise AudioError("damaged", f"Only {best.seconds:.2f} s of audio could be decoded: {damaged}.")
    if best.seconds < min_seconds:
        found = f"{best.seconds:.2f} s of audio"
        raise AudioError("too_short", f"The file holds only {found}; at least {min_seconds:g} s are needed.")
    if best.kept.peak <= SILENT_PEAK and not allow_silence:
        raise AudioError("silent", f"The whole file is silent ({_clock(best.seconds)} of digital silence).")
    pcm, chunk_indices, coverage = best.kept.finish()
    return DecodedAudio(
        pcm=pcm,
        sample_rate=facts.sample_rate,
        channels=facts.channels,
        duration_s=best.seconds,
        coverage=coverage,
        chunk_indices=chunk_indices,
        damaged=damaged,
    )


# Words for people.


def _undecodable(facts: _Facts, head: bytes) -> AudioError:
    reasons = "; ".join(dict.fromkeys(facts.problems))
    if not head.strip(b"\x00"):
        return AudioError("not_audio", "The file holds nothing but zero bytes; its upload or copy failed.")
    if _looks_like_audio(head):
        return AudioError(
            "damaged", f"The file begins like audio, but none of it can be decoded: {reasons or 'it ends there'}."
        )
    return AudioError("not_audio", f"The content is in no audio format known here ({_first_bytes(head)}).")


def _first_bytes(head: bytes) -> str:
    return f"it begins with the bytes {head[:8].hex(' ')}"


def _ended_early(seconds: float, stated: float) -> str:
    return f"the file ends early: {_clock(seconds)} of the {_clock(stated)} its header gives"


def _in_words(error: Exception) -> str:
    if isinstance(error, av.InvalidDataError):
        return "its data makes no sense to a decoder"
    if isinstance(error, av.FFmpegError) and (isinstance(error, EOFError) or error.errno == errno.EIO):
        return "it ends too soon"
    reason = getattr(error, "error_string", None) or getattr(error, "strerror", None) or str(error)
    return f"the decoder says '{str(reason).strip().rstrip('.')}'"


def _clock(seconds: float) -> str:
    """61.24 -> '1:01.2'; 5 -> '5.0 s'."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds, 1), 60)
    if minutes < 60:
        return f"{minutes:.0f}:{rest:04.1f}"
    return f"{minutes // 60:.0f}:{minutes % 60:02.0f}:{rest:02.0f}"
