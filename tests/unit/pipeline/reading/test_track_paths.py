"""Files named after track ids: inside the folder, and never one file for two tracks."""

from pathlib import Path

import pytest

from pipeline.reading.track_paths import LOG_NAME, SharedNames, audio_suffix, track_path


@pytest.mark.parametrize(
    ("uri", "suffix"),
    [
        ("s3://bucket/a #1.mp3", ".mp3"),
        ("s3://bucket/a?b.mp3", ".mp3"),
        ("s3://bucket/100%25 +1.wav", ".wav"),
        ("s3://bucket/a.mp3?x", ""),
        ("https://host/a.mp3?token=b.c", ".mp3"),
        ("/music/a#1.flac", ".flac"),
        ("file:///music/caf%E9.ogg", ".ogg"),
        ("/music/No. 5", ""),
    ],
)
def test_suffix_of_the_audio(uri: str, suffix: str) -> None:
    assert audio_suffix(uri) == suffix


@pytest.mark.parametrize(
    "track_ids",
    [
        ("x", "x.mp3"),
        ("X.mp3", "x.mp3"),
        ("caf\u00e9", "cafe\u0301"),
        ("a", "a.mp3/b"),
        ("a.mp3", "a.mp3/b/c", "a.mp3/b"),
        ("Straße", "STRASSE"),
    ],
)
def test_tracks_with_the_same_name_get_digits(track_ids: tuple[str, ...]) -> None:
    tracks = [(track_id, ".mp3") for track_id in track_ids]
    shared = SharedNames(tracks)
    paths = [track_path(Path("f"), *track, shared) for track in tracks]
    files = {str(path).casefold() for path in paths}
    assert len(files) == len(tracks)
    assert not files & {str(parent).casefold() for path in paths for parent in path.parents}
    assert track_path(Path("f"), "alone", ".mp3", shared) == Path("f/alone.mp3")


def test_no_track_gets_the_name_of_the_log() -> None:
    shared = SharedNames([(LOG_NAME, ""), (LOG_NAME, "")])
    assert track_path(Path("f"), LOG_NAME, "", shared).name != LOG_NAME
