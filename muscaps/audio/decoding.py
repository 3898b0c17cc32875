"""Decode a track in any common format to mono PCM at the model's rate, and to chunks.

Conventions: rates in Hz, durations in seconds; a waveform is (samples,), int16 between stages and float32
in [-1, 1] at the model; int16 becomes float32 by dividing by 32 768. The content of a file decides its
type, never its name. Channels are mixed by their mean before resampling (swresample's mix is 3 dB louder,
which would shift dB features). Tracks are read, mixed and resampled block by block. Memory
therefore depends on what is kept, not on the file or on what its header states.

libsndfile decodes PCM, FLAC and MP3, because it is faster there. FFmpeg, through PyAV, decodes all other formats
and the files that libsndfile cannot open or finds damaged. With `only_needed`, libsndfile decodes only the chunks
that are kept.
"""

from dataclasses import dataclass, replace

import numpy as np

from muscaps.audio.attempt import Attempt, better_of, run_reader
from muscaps.audio.blocks import PCM_SCALE, Mix, Pcm, Reader, ReaderReport, Waveform
from muscaps.audio.channels import first_channel, mean_of_channels
from muscaps.audio.damage import MissingEnd, missing_end
from muscaps.audio.errors import AudioError, clock, first_bytes
from muscaps.audio.file_types import HEAD_BYTES, PCM_CONTAINERS, looks_like_audio, name_of_non_audio
from muscaps.audio.kept_chunks import KeptPcm
from muscaps.audio.needed_chunks import decode_needed
from muscaps.audio.pyav_reader import pyav_blocks, pyav_flac_blocks
from muscaps.audio.resampling import Resampler
from muscaps.audio.silence import AUDIBLE_DBFS, AUDIBLE_RMS, num_chunks_before_silence
from muscaps.audio.soundfile_reader import soundfile_blocks
from muscaps.audio.source_file import Source, open_source
from muscaps.audio.trailing_tags import end_of_audio

