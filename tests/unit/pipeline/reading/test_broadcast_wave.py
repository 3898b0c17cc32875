"""Descriptions in `bext` and `iXML` of WAV files: when asked for, never over a value, and nothing else changes."""

import io
import json
import shutil
import subprocess
from pathlib import Path

import pytest
import soundfile

pytest.importorskip("mutagen")

from pipeline.reading.comment_tags import Comment, write_tagged
from pipeline.reading.comment_tags.broadcast_wave import edited_bext, edited_ixml
from tests.tagged_audio import encoded, written

CAPTION = "A calm piece for Zoë & strings."
TEXT = f"AI-written description: {CAPTION}"
COMMENT = Comment(caption=CAPTION, model_id="m", chunks=("bext", "ixml"))
OVERWRITE = Comment(caption=CAPTION, model_id="m", chunks=("bext", "ixml"), overwrite=True)
SOUNDMINER = (
    b"<?xml version='1.0' encoding='UTF-8'?>\r\n<BWFXML><PROJECT>Film</PROJECT><USER attr='1'>"
    b"<CATEGORY>MUSIC</CATEGORY><DESCRIPTION>%s</DESCRIPTION><NOTES>loud</NOTES></USER><!-- kept --></BWFXML>\n\0\0"
)


def chunk(name: bytes, data: bytes) -> bytes:
    return name + len(data).to_bytes(4, "little") + data + bytes(len(data) % 2)


def wav(*before: bytes, after: bytes = b"", odd: bool = False) -> bytes:
    """A WAV file with chunks before and after its audio; with an odd number of bytes of audio."""
    plain = written("WAV", "PCM_U8" if odd else None)
    data = plain.index(b"data")
    size = int.from_bytes(plain[data + 4 : data + 8], "little")
    audio = chunk(b"data", plain[data + 8 : data + 8 + size - (odd and size % 2 == 0)])
    body = b"WAVE" + plain[12:data] + b"".join(before) + audio + after
    return b"RIFF" + len(body).to_bytes(4, "little") + body


def tag(folder: Path, content: bytes, comment: Comment = COMMENT) -> bytes:
    (folder / "a.wav").write_bytes(content)
    write_tagged(folder / "a.wav", folder / "b.wav", comment)
    return (folder / "b.wav").read_bytes()


def chunks(content: bytes) -> list[tuple[bytes, bytes]]:
    assert int.from_bytes(content[4:8], "little") == len(content) - 8
    found, start = [], 12
    while start < len(content):
        size = int.from_bytes(content[start + 4 : start + 8], "little")
        found.append((content[start : start + 4], content[start + 8 : start + 8 + size]))
        start += 8 + size + size % 2
    return found


@pytest.mark.parametrize("odd", [False, True])
def test_new_chunks_leave_the_audio_and_all_other_chunks_as_they_are(tmp_path: Path, odd: bool) -> None:
    content = wav(chunk(b"JUNK", b"12345"), after=chunk(b"LIST", b"INFOabc"), odd=odd)
    before, after = chunks(content), chunks(tag(tmp_path, content))
    assert [name for name, _ in after] == [b"fmt ", b"JUNK", b"bext", b"data", b"LIST", b"id3 ", b"iXML"]
    assert [one for one in after if one[0] not in (b"bext", b"id3 ", b"iXML")] == before
    samples = [soundfile.read(io.BytesIO((tmp_path / name).read_bytes()))[0] for name in ("a.wav", "b.wav")]
    assert (samples[0] == samples[1]).all()


def test_nothing_is_written_that_is_not_asked_for(tmp_path: Path) -> None:
    names = [name for name, _ in chunks(tag(tmp_path, wav(), Comment(caption=CAPTION, model_id="m")))]
    assert b"bext" not in names and b"iXML" not in names


def test_ffprobe_reads_the_description(tmp_path: Path) -> None:
    if shutil.which("ffprobe") is None:
        pytest.skip("needs ffprobe")
    without_id3 = chunks(tag(tmp_path, wav()))
    body = b"WAVE" + b"".join(chunk(name, data) for name, data in without_id3 if name != b"id3 ")
    (tmp_path / "b.wav").write_bytes(b"RIFF" + len(body).to_bytes(4, "little") + body)
    command = ["ffprobe", "-v", "error", "-show_format", "-of", "json", tmp_path / "b.wav"]
    found = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)["format"]["tags"]
    assert TEXT.replace("ë", "e") in found.values()  # as comment or description, depending on its version


