"""Tagging does no harm to files: owner, mode, times and links stay; what cannot be tagged is one line."""

import json
import os
from pathlib import Path

import pytest

pytest.importorskip("mutagen")

from pipeline.reading import tagged_files
from pipeline.reading.audio_tags import TagConfig, TagSummary, write_tags
from pipeline.reading.comment_tags import Comment
from pipeline.reading.tagged_files import tag_original, write_tagged_copy
from tests.finished_output import caption_row, write_captions
from tests.tagged_audio import written


@pytest.fixture
def flac(tmp_path: Path) -> Path:
    path = tmp_path / "music" / "a.flac"
    path.parent.mkdir()
    path.write_bytes(written("FLAC"))
    return path


def tag_all(folder: Path, uris: list[str], target: str = "originals") -> TagSummary:
    write_captions(folder / "out", [caption_row(n, uri=uri) for n, uri in enumerate(uris)])
    return write_tags(TagConfig(output=str(folder / "out"), folder=str(folder / "tagged"), target=target))


def test_a_second_time_the_original_is_not_written(flac: Path) -> None:
    tag_original(str(flac), Comment(caption="A song.", model_id="m"))
    before = flac.stat()
    tag_original(str(flac), Comment(caption="A song.", model_id="m"))
    assert flac.stat() == before


def test_owner_mode_times_and_extended_attributes_stay(flac: Path) -> None:
    flac.chmod(0o640)
    os.utime(flac, ns=(1_000_000_001, 2_000_000_003))
    if os.geteuid() == 0:
        os.chown(flac, 1234, 4321)
    before = flac.stat()
    tag_original(str(flac), Comment(caption="A song.", model_id="m"))
    after = flac.stat()
    assert after.st_size != before.st_size
    for name in ("st_mode", "st_uid", "st_gid", "st_mtime_ns", "st_atime_ns"):
        assert getattr(after, name) == getattr(before, name)


def test_a_symbolic_link_stays_and_its_file_is_tagged(flac: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.flac"
    link.symlink_to(flac)
    before = flac.read_bytes()
    tag_original(str(link), Comment(caption="A song.", model_id="m"))
    assert link.is_symlink()
    assert flac.read_bytes() != before


def test_files_that_cannot_be_tagged_are_one_line_each_and_the_others_are_tagged(tmp_path: Path, flac: Path) -> None:
    music = flac.parent
    linked, read_only, broken, text = (music / name for name in ("linked.flac", "only.flac", "broken.flac", "t.flac"))
    linked.write_bytes(flac.read_bytes())
    os.link(linked, music / "second.flac")
    read_only.write_bytes(flac.read_bytes())
    read_only.chmod(0o444)
    broken.symlink_to(music / "gone.flac")
    text.write_text("no\naudio")
    before = {path: path.read_bytes() for path in (linked, read_only, text)}
    summary = tag_all(tmp_path, [str(path) for path in (linked, read_only, broken, text, music, flac)])
    assert summary.written == 1
    assert before == {path: path.read_bytes() for path in before}
    lines = [json.loads(line) for line in Path(summary.log).read_text().splitlines()]
    reasons = [line.get("error", "") for line in lines]
    for reason, part in zip(reasons, ("2 hard links", "read-only", "gone.flac", "FLAC", "regular", ""), strict=True):
        assert part in reason
        assert "\n" not in reason
    assert not list(music.glob(".tag-*"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may give files away")
def test_a_file_of_another_owner_is_refused() -> None:
    with pytest.raises(ValueError, match="belongs to another user"):
        tagged_files._refuse_unsafe(Path("/etc/passwd"), os.stat("/etc/passwd"))


@pytest.mark.parametrize("error", [RuntimeError("two\nlines"), KeyError("x"), RecursionError(), MemoryError()])
def test_whatever_tagging_raises_is_one_line(
    tmp_path: Path, flac: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(tagged_files, "write_tagged", fail)
    before = flac.read_bytes()
    for target in ("originals", "copies"):
        summary = tag_all(tmp_path, [str(flac)], target)
        assert len(summary.failed) == 1
        assert len(Path(summary.log).read_text().splitlines()) == 1
    assert flac.read_bytes() == before


def test_a_copy_never_replaces_its_original(flac: Path, tmp_path: Path) -> None:
    before = flac.read_bytes()
    link = tmp_path / "link.flac"
    link.symlink_to(flac)
    for target in (flac, link):
        with pytest.raises(ValueError, match="would replace the original"):
            write_tagged_copy(str(flac), target, Comment(caption="A song.", model_id="m"))
    assert flac.read_bytes() == before


def test_a_second_copy_is_not_written(flac: Path, tmp_path: Path) -> None:
    target = tmp_path / "copy" / "a.flac"
    write_tagged_copy(str(flac), target, Comment(caption="A song.", model_id="m"))
    before = target.stat()
    write_tagged_copy(str(flac), target, Comment(caption="A song.", model_id="m"))
    assert target.stat() == before
    write_tagged_copy(str(flac), target, Comment(caption="Another song.", model_id="m"))
    assert target.stat() != before


def test_a_name_that_is_not_utf8_is_tagged_and_logged(tmp_path: Path, flac: Path) -> None:
    odd = os.fsencode(flac.parent) + b"/caf\xe9 #1?%41+.flac"
    os.rename(flac, odd)
    uri = f"file://{flac.parent}/caf%E9%20%231%3F%2541%2B.flac"
    for target in ("copies", "originals", "sidecars"):
        summary = tag_all(tmp_path, [uri], target)
        assert (summary.written, summary.failed) == (1, ())
        [line] = [json.loads(text) for text in Path(summary.log).read_text().splitlines()]
        assert line["uri"] == uri
        assert os.path.exists(line["written"])
    assert b"AI-written description" in Path(os.fsdecode(odd)).read_bytes()
