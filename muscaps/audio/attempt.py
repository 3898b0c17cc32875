"""A file decoded by one reader."""

from dataclasses import dataclass

import numpy as np

from muscaps.audio.blocks import PCM_SCALE, SAMPLE_RATES, VALUES_PER_SECOND, Mix, Reader, ReaderReport
from muscaps.audio.damage import repair_samples
from muscaps.audio.data_in_pcm import CHECKED_BLOCKS, compressed_format
from muscaps.audio.errors import AudioError, clock
from muscaps.audio.kept_chunks import KeptPcm
from muscaps.audio.resampling import Resampler
from muscaps.audio.silence import AUDIBLE_RMS
from muscaps.audio.source_file import SourceFile


@dataclass
class Attempt:
    """What one reader decoded from a file."""

    decoder: Reader
    facts: ReaderReport
    kept: KeptPcm
    seconds: float = 0.0
    channel_peak: float = 0.0


def run_reader(decoder: Reader, file: SourceFile, mix: Mix, resampler: Resampler, max_seconds: float) -> Attempt:
    facts = ReaderReport()
    result = Attempt(decoder=decoder, facts=facts, kept=resampler.kept)
    values_left = max_seconds * VALUES_PER_SECOND
    repaired = num_checked = 0
    samples_at: dict[tuple[int, int], int] = {}  # by sampling rate and number of channels
    for block, rate in decoder(file, facts):
        if not SAMPLE_RATES[0] <= rate <= SAMPLE_RATES[1]:
            facts.fatal = AudioError("damaged", f"The header gives an impossible sampling rate, {rate} Hz.")
            break
        if facts.lossless and num_checked < CHECKED_BLOCKS and block.any():
            num_checked += 1
            facts.carries = compressed_format(block)
            if facts.carries:
                break
        kind = (rate, block.shape[1])
        samples_at[kind] = samples_at.get(kind, 0) + len(block)
        result.seconds = sum(samples / of_kind[0] for of_kind, samples in samples_at.items())
        values_left -= block.size
        if result.seconds > max_seconds or values_left < 0:
            raise AudioError("too_long", f"The file holds more audio than is allowed, {clock(max_seconds)}.")
        with np.errstate(over="ignore", invalid="ignore"):
            mono = mix(block)
        if result.channel_peak * PCM_SCALE <= AUDIBLE_RMS:
            result.channel_peak = max(result.channel_peak, float(np.nan_to_num(np.abs(block).max(initial=0.0))))
        repaired += repair_samples(mono)
        resampler.push(mono, rate)
    resampler.finish()
    file.raise_failure()
    if repaired:
        facts.problems.append(f"{repaired} samples were no numbers or far beyond full scale")
    if samples_at:
        facts.sample_rate, facts.channels = max(samples_at, key=lambda kind: samples_at[kind] / kind[0])
    return result


def better_of(first: Attempt, second: Attempt) -> Attempt:
    """Return the attempt that decoded more audio.

    The problems of the other attempt are kept as well, unless its reader only cannot follow a change of format.
    """
    better, other = (second, first) if second.seconds >= first.seconds else (first, second)
    if other.seconds > 0 and not better.facts.changes_format:
        better.facts.problems = better.facts.problems or other.facts.problems
    better.facts.fatal = better.facts.fatal or other.facts.fatal
    return better
