"""`gs://` and `az://` on obstore's store in memory: the guarantees of every store, lost answers, broken listings."""

import os
import pickle
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from obstore.exceptions import GenericError
from obstore.store import MemoryStore

from pipeline import storage
from pipeline.captioning import CaptioningConfig
from pipeline.output.lease import Lease, LeaseHeldError
from pipeline.output.newest import open_table
from pipeline.output.verification import verify
from pipeline.storage import StorageError, cloud_client
from pipeline.storage.object_reader import RANGE_BYTES
from tests.committed_output import MODEL_ID, OPTIONS, commit_rows, result_rows


class Faulty:
    """A store whose next calls fail before or after they are done."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self.lost_answers = self.failed_calls = self.broken_pages = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def put(self, *arguments: Any, **options: Any) -> Any:
        if self.failed_calls:
            self.failed_calls -= 1
            raise GenericError("Server returned non-2xx status code: 503 Service Unavailable: <Secret>")
        answer = self._store.put(*arguments, **options)
        if self.lost_answers:
            self.lost_answers -= 1
            raise GenericError("HTTP error: error sending request")
        return answer

    def list(self, *arguments: Any, **options: Any) -> Iterator[Any]:
        for page in self._store.list(*arguments, **options):
            yield page
            if self.broken_pages:
                self.broken_pages -= 1
                raise GenericError("HTTP error: connection closed")


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Faulty:
    monkeypatch.setattr("pipeline.storage.retry.FIRST_PAUSE_SECONDS", 0.05)
    faulty = Faulty(MemoryStore())
    monkeypatch.setattr(cloud_client, "_client_for", lambda *_arguments: faulty)
    return faulty


def raced(write: Callable[[bytes], bool]) -> list[bool]:
    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(lambda who: write(b"%d" % who), range(8)))


@pytest.mark.parametrize("scheme", ["gs", "az"])
def test_what_is_written_is_read_listed_and_deleted(store: Faulty, scheme: str) -> None:
    names = ["a.txt", "folder/ü #?%2f+ x.txt", "folder/.hidden", "folder2/b.mp3"]
    for name in names:
        storage.write_once(f"{scheme}://bucket/out/{name}", name.encode())
    storage.write_once(f"{scheme}://bucket/outside", b"")
    listed = list(storage.list_files(f"{scheme}://bucket/out"))
    assert [file.uri.partition("/out/")[2] for file in listed] == [names[0], names[1], names[3]]
    assert [storage.read_bytes(file.uri).decode() for file in listed] == [names[0], names[1], names[3]]
    assert [file.uri[-3:] for file in storage.list_files(f"{scheme}://bucket", ".mp3")] == ["mp3"]
    storage.delete(listed[0].uri)
    storage.delete(listed[0].uri)
    assert not storage.exists(listed[0].uri)
    assert (storage.is_folder(f"{scheme}://bucket/out/folder"), storage.exists(f"{scheme}://bucket/out/fol")) == (1, 0)


@pytest.mark.parametrize("size", [0, 5, RANGE_BYTES + 12_345])
def test_objects_of_any_size_are_read_whole_and_in_ranges(store: Faulty, size: int, tmp_path: Path) -> None:
    content = os.urandom(size)
    (tmp_path / "file").write_bytes(content)
    storage.write_file_once("gs://bucket/file", tmp_path / "file")
    assert storage.read_bytes("gs://bucket/file") == content
    with storage.open_for_reading("gs://bucket/file") as file:
        file.seek(size // 2)
        assert file.read() == content[size // 2 :]


def test_of_many_creators_and_replacers_exactly_one_wins(store: Faulty) -> None:
    for turn in range(10):
        uri = f"az://container/lease-{turn}"
        won = raced(lambda data, uri=uri: storage.create_exclusively(uri, data))
        assert storage.read_bytes(uri) == b"%d" % won.index(True)
        etag = storage.read_versioned(uri)[1]
        replaced = raced(lambda data, uri=uri, etag=etag: storage.replace_if_unchanged(uri, b"r" + data, etag))
        assert (sum(won), sum(replaced)) == (1, 1)


def test_a_missing_object_is_not_replaced(store: Faulty) -> None:
    storage.write_once("gs://bucket/lease", b"one")
    etag = storage.read_versioned("gs://bucket/lease")[1]
    storage.delete("gs://bucket/lease")
    assert not storage.replace_if_unchanged("gs://bucket/lease", b"two", etag)
    assert not storage.exists("gs://bucket/lease")


def test_a_conditional_write_whose_answer_was_lost_has_succeeded(store: Faulty) -> None:
    store.lost_answers = 1
    assert storage.create_exclusively("gs://bucket/lease", b"mine")
    etag = storage.read_versioned("gs://bucket/lease")[1]
    store.lost_answers = 1
    assert storage.replace_if_unchanged("gs://bucket/lease", b"renewed", etag)
    store.lost_answers = 1
    assert not storage.create_exclusively("gs://bucket/lease", b"another")


def test_temporary_errors_are_retried_and_never_quoted(store: Faulty, monkeypatch: pytest.MonkeyPatch) -> None:
    store.failed_calls = 3
    storage.write_once("gs://bucket/a", b"1")
    monkeypatch.setenv("MUSCAPS_RETRY_SECONDS", "0")
    store.failed_calls = 1
    with pytest.raises(StorageError, match=r"gs://bucket/a: temporary failure of the server \(503\)") as raised:
        storage.write_once("gs://bucket/a", b"2")
    assert "Secret" not in str(raised.value)
    assert raised.value.retryable


def test_a_listing_that_breaks_off_goes_on_after_the_last_name(store: Faulty, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.storage.cloud.LIST_PAGE", 2)
    for number in range(9):
        storage.write_once(f"gs://bucket/out/{number}", b"x")
    store.broken_pages = 3
    assert [file.uri[-1] for file in storage.list_files("gs://bucket/out")] == list("012345678")


def test_keys_that_the_library_refuses_are_named(store: Faulty) -> None:
    with pytest.raises(StorageError, match="gs://bucket/a//b: empty names and line breaks in a key are not supported"):
        storage.read_bytes("gs://bucket/a//b")


def test_tables_are_read_through_pyarrow_in_any_process(store: Faulty) -> None:
    commit_rows("gs://bucket/out", result_rows("a", "b"))
    [part] = storage.list_files("gs://bucket/out/captions")
    filesystem, path = storage.filesystem(part.uri)
    assert pq.read_table(path, filesystem=pickle.loads(pickle.dumps(filesystem)))["track_id"].to_pylist() == ["a", "b"]


def test_a_run_commits_and_verifies_and_excludes_a_second_one(store: Faulty, tmp_path: Path) -> None:
    output = "az://container/captions"
    commit_rows(output, result_rows("a", "b"), result_rows("c", failed=True))
    catalogue = tmp_path / "tracks.csv"
    catalogue.write_text("track_id,uri\n" + "".join(f"{name},{name}.mp3\n" for name in "abc"))
    found = verify(str(catalogue), output, model_id=MODEL_ID, options=OPTIONS)
    assert (found.captioned, found.failed, found.is_complete) == (2, 1, True)
    assert sum(batch.num_rows for batch in open_table(output, "captions").newest(["track_id"])) == 2
    with Lease(output, "run-2"), pytest.raises(LeaseHeldError):
        Lease(output, "run-3").__enter__()


def test_outputs_are_local_or_in_a_bucket_that_can_be_written() -> None:
    CaptioningConfig(catalogue="c.csv", output="az://container/out")
    with pytest.raises(ValueError, match="must be a local folder, s3://, gs:// or az://"):
        CaptioningConfig(catalogue="c.csv", output="https://host/out")


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "obstore.store", None)
    cloud_client._client_for.cache_clear()
    with pytest.raises(StorageError, match=r"gs:// needs one more package: pip install 'muscaps\[cloud\]'"):
        storage.read_bytes("gs://bucket/x.mp3")
