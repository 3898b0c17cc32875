"""Local disk: whole writes, listings, messages."""

import errno
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline import storage
from pipeline.storage import StorageError

ODD_NAMES = [
    "plain.mp3",
    "two words.mp3",
    "take #1.mp3",
    "why?x=1.mp3",
    "100%25.mp3",
    "a+b&c=d;e.mp3",
    "Ärger/日本/Dvořák.flac",
    "Requiem: Kyrie.mp3",
    "quote ' and \".mp3",
    "new\nline.mp3",
]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_odd_names_are_written_listed_and_read(tmp_path: Path, name: str) -> None:
    uri = storage.join(str(tmp_path), name)
    storage.write_once(uri, b"sound")
    assert storage.read_bytes(uri) == b"sound"
    assert storage.exists(uri)
    assert [file.uri for file in storage.list_files(str(tmp_path))] == [str(tmp_path / name)]
    [as_url] = storage.list_files(tmp_path.as_uri())
    assert as_url.uri == (tmp_path / name).as_uri()
    assert storage.read_bytes(as_url.uri) == b"sound"


def test_a_name_that_is_not_utf8_is_listed_as_a_url_that_can_be_read(tmp_path: Path) -> None:
    (Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.mp3"))).write_bytes(b"latin")
    [file] = storage.list_files(str(tmp_path))
    assert file.uri == f"{tmp_path.as_uri()}/caf%E9.mp3"
    assert storage.read_bytes(file.uri) == b"latin"


def test_a_written_file_replaces_the_old_one_and_leaves_nothing_else(tmp_path: Path) -> None:
    uri = str(tmp_path / "new folder" / "part.parquet")
    storage.write_once(uri, b"old")
    storage.write_once(uri, b"new")
    assert storage.read_bytes(uri) == b"new"
    assert os.listdir(tmp_path / "new folder") == ["part.parquet"]


def test_a_result_has_the_users_permissions_not_those_of_a_temporary_file(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        storage.write_once(str(tmp_path / "part.parquet"), b"")
    finally:
        os.umask(before)
    assert (tmp_path / "part.parquet").stat().st_mode & 0o777 == 0o640


def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage.write_once(str(tmp_path / "report.json"), b"old")

    def no_space(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises(StorageError, match="no space left") as caught:
        storage.write_once(str(tmp_path / "report.json"), b"new")
    assert caught.value.error_type == "no_space"
    assert os.listdir(tmp_path) == ["report.json"]
    assert (tmp_path / "report.json").read_bytes() == b"old"


def test_a_large_file_is_copied_whole(tmp_path: Path) -> None:
    (tmp_path / "export.csv").write_bytes(b"row\n" * 1_000_000)
    storage.write_file_once(str(tmp_path / "out" / "export.csv"), tmp_path / "export.csv")
    assert os.listdir(tmp_path / "out") == ["export.csv"]
    assert storage.read_bytes(str(tmp_path / "out" / "export.csv")) == b"row\n" * 1_000_000


def test_readers_see_old_or_new_but_never_a_part(tmp_path: Path) -> None:
    uri = str(tmp_path / "progress.json")
    contents = [bytes([65 + index]) * 300_000 for index in range(2)]
    storage.write_once(uri, contents[0])
    done = threading.Event()

    def write() -> None:
        for turn in range(40):
            storage.write_once(uri, contents[turn % 2])
        done.set()

    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(write)
        seen = set()
        while not done.is_set() and not writing.done():
            seen.add(storage.read_bytes(uri))
            assert [file.uri for file in storage.list_files(str(tmp_path))] == [uri]
        writing.result()
    assert seen <= set(contents)


KILLED_WRITER = """
import os, random, signal, sys, time
from pipeline import storage
folder, size = sys.argv[1], 4_000_000
kills = partial = 0
random.seed(7)
started = time.monotonic()
storage.write_once(f"{folder}/part-0", bytes(size))
longest = 3 * (time.monotonic() - started)
for turn in range(25):
    child = os.fork()
    if child == 0:
        while True:
            storage.write_once(f"{folder}/part-{turn}", bytes([turn]) * size)
    time.sleep(random.uniform(0, longest))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    for file in storage.list_files(folder):
        content = storage.read_bytes(file.uri)
        partial += content != bytes([int(file.uri.rpartition("-")[2])]) * size
print(len(list(storage.list_files(folder))), sum(name.endswith(".part") for name in os.listdir(folder)), partial)
"""


def test_a_writer_killed_at_any_moment_leaves_no_visible_part(tmp_path: Path) -> None:
    answer = subprocess.run(
        [sys.executable, "-c", KILLED_WRITER, str(tmp_path)], check=True, capture_output=True, text=True, timeout=60
    )
    whole, interrupted, partial = map(int, answer.stdout.split())
    assert partial == 0
    assert whole > 0
    assert interrupted > 0, "no writer was killed in the middle; the test shows nothing"


def test_deleting_what_is_not_there_is_no_error(tmp_path: Path) -> None:
    storage.delete(str(tmp_path / "never.json"))


def test_listing_is_recursive_ordered_like_s3_and_skips_hidden_files(tmp_path: Path) -> None:
    names = ["b.mp3", "a/2.mp3", "a/10.mp3", "a-x.mp3", "a.mp3", "é/1.mp3", "c.flac"]
    for name in [*names, ".hidden.mp3", "a/.DS_Store", ".trash/d.mp3", "a/._2.mp3"]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    found = list(storage.list_files(str(tmp_path)))
    assert [os.path.relpath(file.uri, tmp_path) for file in found] == sorted(names, key=str.encode)
    assert [file.size for file in found] == [len(name.encode()) for name in sorted(names, key=str.encode)]
    assert all(file.modified.tzinfo is not None for file in found)
    assert [file.uri for file in storage.list_files(str(tmp_path), suffix=".flac")] == [str(tmp_path / "c.flac")]
    assert len(list(storage.list_files(str(tmp_path), suffix=(".mp3", ".flac")))) == len(names)


def test_an_etag_changes_when_the_file_does(tmp_path: Path) -> None:
    (tmp_path / "x.mp3").write_bytes(b"one")
    [before] = storage.list_files(str(tmp_path))
    [again] = storage.list_files(str(tmp_path))
    storage.write_once(str(tmp_path / "x.mp3"), b"two, longer")
    [after] = storage.list_files(str(tmp_path))
    assert before == again
    assert before.etag != after.etag


def test_linked_folders_are_followed_once(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk" / "x.mp3").write_bytes(b"")
    (tmp_path / "music").mkdir()
    (tmp_path / "music" / "linked").symlink_to(tmp_path / "disk")
    (tmp_path / "disk" / "loop").symlink_to(tmp_path / "music")
    (tmp_path / "music" / "gone.mp3").symlink_to(tmp_path / "nowhere")
    assert [file.uri for file in storage.list_files(str(tmp_path / "music"))] == [str(tmp_path / "music/linked/x.mp3")]


def test_a_missing_folder_is_empty(tmp_path: Path) -> None:
    assert list(storage.list_files(str(tmp_path / "captions"))) == []
    assert not storage.exists(str(tmp_path / "captions"))
    assert not storage.is_folder(str(tmp_path / "captions"))
    assert storage.is_folder(str(tmp_path))


@pytest.mark.parametrize(
    ("name", "error_type", "said"),
    [
        ("missing.mp3", "not_found", "there is no such file"),
        ("file.mp3/below.mp3", "not_found", "there is no such file"),
        ("folder", "bad_uri", "a folder, not a file"),
        ("x" * 300, "bad_uri", "not a valid path"),
        ("a\0b", "bad_uri", "not a valid path"),
    ],
)
def test_unreadable_paths_say_why(tmp_path: Path, name: str, error_type: str, said: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file.mp3").write_bytes(b"")
    with pytest.raises(StorageError, match=said) as caught:
        storage.read_bytes(str(tmp_path / name))
    assert caught.value.error_type == error_type
    assert not caught.value.retryable


def test_a_larger_file_than_allowed_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.wav").write_bytes(bytes(1001))
    assert len(storage.read_bytes(str(tmp_path / "x.wav"), max_bytes=1001)) == 1001
    with pytest.raises(StorageError, match="1,000 bytes allowed") as caught:
        storage.read_bytes(str(tmp_path / "x.wav"), max_bytes=1000)
    assert caught.value.error_type == "too_large"


def test_tables_are_read_through_the_filesystem(tmp_path: Path) -> None:
    pq.write_table(pa.table({"track_id": ["a", "b"]}), tmp_path / "part #1.parquet")
    filesystem, path = storage.filesystem((tmp_path / "part #1.parquet").as_uri())
    assert pq.read_table(path, filesystem=filesystem)["track_id"].to_pylist() == ["a", "b"]
