"""Decoding of only the chunks that are kept, by seeking."""

import math

import soundfile

from muscaps.audio.attempt import Attempt, run_reader
from muscaps.audio.blocks import (
    LENGTH_TOLERANCE_SECONDS,
    SAMPLE_RATES,
    VALUES_PER_SECOND,
    Blocks,
    Reader,
    ReaderReport,
)
from muscaps.audio.channels import mean_of_channels
from muscaps.audio.kept_chunks import KeptPcm, middles
from muscaps.audio.resampling import Resampler
from muscaps.audio.soundfile_reader import SoundFile, has_more_audio, is_mpeg, next_blocks, soundfile_blocks
from muscaps.audio.source_file import SourceFile

_EDGE_SAMPLES = 256  # reach of soxr's filter at the lower rate; samples beyond it add less than 0.05 steps of int16
_RESERVOIR_SECONDS = 0.5  # MP3 stores bits in earlier frames: enough for 8 kbit/s mono; 0.25 s would do from 16 kbit/s


def decode_needed(file: SourceFile, size: int, sample_rate: int, kept: KeptPcm, max_seconds: float) -> Attempt | None:
    """Decode only the chunks that will be kept; return None in doubt or if that saves nothing."""
    file.seek(0)
    try:
        with SoundFile(file) as audio:
            rate, frames = audio.samplerate, _frames_there(audio, file, size, max_seconds)
            # soxr rounds the length of a track at the new rate half up.
            num_chunks = (2 * frames * sample_rate + rate) // (2 * rate * kept.chunk_samples)
            if num_chunks <= kept.max_chunks:
                return None
            needed = {
                index: _stretch(audio, frames, sample_rate, index * kept.chunk_samples, kept.chunk_samples)
                for index in middles(num_chunks, kept.max_chunks).tolist()
            }
            if sum(len(stretch) for stretch, _ in needed.values()) >= frames:
                return None
            for index, (stretch, lead) in needed.items():
                resampler = Resampler(sample_rate, KeptPcm())
                part = run_reader(_stretch_decoder(audio, stretch), file, mean_of_channels, resampler, max_seconds)
                if part.facts.problems or part.facts.carries:
                    return None
                pcm, _, _ = part.kept.finish()
                kept.skip_to(index)
                kept.append(pcm[lead : lead + kept.chunk_samples])
            kept.skip_to(num_chunks)
            facts = ReaderReport(sample_rate=rate, channels=audio.channels)
    except soundfile.LibsndfileError:
        return None
    if kept.level.is_silent:
        return None  # there may be music elsewhere, or in channels that cancel each other out
    return Attempt(decoder=soundfile_blocks, facts=facts, kept=kept, seconds=frames / rate)


def _frames_there(audio: soundfile.SoundFile, file: SourceFile, size: int, max_seconds: float) -> int:
    """Return the frames of a file if its end is where the header states it, else 0."""
    rate, stated = int(audio.samplerate), int(audio.frames)
    most = max_seconds * min(rate, VALUES_PER_SECOND / audio.channels)
    if not SAMPLE_RATES[0] <= rate <= SAMPLE_RATES[1] or stated > most:
        return 0
    tail = min(stated, round(LENGTH_TOLERANCE_SECONDS * rate))
    found = position = 0
    audio.seek(stated - tail)
    for block in next_blocks(audio, tail):
        found += len(block)
        position = file.tell()
    if not found or (found < tail and not is_mpeg(audio)) or has_more_audio(audio, position, size):
        return 0
    return stated - tail + found


def _stretch(
    audio: soundfile.SoundFile, frames: int, sample_rate: int, first: int, num_samples: int
) -> tuple[range, int]:
    """Return the frames that samples at the target rate depend on, and how many samples come before those."""
    rate = audio.samplerate
    edge = math.ceil(_EDGE_SAMPLES * max(1.0, rate / sample_rate))
    before = edge + (round(_RESERVOIR_SECONDS * rate) if is_mpeg(audio) else 0)
    # Frames and samples coincide every `step` frames. Starting at one of them gives the same samples as a whole pass.
    step = rate // math.gcd(rate, sample_rate)
    start = max(0, first * rate // sample_rate - before) // step * step
    stop = min(frames, -(-(first + num_samples) * rate // sample_rate) + edge)
    return range(start, stop), first - start * sample_rate // rate


def _stretch_decoder(audio: soundfile.SoundFile, stretch: range) -> Reader:
    """Return a reader of one stretch of an open file, which reports a file that ends within it."""

    def blocks(file: SourceFile, facts: ReaderReport) -> Blocks:
        facts.lossless = not is_mpeg(audio)
        audio.seek(stretch.start)
        samples = 0
        for block in next_blocks(audio, len(stretch)):
            samples += len(block)
            yield block, audio.samplerate
        if samples < len(stretch):
            facts.problems.append("the file ends early")

    return blocks
