"""PCM, FLAC and MP3 through libsndfile."""

from collections.abc import Iterator

import numpy as np
import soundfile

from muscaps.audio.blocks import BLOCK_VALUES, LENGTH_TOLERANCE_SECONDS, Blocks, ReaderReport, Waveform
from muscaps.audio.errors import ended_early, error_text
from muscaps.audio.source_file import SourceFile

_SFE_SEEK_FAILED = 39  # libsndfile's error code
_LARGEST_TRAILER = 4_096  # bytes of tags that may follow the audio


class SoundFile(soundfile.SoundFile):  # type: ignore[misc]  # soundfile has no types
    """A file whose MP3 frames are read in sequence between seeks.

    soundfile seeks after every read to where the read ended. After such a seek libmpg123 has only a few of the
    earlier frames, in which MP3 stores bits, and at low bit rates the next block begins with a glitch.
    """

    def seekable(self) -> bool:
        """Return whether soundfile may seek by itself. FLAC needs it to be read beyond a wrong stated length."""
        return bool(super().seekable()) and self.format != "MP3"


def soundfile_blocks(file: SourceFile, facts: ReaderReport) -> Blocks:
    file.seek(0)
    samples = position = 0
    try:
        with SoundFile(file) as audio:
            facts.name = audio.format
            facts.lossless = audio.subtype.startswith(("PCM", "ALAC"))
            for block in next_blocks(audio, audio.frames):
                samples += len(block)
                position = file.tell()
                yield block, audio.samplerate
            seconds, stated = samples / audio.samplerate, audio.frames / audio.samplerate
            if stated - seconds > (LENGTH_TOLERANCE_SECONDS if is_mpeg(audio) else 0.0):
                facts.problems.append(ended_early(seconds, stated))
                facts.stated_seconds = stated
            facts.doubtful = has_more_audio(audio, position, file.size())
    except soundfile.LibsndfileError as error:
        if error.code == _SFE_SEEK_FAILED:  # FLAC without a stated length, or with a changing rate, ends like this
            facts.doubtful = True
        else:
            facts.problems.append(error_text(error))


def next_blocks(audio: soundfile.SoundFile, frames: int) -> Iterator[Waveform]:
    """Yield up to `frames` frames from the current position; each block reuses the memory of the one before."""
    block = np.empty((max(1, BLOCK_VALUES // audio.channels), audio.channels), np.float32)
    # A request for more frames than there are makes libsndfile scan the rest of the file.
    while frames > 0:
        decoded = audio.read(min(len(block), frames), out=block)
        if not len(decoded):
            break
        frames -= len(decoded)
        yield decoded


def is_mpeg(audio: soundfile.SoundFile) -> bool:
    """Return whether the length may be an estimate and a frame depends on earlier ones."""
    return str(audio.subtype).startswith("MPEG")


def has_more_audio(audio: soundfile.SoundFile, position: int, size: int) -> bool:
    """Return whether more than tags follow the end of the audio."""
    return audio.format in ("FLAC", "MP3") and size - position > _LARGEST_TRAILER