def test_a_bext_chunk_keeps_all_but_its_description(tmp_path: Path) -> None:
    old = bytes(256) + bytes(range(256)) + b"history" * 20
    [(_, new)] = [one for one in chunks(tag(tmp_path, wav(chunk(b"bext", old)))) if one[0] == b"bext"]
    assert new[256:] == old[256:]
    assert new[:256].rstrip(b"\0").decode() == TEXT.replace("ë", "e")


@pytest.mark.parametrize("present", ["Reel 7", TEXT, " "])
def test_a_description_of_others_stays_unless_it_may_be_overwritten(present: str) -> None:
    bext, ixml = present.encode("latin-1").ljust(602, b"\0"), SOUNDMINER % present.replace("&", "&amp;").encode()
    is_theirs = present == "Reel 7"
    assert (edited_bext(bext, COMMENT) is None) is is_theirs
    assert (edited_ixml(ixml, COMMENT) is None) is is_theirs
    assert edited_bext(bext, OVERWRITE) is not None and edited_ixml(ixml, OVERWRITE) is not None


def test_writing_twice_gives_the_same_file(tmp_path: Path) -> None:
    once = tag(tmp_path, wav())
    assert tag(tmp_path, once) == once


@pytest.mark.parametrize(
    "ixml",
    [
        SOUNDMINER % b"",
        SOUNDMINER.replace(b"<DESCRIPTION>%s</DESCRIPTION>", b"<DESCRIPTION/>"),
        SOUNDMINER.replace(b"<DESCRIPTION>%s</DESCRIPTION>", b""),
        b"<BWFXML><USER/><TAKE>2</TAKE></BWFXML>",
        b"<BWFXML><TAKE>2</TAKE></BWFXML>",
    ],
)
def test_everything_else_in_ixml_stays(ixml: bytes) -> None:
    edited = edited_ixml(ixml, COMMENT)
    assert edited is not None
    ours = f"<DESCRIPTION>{TEXT.replace('&', '&amp;')}</DESCRIPTION>".encode()
    assert edited.count(ours) == 1
    left = edited.replace(ours, b"").replace(b"<USER></USER>\n", b"")
    assert left in (
        ixml.replace(b"<DESCRIPTION></DESCRIPTION>", b"").replace(b"<DESCRIPTION/>", b""),
        ixml.replace(b"<USER/>", b"<USER></USER>"),
    )


@pytest.mark.parametrize(
    ("ixml", "reason"),
    [
        (b"<BWFXML><TAKE>2</BWFXML>", "damaged"),
        (b"<!DOCTYPE x [<!ENTITY e 'x'>]><BWFXML>&e;</BWFXML>", "document type"),
        (b"<?xml version='1.0' encoding='UTF-16'?><BWFXML/>", "another encoding"),
        (b"\xff\xfe<", "not UTF-8"),
        (b"<XML></XML>", "begins with XML"),
    ],
)
def test_ixml_that_cannot_be_edited_safely_is_refused(ixml: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        edited_ixml(ixml, COMMENT)


def test_a_caption_that_is_too_long_for_bext_is_refused_not_cut() -> None:
    with pytest.raises(ValueError, match="bext has room for a caption of 232 characters, not 240: --max-chars"):
        edited_bext(None, Comment(caption="x" * 240, model_id="m"))
    noted = edited_bext(None, Comment(caption="x" * 220, model_id="m", shared_from="A1"))
    assert noted is not None and noted[:256].rstrip(b"\0").endswith(b"x" * 220)


@pytest.mark.parametrize("name", [b"RF64", b"BW64"])
def test_files_of_more_than_4_gib_are_refused_by_name(tmp_path: Path, name: bytes) -> None:
    with pytest.raises(ValueError, match=f"{name.decode()} files are not edited"):
        tag(tmp_path, name + wav()[4:])


def test_other_formats_are_tagged_without_these_chunks(tmp_path: Path) -> None:
    (tmp_path / "a.mp3").write_bytes(encoded("mp3", "libmp3lame", "mp3", ("id3v2_version", "0")))
    write_tagged(tmp_path / "a.mp3", tmp_path / "b.mp3", COMMENT)
    assert b"iXML" not in (tmp_path / "b.mp3").read_bytes()
