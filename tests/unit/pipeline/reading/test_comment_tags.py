"""Comments in every format: only ours is added, everything else stays byte for byte, twice is the same as once."""

import io
import random
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

mutagen = pytest.importorskip("mutagen")

from pipeline.reading.comment_tags import write_tagged  # noqa: E402
from pipeline.reading.comment_tags.comment import Comment  # noqa: E402
from pipeline.reading.comment_tags.id3 import edited_tag  # noqa: E402
from tests.tagged_audio import FORMATS, encoded, written  # noqa: E402

CAPTION = "A calm piece for Zoë."
PLAYED_BY_AV, PLAYED_BY_SOUNDFILE = ("m4a", "wma", "ogg", "opus"), ("flac", "wav", "aiff")
"""Formats whose audio is decoded before and after; in the others it is one of the pieces that are compared."""


def tagged(data: bytes, folder: Path, suffix: str, caption: str = CAPTION, model_id: str = "model-1") -> bytes:
    """Return a file with a caption in its tags."""
    source, target = folder / f"source.{suffix}", folder / f"target.{suffix}"
    source.write_bytes(data)
    write_tagged(source, target, Comment(caption=caption, model_id=model_id))
    return target.read_bytes()


def samples(data: bytes, suffix: str) -> np.ndarray:
    """Decode a file."""
    if suffix in PLAYED_BY_SOUNDFILE:
        return soundfile.read(io.BytesIO(data))[0]
    with av.open(io.BytesIO(data), metadata_errors="replace") as container:
        return np.concatenate([frame.to_ndarray().ravel() for frame in container.decode(audio=0)])


def own_caption(path: Path) -> str:
    """Read our caption with mutagen."""
    tags = mutagen.File(path).tags
    for name in ("TXXX:MUSCAPS_CAPTION", "----:com.muscaps:CAPTION", "MUSCAPS_CAPTION"):
        if name in tags:
            value = tags[name][0] if isinstance(tags[name], list) else tags[name]
            return bytes(value).decode() if isinstance(value, bytes) else str(value)
    return ""


@pytest.mark.parametrize("name", FORMATS)
def test_everything_but_our_comment_stays_byte_for_byte(tmp_path: Path, name: str) -> None:
    suffix = name.rpartition(".")[2]
    for seed in range(3):
        before, pieces = FORMATS[name](random.Random(seed))
        after = tagged(before, tmp_path, suffix)
        for piece in pieces:
            assert after.count(piece) >= before.count(piece) > 0
        assert own_caption(tmp_path / f"target.{suffix}") == CAPTION
        assert tagged(after, tmp_path, suffix) == after
        changed = tagged(after, tmp_path, suffix, caption="Other.", model_id="model-2")
        assert CAPTION.encode() not in changed and CAPTION.encode("utf-16-le") not in changed
        if suffix in (*PLAYED_BY_AV, *PLAYED_BY_SOUNDFILE):
            np.testing.assert_array_equal(samples(after, suffix), samples(before, suffix))


@pytest.mark.parametrize("name", ["mp3", "wma", "wav", "m4a"])
def test_a_file_without_tags_gets_the_comment_that_players_show(tmp_path: Path, name: str) -> None:
    data = {
        "mp3": encoded("mp3", "libmp3lame", "mp3", ("id3v2_version", "0")),
        "wma": encoded("asf", "wmav2", "wma"),
        "wav": written("WAV"),
        "m4a": encoded("ipod", "aac", "m4a"),
    }[name]
    tagged(data, tmp_path, name)
    with av.open(str(tmp_path / f"target.{name}")) as container:
        shown = dict(container.metadata) | dict(container.streams.audio[0].metadata)
    assert f"AI-written description: {CAPTION}" in shown.values()


