"""URIs: what a catalogue means by them, and what is hidden of them."""

from pathlib import Path

import pytest

from pipeline import storage
from pipeline.storage import StorageError


@pytest.mark.parametrize(
    ("uri", "base", "meant"),
    [
        ("x.mp3", "/music/tracks.csv", "/music/x.mp3"),
        ("x.mp3", "/music/", "/music/x.mp3"),
        ("../audio/x y #1.mp3", "/music/lists/tracks.csv", "/music/audio/x y #1.mp3"),
        ("/other/x.mp3", "/music/tracks.csv", "/other/x.mp3"),
        ("file:///other/x%20y.mp3", "/music/tracks.csv", "/other/x y.mp3"),
        ("x%20y.mp3", "file:///my%20music/tracks.csv", "/my music/x%20y.mp3"),
        ("Requiem: Kyrie.mp3", "/music/tracks.csv", "/music/Requiem: Kyrie.mp3"),
        ("s3://other/x.mp3", "/music/tracks.csv", "s3://other/x.mp3"),
        ("x?#%+.mp3", "s3://label/tracks.csv", "s3://label/x?#%+.mp3"),
        ("a/x.mp3", "s3://label/2024/tracks.csv", "s3://label/2024/a/x.mp3"),
        ("a//x.mp3", "s3://label/2024/", "s3://label/2024/a//x.mp3"),
        ("../audio/./x.mp3", "s3://label/2024/tracks.csv", "s3://label/audio/x.mp3"),
        ("https://host/x.mp3?sig=1", "s3://label/tracks.csv", "https://host/x.mp3?sig=1"),
        ("a b#1.mp3", "https://host/music/tracks.csv?sig=1", "https://host/music/a%20b%231.mp3"),
    ],
)
def test_relative_uris_count_from_the_catalogues_folder(uri: str, base: str, meant: str) -> None:
    assert storage.resolve(uri, base) == meant


@pytest.mark.parametrize(
    ("uri", "base", "said"),
    [
        ("file:///etc/passwd", "s3://label/tracks.csv", "may not name files of this machine"),
        ("/etc/passwd", "s3://label/tracks.csv", "may not name files of this machine"),
        ("FILE:///etc/passwd", "https://host/tracks.csv", "may not name files of this machine"),
        ("../../other/x.mp3", "s3://label/a/tracks.csv", "leaves the catalogue"),
        ("..", "s3://label/tracks.csv", "leaves the catalogue"),
        ("a/../../../x", "https://host/a/tracks.csv", "leaves the catalogue"),
        ("javascript://alert", "/music/tracks.csv", "is not supported"),
        ("ftp://user:hunter2@host/x.mp3", "/music/tracks.csv", "is not supported"),
        ("s3://AKIA123:hunter2@bucket/x.mp3", "/music/tracks.csv", "credentials do not belong"),
        ("s3:///x.mp3", "/music/tracks.csv", "write s3://bucket/key"),
        ("file://fileserver/x.mp3", "/music/tracks.csv", "another machine"),
        ("", "/music/tracks.csv", "empty"),
        ("  ", "/music/tracks.csv", "empty"),
        ("x\0.mp3", "/music/tracks.csv", "NUL"),
    ],
)
def test_uris_that_a_catalogue_may_not_name_are_rejected(uri: str, base: str, said: str) -> None:
    with pytest.raises(StorageError, match=said) as caught:
        storage.resolve(uri, base)
    assert caught.value.error_type == "bad_uri"
    assert not caught.value.retryable
    assert "hunter2" not in str(caught.value)


def test_local_files_in_a_remote_catalogue_are_read_if_allowed() -> None:
    assert storage.resolve("file:///music/x.mp3", "s3://label/tracks.csv", allow_local=True) == "/music/x.mp3"


def test_a_location_made_absolute_means_the_same_in_every_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert storage.absolute("music/") == storage.absolute("music") == f"{tmp_path}/music"
    assert storage.absolute_base("music/") == f"{tmp_path}/music/"
    assert storage.absolute_base("tracks.csv") == f"{tmp_path}/tracks.csv"
    assert storage.absolute_base("file:///my%20music/") == "/my music/"
    assert storage.absolute_base("s3://label/2024/") == "s3://label/2024/"
    assert storage.absolute("s3://label/tracks.csv") == "s3://label/tracks.csv"


def test_joined_names_are_quoted_only_in_urls() -> None:
    assert storage.join("s3://label/out", "captions", "a#1 %.parquet") == "s3://label/out/captions/a#1 %.parquet"
    assert storage.join("/out/", "captions") == "/out/captions"
    assert storage.join("file:///out", "a#1 %.parquet") == "file:///out/a%231%20%25.parquet"


def test_passwords_and_signatures_are_redacted() -> None:
    signed = "https://ann:hunter2@cdn.example/x.mp3?X-Amz-Signature=deadbeef#t"
    assert storage.redacted(signed) == "https://cdn.example/x.mp3"
    assert storage.redacted("s3://label/why?.mp3") == "s3://label/why?.mp3"
    assert storage.redacted("/music/a@b?c.mp3") == "/music/a@b?c.mp3"