MAX_SECONDS = 24 * 3600.0  # one day: longer than any release, and a limit for decompression bombs
MIN_SECONDS = 0.5  # too short to describe as music


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
    """Seconds of audio decoded, kept in `pcm` or not; the stated length if only the needed chunks were decoded."""
    coverage: float
    """Fraction of the track in `pcm`, in (0, 1]: chunks that were left out and audio that the header states but
    the file does not hold both reduce it."""
    share_kept: float = 1.0
    """Fraction of the decoded chunks in `pcm`, in (0, 1]."""
    chunk_indices: tuple[int, ...] | None = None
    """Numbers of the chunks in `pcm`, ascending; None if it holds the whole track."""
    damaged: str | None = None
    """What was lost or repaired, in words; None for an intact file."""


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
            however long the track. A track of no more chunks is kept whole, incomplete last chunk included. Almost
            silent chunks at the end of what is kept are left out; this changes neither duration nor coverage.
        only_needed: Decode only the chunks kept, by seeking, where the format allows it; needs `max_chunks`.
            That is possible for PCM, FLAC and MP3 if the beginning and the end of the file agree with its header.
            In any doubt, and if it saves nothing, the whole track is decoded. The costs: damage between the chunks
            is not detected, and `duration_s` is the stated length (for MP3 corrected by the end that was found).
        min_seconds: A track with less audio is an error.
        max_seconds: A track with more audio is an error, raised as soon as that much is decoded.
        allow_silence: Return a silent track instead of an error. A caption of it would be made up. A track is silent
            if less than 0.5 s of it, and less than 5 %, is louder than -55 dBFS (`muscaps.audio.silence`).

    Returns:
        The PCM and what is known about the file. The same bytes give the same result on every call.

    Raises:
        AudioError: The track cannot be decoded, or is silent, too short or too long.
        OSError: The file could not be read.
        ValueError: An argument is out of range, or `max_chunks` comes without `chunk_samples`, or `only_needed`
            without `max_chunks`.
    """
    _check_arguments(sample_rate, chunk_samples, max_chunks, only_needed, min_seconds, max_seconds)
    with open_source(source) as file:
        head, size = file.head(HEAD_BYTES), file.size()
        if size == 0:
            raise AudioError("empty_file", "The file is empty (0 bytes).")
        if what := name_of_non_audio(head):
            raise AudioError("not_audio", f"This is {what}, not audio.")
        size = end_of_audio(file, head, size)
        file.end_at(size)

        def attempt(decoder: Reader, mix: Mix = mean_of_channels) -> Attempt:
            kept = KeptPcm(chunk_samples, max_chunks, sample_rate=sample_rate)
            return run_reader(decoder, file, mix, Resampler(sample_rate, kept), max_seconds)

        decoders = _decoders_for(head)
        best = None
        missing = missing_end(file, head, size)
        if only_needed and decoders[0] is soundfile_blocks and missing is None:
            kept = KeptPcm(chunk_samples, max_chunks, sample_rate=sample_rate)
            best = decode_needed(file, size, sample_rate, kept, max_seconds)
        best = best or attempt(decoders[0])
        for decoder in decoders[1:]:
            if best.facts.carries:  # FFmpeg finds and decodes compressed audio in WAV
                best = attempt(decoder)
            elif best.facts.fatal is None and (best.facts.problems or best.facts.doubtful or not best.seconds):
                best = better_of(best, attempt(decoder))
        if best.seconds >= MIN_SECONDS and best.kept.level.is_silent and best.channel_peak * PCM_SCALE > AUDIBLE_RMS:
            # The channels may be opposite: their mean is silent, although each holds music.
            first = attempt(best.decoder, first_channel)
            if not first.kept.level.is_silent:
                best = first
                best.facts.problems.append("the channels cancel each other out, so only the first was used")
    result = _result(best, head, missing, min_seconds, allow_silence)
    return result if max_chunks is None or allow_silence else _without_silent_end(result, best.kept, sample_rate)


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


def _decoders_for(head: bytes) -> tuple[Reader, ...]:
    """Return the readers to try, in order. libsndfile reads only the formats that it was chosen for."""
    pcm = head[:4] in PCM_CONTAINERS or head[8:12] in (b"AIFF", b"AIFC")
    mp3 = head[:3] == b"ID3" or (len(head) > 1 and head[0] == 0xFF and head[1] & 0xE6 in (0xE2, 0xE4, 0xE6))
    if pcm or mp3 or head[:4] == b"fLaC":
        return (soundfile_blocks, pyav_blocks)
    if head[:4] == b"OggS" or looks_like_audio(head):
        return (pyav_blocks,)
    return (pyav_blocks, pyav_flac_blocks)


def _result(
    best: Attempt, head: bytes, missing: MissingEnd | None, min_seconds: float, allow_silence: bool
) -> DecodedAudio:
    facts = best.facts
    if missing is not None:
        facts.problems.append(missing.problem)
    if facts.carries:
        raise AudioError(
            "unsupported",
            f"The file holds {facts.carries} data as PCM samples and would play as noise; decode it to PCM first.",
        )
    damaged = "; ".join(dict.fromkeys(facts.problems)) or None
    if best.seconds <= 0:
        raise facts.fatal or _undecodable(facts, head)
    if best.seconds < min_seconds and damaged:
        raise AudioError("damaged", f"Only {best.seconds:.2f} s of audio could be decoded: {damaged}.")
    if best.seconds < min_seconds:
        found = f"{best.seconds:.2f} s of audio"
        raise AudioError("too_short", f"The file holds only {found}; at least {min_seconds:g} s are needed.")
    if best.kept.level.is_silent and not allow_silence:
        raise _silent(best)
    pcm, chunk_indices, share_kept = best.kept.finish()
    share_held = min(missing.share_held if missing else 1.0, best.seconds / (facts.stated_seconds or best.seconds))
    return DecodedAudio(
        pcm=pcm,
        sample_rate=facts.sample_rate,
        channels=facts.channels,
        duration_s=best.seconds,
        coverage=share_kept * share_held,
        share_kept=share_kept,
        chunk_indices=chunk_indices,
        damaged=damaged,
    )


def _without_silent_end(result: DecodedAudio, kept: KeptPcm, sample_rate: int) -> DecodedAudio:
    """Leave out almost silent chunks at the end, on which a caption must not depend."""
    num_chunks = num_chunks_before_silence(result.pcm, kept.chunk_samples, sample_rate)
    if num_chunks >= len(result.pcm) // kept.chunk_samples:
        return result
    indices = result.chunk_indices and result.chunk_indices[:num_chunks]
    return replace(result, pcm=result.pcm[: num_chunks * kept.chunk_samples], chunk_indices=indices)


def _silent(best: Attempt) -> AudioError:
    level = best.kept.level
    if level.peak <= 1:  # one step of 16-bit audio: the level of dither
        return AudioError("silent", f"The whole file is silent ({clock(best.seconds)} of digital silence).")
    return AudioError(
        "silent",
        f"The file is almost silent: {level.audible_seconds:.1f} s of {clock(best.seconds)} "
        f"are louder than {AUDIBLE_DBFS:g} dBFS.",
    )


def _undecodable(facts: ReaderReport, head: bytes) -> AudioError:
    reasons = "; ".join(dict.fromkeys(facts.problems))
    if not head.strip(b"\x00"):
        return AudioError("not_audio", "The file contains only zero bytes; its upload or copy failed.")
    if looks_like_audio(head):
        return AudioError(
            "damaged", f"The file begins like audio, but none of it can be decoded: {reasons or 'it ends there'}."
        )
    return AudioError("not_audio", f"The content is in no audio format known here ({first_bytes(head)}).")