@pytest.mark.parametrize("major", [2, 3, 4])
def test_an_id3_tag_keeps_its_version_and_its_size(major: int) -> None:
    tag = b"ID3" + bytes([major, 0, 0, 0, 0, 8, 0]) + bytes(1024)
    edited = edited_tag(tag, Comment(caption=CAPTION, model_id="m"))
    assert edited[:10] == tag[:10]
    assert len(edited) == len(tag)


def test_id3_sizes_written_as_plain_numbers_are_understood() -> None:
    data = b"\0" + b"x" * 300
    frame = b"TIT2" + len(data).to_bytes(4, "big") + bytes(2) + data
    frames = frame + b"TALB" + (4).to_bytes(4, "big") + bytes(2) + b"\0abc"
    tag = b"ID3\x04\0\0" + bytes([0, 0, len(frames) >> 7, len(frames) & 0x7F]) + frames
    edited = edited_tag(tag, Comment(caption="c" * 200, model_id="m"))
    assert edited[10:].startswith(frames)
    assert mutagen.id3.ID3(io.BytesIO(edited)).getall("TXXX:MUSCAPS_CAPTION")[0].text == ["c" * 200]


def test_an_id3_footer_and_a_checksum_are_kept_valid() -> None:
    import zlib

    frame = b"TIT2" + (4).to_bytes(4, "big") + bytes(2) + b"\0abc"
    footer = edited_tag(
        b"ID3\x04\0\x10\0\0\0" + bytes([len(frame)]) + frame + b"3DI\x04\0\x10\0\0\0" + bytes([len(frame)]),
        Comment(caption="c", model_id="m"),
    )
    assert footer[-10:] == b"3DI" + footer[3:10]
    body = (10).to_bytes(4, "big") + b"\x80\0" + bytes(4) + zlib.crc32(frame).to_bytes(4, "big") + frame
    edited = edited_tag(b"ID3\x03\0\x40\0\0\0" + bytes([len(body)]) + body, Comment(caption="c", model_id="m"))
    padding = int.from_bytes(edited[16:20], "big")
    assert edited[20:24] == zlib.crc32(edited[24 : len(edited) - padding]).to_bytes(4, "big")


def test_data_after_the_frames_that_is_no_frame_is_kept() -> None:
    body = b"TIT2" + (4).to_bytes(4, "big") + bytes(2) + b"\0abc" + b"?junk?"
    edited = edited_tag(b"ID3\x03\0\0\0\0\0" + bytes([len(body)]) + body, Comment(caption="c", model_id="m"))
    assert b"?junk?" in edited
    assert mutagen.id3.ID3(io.BytesIO(edited)).getall("TXXX:MUSCAPS_CAPTION")


@pytest.mark.parametrize(
    ("suffix", "data", "reason"),
    [
        ("aac", lambda: encoded("adts", "aac", "aac"), "no tags can be written in this format"),
        ("mid", lambda: b"MThd\0\0\0\x06\0\0\0\x01\0\x60MTrk\0\0\0\x04\0\xff\x2f\0", "no tags can be written"),
        ("wav", lambda: written("WAV")[:4] + b"\xff\xff\xff\xff" + written("WAV")[8:], "another length"),
        ("wav", lambda: written("WAV")[:-100], "another length"),
        ("flac", lambda: written("FLAC")[:60], "."),
        ("mp3", lambda: b"ID3\x03\0\0\0\0\x7f\x7f" + bytes(50), "."),
        ("ogg", lambda: written("OGG", "VORBIS")[:80], "."),
        ("m4a", lambda: encoded("ipod", "aac", "m4a")[:-40], "."),
        ("txt", lambda: b"no audio", "no tags can be written"),
        ("mp3", lambda: b"", "."),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_tagged_says_why(tmp_path: Path, suffix: str, data, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        tagged(data(), tmp_path, suffix)


def test_a_fragmented_mp4_file_without_room_is_refused(tmp_path: Path) -> None:
    data = encoded("mp4", "aac", "m4a", ("movflags", "frag_keyframe+empty_moov"))
    with pytest.raises(ValueError, match="fragmented"):
        tagged(data, tmp_path, "m4a")
