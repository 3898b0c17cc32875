"""Folders as catalogues: what is captioned, what is left out, and how that is reported."""

import logging
import os
from pathlib import Path

import pytest

from pipeline.catalogue import CatalogueError, read_catalogue


def fill(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")


def test_what_is_left_out_is_counted_by_suffix_with_an_example(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fill(tmp_path, "a.mp3", "sub/cover.JPG", "sub/other.jpg", "notes.txt", "README")
    with caplog.at_level(logging.INFO):
        notes = read_catalogue(str(tmp_path)).notes
    assert {suffix: (note.files, note.example) for suffix, note in notes.left_out.items()} == {
        ".jpg": (2, "sub/cover.JPG"),
        ".txt": (1, "notes.txt"),
        "": (1, "README"),
    }
    assert "4 files are not audio by their suffix and left out: 2 .jpg (sub/cover.JPG), 1" in caplog.text


def test_a_link_to_itself_is_named_and_the_rest_is_captioned(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    fill(tmp_path, "a.mp3", "sub/b.mp3")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "gone.mp3").symlink_to(tmp_path / "nowhere.mp3")
    (tmp_path / "sub" / "up").symlink_to(tmp_path)
    catalogue = read_catalogue(str(tmp_path))
    assert catalogue.rows["track_id"].to_pylist() == ["a.mp3", "sub/b.mp3"]
    assert catalogue.notes.num_unreadable == 3
    up, loop, gone = sorted(catalogue.notes.unreadable, reverse=True)
    assert up == f"{tmp_path}/sub/up: a link to a folder that is listed already"
    assert loop.startswith(f"{tmp_path}/loop: not a valid path")
    assert gone == f"{tmp_path}/gone.mp3: a link to a file that is not there"
    assert f"left out: {tmp_path}/gone.mp3: a link to a file that is not there" in caplog.text


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_without_permission_is_named_and_the_rest_is_captioned(tmp_path: Path) -> None:
    fill(tmp_path, "a.mp3", "secret/b.mp3")
    (tmp_path / "secret").chmod(0)
    try:
        catalogue = read_catalogue(str(tmp_path))
    finally:
        (tmp_path / "secret").chmod(0o700)
    assert catalogue.rows["track_id"].to_pylist() == ["a.mp3"]
    assert catalogue.notes.unreadable == [f"{tmp_path}/secret: access denied; check the file's permissions"]


def test_a_folder_that_cannot_be_listed_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path, "a.mp3", "b/deep/x.mp3", "c/y.mp3")
    scandir = os.scandir

    def denied(path: str) -> object:
        if str(path).endswith("deep"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", denied)
    catalogue = read_catalogue(str(tmp_path))
    assert catalogue.rows["track_id"].to_pylist() == ["a.mp3", "c/y.mp3"]
    assert catalogue.notes.unreadable == [f"{tmp_path}/b/deep: access denied; check the file's permissions"]


def test_the_folder_itself_must_be_readable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path, "a.mp3")

    def denied(_path: str) -> object:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "scandir", denied)
    with pytest.raises(OSError, match="access denied"):
        read_catalogue(str(tmp_path))


def test_names_that_are_not_utf8_are_captioned_by_their_url(tmp_path: Path) -> None:
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.mp3")).write_bytes(b"x")
    rows = read_catalogue(str(tmp_path)).rows
    assert rows["uri"].to_pylist() == [f"{tmp_path.as_uri()}/caf%E9.mp3"]


def test_a_folder_without_audio_is_refused(tmp_path: Path) -> None:
    fill(tmp_path, "cover.jpg")
    with pytest.raises(CatalogueError, match="no audio below this folder"):
        read_catalogue(str(tmp_path))


def test_a_link_of_a_folder_to_the_folder_itself_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    fill(tmp_path, "a.mp3")
    (tmp_path / "again").symlink_to(".")
    catalogue = read_catalogue(str(tmp_path))
    assert catalogue.rows["track_id"].to_pylist() == ["a.mp3"]
    assert catalogue.notes.unreadable == [f"{tmp_path}/again: a link to a folder that is listed already"]
    assert "again: a link to a folder" in caplog.text


def test_a_name_that_is_not_utf_8_is_named_and_captioned(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    fill(tmp_path, "a.mp3")
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/b\xfcr.mp3")).write_bytes(b"x")
    catalogue = read_catalogue(str(tmp_path))
    uri = f"file://{tmp_path}/b%FCr.mp3"
    assert catalogue.rows["uri"].to_pylist() == [f"{tmp_path}/a.mp3", uri]
    assert (catalogue.notes.num_undecodable, catalogue.notes.undecodable) == (1, [uri])
    assert f"not UTF-8 and is percent-encoded: {uri}" in caplog.text
