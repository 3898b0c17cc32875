"""Which files of a listing are audio, by their suffix."""

import os

AUDIO_SUFFIXES = frozenset(
    (
        ".aac .ac3 .aif .aifc .aiff .alac .ape .au .caf .eac3 .flac .m4a .m4b .mka .mkv .mov .mp2 .mp3 .mp4 .mpc .oga "
        ".ogg .opus .rf64 .snd .spx .tta .w64 .wav .wave .weba .webm .wma .wv"
    ).split()
)
"""What counts as a track when a folder is listed; a catalogue file may name anything."""


def is_audio(name: str) -> bool:
    """Check whether a file counts as a track when it is listed."""
    return os.path.splitext(name)[1].lower() in AUDIO_SUFFIXES


def suffixes_message() -> str:
    """Say by which suffixes files are taken."""
    return "files are taken by suffix: " + " ".join(sorted(AUDIO_SUFFIXES))
