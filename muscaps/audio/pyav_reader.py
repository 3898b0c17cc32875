"""All other formats through FFmpeg."""

from collections.abc import Iterator, Sequence
from typing import Any, cast

import av
import av.stream
import numpy as np
from numpy.typing import NDArray

from muscaps.audio.blocks import BLOCK_VALUES, LENGTH_TOLERANCE_SECONDS, Blocks, ReaderReport
from muscaps.audio.errors import AudioError, ended_early, error_text
from muscaps.audio.source_file import SourceFile

_MOST_PLANES = 8  # PyAV 18 crashes when it reads the planes of a frame with this many or more
# What FFmpeg may open: plain media files that begin with a mark of their format. Playlists and manifests (HLS, DASH,
# concat) are left out because they make it open other files and addresses, raw samples because any bytes are some.
_DEMUXERS = (
    "aa,aac,ac3,aea,aiff,amr,amrnb,amrwb,ape,asf,ast,au,avi,avr,bfstm,bonk,brstm,caf,codec2,dsf,dss,dts,dtshd,dv,eac3,"
    "epaf,flac,flv,fsb,genh,gxf,hca,hcom,iamf,iff,ircam,kvag,lc3,loas,matroska,webm,mca,mlp,mmf,mov,mp4,m4a,3gp,3g2,"
    "mj2,mp3,mpc,mpc8,mpeg,mpegts,msf,mtaf,mxf,nistsphere,nsv,nut,ogg,oma,osq,pvf,qcp,qoa,rka,rm,shn,sox,tak,truehd,"
    "tta,usm,voc,vqf,w64,wady,wav,wavarc,wsd,wtv,wv,wve,xvag,xwma"
)
# Containers that state an exact length; for the others FFmpeg estimates it from the bit rate.
_EXACT_LENGTH = {"aiff", "ape", "asf", "caf", "dsf", "flac", "iff", "matroska", "mov", "tak", "tta", "wav", "w64", "wv"}
_LOSSLESS = {"alac", "ape", "flac", "mlp", "shorten", "tak", "truehd", "tta", "wavpack"}  # and pcm_*
_MIXES = {"mix", "mixed", "mixture", "master", "full mix", "stereo mix"}  # titles of the mixed track of a stems file


def pyav_flac_blocks(file: SourceFile, facts: ReaderReport) -> Blocks:
    """Read FLAC frames without a header, or after bytes that are not FLAC."""
    for block in pyav_blocks(file, facts, format_name="flac"):
        facts.problems = ["the file does not begin with a header; FLAC frames were found further on"]
        yield block


def pyav_blocks(file: SourceFile, facts: ReaderReport, format_name: str | None = None) -> Blocks:
    file.seek(0)
    options = {"format_whitelist": _DEMUXERS, "protocol_whitelist": "none"}
    try:
        container = av.open(file, format=format_name, container_options=options, metadata_errors="replace")
    except (av.FFmpegError, ValueError, MemoryError) as error:
        facts.problems.append(error_text(error))
        return
    with container:
        stream = _audio_stream(container, facts)
        if stream is not None:
            yield from _pyav_stream_blocks(container, stream, facts)


def _audio_stream(container: Any, facts: ReaderReport) -> Any:
    facts.name = container.format.name.split(",")[0]
    stream = _main_stream(container.streams.audio)
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
    codec.thread_count = 1  # each decoding task has one core
    facts.lossless = codec.name in _LOSSLESS or codec.name.startswith("pcm_")
    return stream


def _main_stream(streams: Sequence[Any]) -> Any:
    """Return the stream that holds the mixed track; None if there is no stream.

    FFmpeg's own choice is the stream with the highest bit rate, which in a stems file (.stem.mp4) may be one
    instrument. There the mix comes first and is the default. So of the streams with a decoder the one that is called
    a mix is chosen, else the first default, else the first.
    """
    usable = [stream for stream in streams if stream.codec_context is not None] or list(streams)
    named = [stream for stream in usable if str(stream.metadata.get("title", "")).strip().lower() in _MIXES]
    default = [stream for stream in usable if stream.disposition & av.stream.Disposition.default]
    return next(iter([*named, *default, *usable]), None)


def _pyav_stream_blocks(container: Any, stream: Any, facts: ReaderReport) -> Blocks:
    fifo = av.AudioFifo()  # collects frames of a few milliseconds into larger blocks
    shape: tuple[int, int, str] | None = None  # sampling rate, channels, sample format
    seconds = 0.0
    for frame in _frames(container, stream, facts):
        now = (frame.sample_rate, frame.layout.nb_channels, frame.format.name)
        if shape is not None and (now != shape or fifo.samples * shape[1] >= BLOCK_VALUES):
            yield from _blocks(fifo.read(), facts)
            facts.changes_format |= now[:2] != shape[:2]
            if now != shape:
                fifo = av.AudioFifo()
        shape = now
        seconds += frame.samples / frame.sample_rate
        frame.pts = None  # gaps in the timestamps are not gaps in the sound
        fifo.write(frame)
    if shape is not None and fifo.samples:
        yield from _blocks(fifo.read(), facts)
    stated = _stated_seconds(container, stream)
    if facts.name in _EXACT_LENGTH and stated - seconds > LENGTH_TOLERANCE_SECONDS:
        facts.problems.append(ended_early(seconds, stated))
        facts.stated_seconds = stated


def _frames(container: Any, stream: Any, facts: ReaderReport) -> Iterator[Any]:
    """Yield every frame that can be decoded; count and skip the packets that cannot."""
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


def _packets(container: Any, stream: Any, facts: ReaderReport) -> Iterator[Any]:
    try:
        yield from container.demux(stream)
    except (av.FFmpegError, ValueError, MemoryError) as error:
        facts.problems.append(error_text(error))


def _stated_seconds(container: Any, stream: Any) -> float:
    if stream.duration is not None and stream.time_base is not None:
        return float(stream.duration * stream.time_base)
    return float((container.duration or 0) / av.time_base)


def _blocks(frame: Any, facts: ReaderReport) -> Blocks:
    """Yield a frame as a block, (samples, channels), in [-1, 1] for integer formats; nothing if it is unsupported."""
    rate, channels = frame.sample_rate, frame.layout.nb_channels
    try:
        if frame.format.is_planar and channels >= _MOST_PLANES:
            [frame] = av.AudioResampler(format="flt", layout=frame.layout.name).resample(frame)
        block = _frame_array(frame)
    except (av.FFmpegError, ValueError) as error:
        facts.problems.append(f"{frame.samples / rate:.1f} s in {channels} channels were lost: {error_text(error)}")
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
