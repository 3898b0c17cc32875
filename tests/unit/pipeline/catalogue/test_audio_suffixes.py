"""Which files of a folder are audio: all that PyAV opens, except what holds no sound."""

import av
import pytest

from pipeline.catalogue.audio_suffixes import AUDIO_SUFFIXES, is_audio

PICTURES = "adf apv art avif cdg cdxl flm gif heic heif idf j2k jxl mpo xl"
SUBTITLES = "aqt idx mcc mks mpl2 pjs rt sami scc smi stl sub sup vtt webvtt"
VIDEO_WITHOUT_SOUND = """
264 265 266 avc avs avs2 avs3 bitpacked cgi cif evc h261 h264 h265 h266 h26l hevc ifv imx ipu lvf mjpeg mjpg mvi mxg obu
pdv qcif rcv rgb ser v v210 vc1 vvc y4m yuv yuv10
"""
TEXT = "ans asc diz ice nfo sbg txt vt"
WITHOUT_A_HEADER = "302 722 al bit c2 daud g728 rco sb sln sw tco ub ul uw"
NAMES_OF_OTHER_FILES = "apc bmv cdata dat dav dif ivr sdns sf sga son str ty ty+ vb vpk xmd yop"
"""Suffixes of game and surveillance files that everyday files have as well."""


def test_all_that_pyav_opens_and_that_holds_sound_is_audio() -> None:
    opened: set[str] = set()
    for name in av.formats_available:
        try:
            opened |= av.ContainerFormat(name, "r").extensions
        except ValueError:  # written only
            continue
    others = PICTURES, SUBTITLES, VIDEO_WITHOUT_SOUND, TEXT, WITHOUT_A_HEADER, NAMES_OF_OTHER_FILES
    left_out = {name for names in others for name in names.split()}
    assert opened - left_out <= {suffix.removeprefix(".") for suffix in AUDIO_SUFFIXES}
    assert {f".{name}" for name in left_out}.isdisjoint(AUDIO_SUFFIXES)


@pytest.mark.parametrize("suffix", ["dsf", "dts", "mpa", "ra", "flv", "ts", "avi", "amr", "tak", "3gp", "oma", "spx"])
def test_suffixes_that_people_asked_for_are_audio(suffix: str) -> None:
    assert is_audio(f"music/x.{suffix}")
    assert is_audio(f"music/x.{suffix.upper()}")


@pytest.mark.parametrize("name", ["cover.jpg", "album.cue", "list.m3u8", "notes.txt", "README", "x.mp3.part"])
def test_other_files_are_not(name: str) -> None:
    assert not is_audio(name)
