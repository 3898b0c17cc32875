"""`pipeline.storage` against a real S3 server, and one that misbehaves.

Covered: odd keys, large listings, races for one object, throttling, reset connections, lost answers, a store that
stops and comes back, refused credentials, missing buckets and keys, tables through pyarrow, a writer killed.
"""

import io
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest

from pipeline import storage
from pipeline.storage import StorageError
from pipeline.storage.object_reader import RANGE_BYTES
from pipeline.storage.s3_client import client
from tests.faulty_proxy import FaultyProxy
from tests.s3_server import ACCESS_KEY, SECRET_KEY, S3Server

pytestmark = pytest.mark.s3

ODD_KEYS = [
    "plain.mp3",
    "two words.mp3",
    "take #1.mp3",
    "why?x=1&y.mp3",
    "100%25.mp3",
    "a+b;c=d~e!(f)*'g'.mp3",
    "Ärger/日本/Dvořák.flac",
    "a//b.mp3",
    'quote " & <tag>.mp3',
    "new\nline.mp3",
    "Requiem: Kyrie@home.mp3",
]


def table_bytes(rows: int) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.table({"track_id": [f"track {row}" for row in range(rows)], "row": range(rows)}), buffer)
    return buffer.getvalue()


def raced(write: Callable[[bytes], bool]) -> list[bool]:
    """Call `write` from eight threads at once, each with its number; return their answers."""
    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(lambda who: write(b"%d" % who), range(8)))


# Without faults


def test_odd_keys_are_written_listed_and_read(s3_bucket: str) -> None:
    for key in ODD_KEYS:
        uri = storage.join(s3_bucket, key)
        storage.write_once(uri, key.encode())
        assert storage.read_bytes(uri) == key.encode()
        assert storage.open_for_reading(uri).read() == key.encode()
        assert storage.exists(uri)
    found = [file.uri for file in storage.list_files(s3_bucket)]
    assert found == [f"{s3_bucket}/{key}" for key in sorted(ODD_KEYS, key=str.encode)]
    for uri in found:
        storage.delete(uri)
        storage.delete(uri)
    assert list(storage.list_files(s3_bucket)) == []


def test_a_listing_of_1200_objects_is_complete_and_in_order(s3_bucket: str) -> None:
    def put(number: int) -> None:
        storage.write_once(f"{s3_bucket}/captions/part-{number:05d}.parquet", b"x" * (number % 7))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(put, range(1200)))
    for extra in (
        "captions/",
        "captions/.hidden",
        "captions/.tmp/x.parquet",
        "captions/day_$folder$",
        "captions-old/x",
    ):
        client().put_object(Bucket=s3_bucket[5:], Key=extra, Body=b"")
    files = list(storage.list_files(f"{s3_bucket}/captions"))
    assert [file.uri for file in files] == [f"{s3_bucket}/captions/part-{n:05d}.parquet" for n in range(1200)]
    assert [file.size for file in files] == [number % 7 for number in range(1200)]
    assert len({file.etag for file in files}) == 7
    assert abs(files[-1].modified.timestamp() - time.time()) < 120
    assert list(storage.list_files(f"{s3_bucket}/captions", suffix=".csv")) == []
    assert list(storage.list_files(f"{s3_bucket}/capt")) == []


def test_objects_and_prefixes_are_distinguished(s3_bucket: str) -> None:
    storage.write_once(f"{s3_bucket}/music/x.mp3", b"")
    storage.write_once(f"{s3_bucket}/music-old", b"")
    known = {"/music": True, "/music/": True, "/music/x.mp3": True, "/music-old": True, "/mus": False, "": True}
    assert {name: storage.exists(s3_bucket + name) for name in known} == known
    folders = {"/music": True, "/music/": True, "/music/x.mp3": False, "/music-old": False, "": True}
    assert {name: storage.is_folder(s3_bucket + name) for name in folders} == folders


def test_large_objects_are_read_in_ranges_of_one_version(s3_bucket: str) -> None:
    content = os.urandom(2 * RANGE_BYTES + 12_345)
    uri = f"{s3_bucket}/long.wav"
    storage.write_once(uri, content)
    assert storage.read_bytes(uri) == content
    with pytest.raises(StorageError, match="more than the 1,000 allowed") as caught:
        storage.read_bytes(uri, max_bytes=1000)
    assert caught.value.error_type == "too_large"

    with storage.open_for_reading(uri) as file:
        assert file.seek(-10, io.SEEK_END) == len(content) - 10
        assert file.read() == content[-10:]
        file.seek(5_000_000)
        assert file.read(3_000_000) == content[5_000_000:8_000_000]
        storage.write_once(uri, content[::-1])
        file.seek(12_000_000)
        with pytest.raises(StorageError, match="changed while it was read") as caught:
            file.read(10)
        assert caught.value.error_type == "changed"


def test_an_empty_object_is_read(s3_bucket: str) -> None:
    storage.write_once(f"{s3_bucket}/empty", b"")
    assert storage.read_bytes(f"{s3_bucket}/empty") == b""
    assert storage.open_for_reading(f"{s3_bucket}/empty").read() == b""
    assert storage.exists(f"{s3_bucket}/empty")


def test_tables_are_read_with_pyarrow(s3_bucket: str) -> None:
    for part in range(3):
        storage.write_once(f"{s3_bucket}/out/part #{part} é.parquet", table_bytes(10))
    filesystem, path = storage.filesystem(f"{s3_bucket}/out/part #1 é.parquet")
    assert pq.read_table(path, filesystem=filesystem).num_rows == 10
    filesystem, path = pickle.loads(pickle.dumps(storage.filesystem(f"{s3_bucket}/out")))
    assert pq.read_table(path, filesystem=filesystem, columns=["row"]).num_rows == 30
    parts = [storage.filesystem(file.uri)[1] for file in storage.list_files(f"{s3_bucket}/out")]
    data = pyarrow.dataset.dataset(parts, format="parquet", filesystem=filesystem)
    assert data.to_table(filter=pyarrow.dataset.field("row") < 2).num_rows == 6
    with pytest.raises(FileNotFoundError):
        pq.read_table(f"{path}/none.parquet", filesystem=filesystem)
    with pytest.raises(StorageError, match="whole or not at all"):
        pq.write_table(pa.table({"x": [1]}), f"{path}/new.parquet", filesystem=filesystem)


# Conditional writes


def test_of_many_creators_exactly_one_wins(s3_bucket: str) -> None:
    for turn in range(5):
        uri = f"{s3_bucket}/lease-{turn}"
        won = raced(partial(storage.create_exclusively, uri))
        assert sum(won) == 1
        assert storage.read_bytes(uri) == b"%d" % won.index(True)


def test_of_many_replacers_exactly_one_wins(s3_bucket: str) -> None:
    uri = f"{s3_bucket}/lease.json"
    assert storage.create_exclusively(uri, b"first")
    for _ in range(5):
        etag = storage.read_versioned(uri)[1]
        won = raced(lambda data, etag=etag: storage.replace_if_unchanged(uri, data + etag.encode(), etag))
        assert sum(won) == 1
        assert storage.read_bytes(uri) == b"%d" % won.index(True) + etag.encode()
    storage.delete(uri)
    assert not storage.replace_if_unchanged(uri, b"", etag)


def test_a_winner_whose_answer_was_lost_knows_it_has_won(
    s3_server: S3Server, s3_bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FaultyProxy(s3_server.endpoint_url, lose_answer_every=2, only=("PUT",)) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.endpoint_url)
        for turn in range(6):
            uri = f"{s3_bucket}/lease-{turn}"
            assert storage.create_exclusively(uri, b"mine")
            assert not storage.create_exclusively(uri, b"another's")
            etag = storage.read_versioned(uri)[1]
            assert storage.replace_if_unchanged(uri, b"mine again", etag)
            assert not storage.replace_if_unchanged(uri, b"another's", etag)
            assert storage.read_bytes(uri) == b"mine again"
    assert proxy.counts["lost_answer"] >= 6


# With faults


@pytest.mark.parametrize("fault", ["slow_down_every", "reset_every", "lose_answer_every"])
def test_faults_in_one_of_five_requests_are_survived(
    s3_server: S3Server, s3_bucket: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, fault: str
) -> None:
    content = os.urandom(RANGE_BYTES + 4_000_000)
    (tmp_path / "export.csv").write_bytes(content)
    with FaultyProxy(s3_server.endpoint_url, **{fault: 5}) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.endpoint_url)
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda n: storage.write_once(f"{s3_bucket}/part-{n}", table_bytes(9)), range(12)))
        files = list(storage.list_files(s3_bucket))
        assert len(files) == 12
        paths = [storage.filesystem(file.uri)[1] for file in files]
        parts = pyarrow.dataset.dataset(paths, format="parquet", filesystem=storage.filesystem(s3_bucket)[0])
        assert parts.to_table().num_rows == 9 * 12
        storage.write_file_once(f"{s3_bucket}/export.csv", tmp_path / "export.csv")
        assert storage.read_bytes(f"{s3_bucket}/export.csv") == content
        assert storage.open_for_reading(f"{s3_bucket}/export.csv").read() == content
    assert sum(proxy.counts.values()) - proxy.counts["passed"] >= 8


def test_a_store_that_stops_and_starts_again_is_waited_for(s3_server: S3Server, s3_bucket: str) -> None:
    storage.write_once(f"{s3_bucket}/before", b"1")
    s3_server.stop()
    starter = threading.Timer(2, s3_server.start)
    starter.start()
    try:
        storage.write_once(f"{s3_bucket}/during", b"2")
    finally:
        starter.join()
    assert [file.uri[-6:] for file in storage.list_files(s3_bucket)] == ["before", "during"]


def test_a_store_that_hangs_for_a_while_is_waited_for(s3_server: S3Server, s3_bucket: str) -> None:
    s3_server.pause()
    resumer = threading.Timer(1, s3_server.resume)
    resumer.start()
    try:
        storage.write_once(f"{s3_bucket}/during", b"2")
    finally:
        resumer.join()
    assert storage.read_bytes(f"{s3_bucket}/during") == b"2"


def test_a_store_that_stays_away_is_an_error_that_names_it(s3_bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("MUSCAPS_RETRY_SECONDS", "1")
    started = time.monotonic()
    with pytest.raises(StorageError, match=r"http://127.0.0.1:9\) does not answer") as caught:
        storage.read_bytes(f"{s3_bucket}/x")
    assert (caught.value.error_type, caught.value.retryable) == ("unavailable", True)
    assert time.monotonic() - started < 10


# Refusals


def test_a_wrong_secret_is_refused_clearly(s3_bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    storage.write_once(f"{s3_bucket}/x", b"")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
    calls: list[Callable[[], object]] = [
        lambda: storage.read_bytes(f"{s3_bucket}/x"),
        lambda: storage.write_once(f"{s3_bucket}/x", b"new"),
        lambda: storage.exists(f"{s3_bucket}/x"),
        lambda: list(storage.list_files(s3_bucket)),
        lambda: storage.create_exclusively(f"{s3_bucket}/y", b""),
        lambda: pq.read_table(s3_bucket[5:] + "/x", filesystem=storage.filesystem(s3_bucket)[0]),
    ]
    for call in calls:
        with pytest.raises(StorageError, match="rejects the AWS credentials") as caught:
            call()
        assert (caught.value.error_type, caught.value.retryable) == ("credentials", False)
        for secret in ("hunter2", SECRET_KEY, ACCESS_KEY):
            assert secret not in str(caught.value)


def test_missing_credentials_say_what_to_set(s3_bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(StorageError, match="no AWS credentials found; set AWS_PROFILE") as caught:
        storage.read_bytes(f"{s3_bucket}/x")
    assert caught.value.error_type == "credentials"


def test_a_profile_gives_endpoint_and_credentials(
    s3_server: S3Server, s3_bucket: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    storage.write_once(f"{s3_bucket}/part.parquet", table_bytes(4))
    for name in s3_server.environment:
        monkeypatch.delenv(name)
    (tmp_path / "config").write_text(
        f"[profile label]\nregion = us-east-1\nendpoint_url = {s3_server.endpoint_url}\n"
        f"aws_access_key_id = {ACCESS_KEY}\naws_secret_access_key = {SECRET_KEY}\n"
    )
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_PROFILE", "label")
    filesystem, path = storage.filesystem(f"{s3_bucket}/part.parquet")
    assert pq.read_table(path, filesystem=filesystem).num_rows == 4
    monkeypatch.setenv("AWS_PROFILE", "other")
    with pytest.raises(StorageError, match="does not have the profile"):
        storage.read_bytes(f"{s3_bucket}/part.parquet")


def test_a_missing_key_and_a_missing_bucket_are_distinguished(s3_bucket: str) -> None:
    with pytest.raises(StorageError, match="there is no such file") as caught:
        storage.read_bytes(f"{s3_bucket}/none.mp3")
    assert caught.value.error_type == "not_found"
    assert not storage.exists(f"{s3_bucket}/none.mp3")
    calls: list[Callable[[], object]] = [
        lambda: storage.read_bytes("s3://no-such-bucket/x"),
        lambda: storage.open_for_reading("s3://no-such-bucket/x"),
        lambda: storage.write_once("s3://no-such-bucket/x", b""),
        lambda: storage.write_file_once("s3://no-such-bucket/x", __file__),
        lambda: storage.create_exclusively("s3://no-such-bucket/x", b""),
        lambda: storage.exists("s3://no-such-bucket/x"),
        lambda: list(storage.list_files("s3://no-such-bucket/x")),
    ]
    for call in calls:
        with pytest.raises(StorageError, match="there is no bucket no-such-bucket") as caught:
            call()
        assert (caught.value.error_type, caught.value.retryable) == ("no_bucket", False)


def test_an_impossible_bucket_name_is_refused(s3_bucket: str) -> None:
    with pytest.raises(StorageError, match="not a valid bucket or key") as caught:
        storage.read_bytes("s3://My Bucket!/x")
    assert caught.value.error_type == "bad_uri"


# Killed


KILLED_WRITER = """
import sys
from pipeline import storage
storage.exists(sys.argv[1])
print("ready", flush=True)
while True:
    storage.write_once(sys.argv[1] + "/part", b"x" * 30_000_000)
"""


def test_a_writer_killed_while_it_sends_leaves_a_whole_object_or_none(s3_bucket: str) -> None:
    for delay in (0.02, 0.08, 0.3):
        writer = subprocess.Popen([sys.executable, "-c", KILLED_WRITER, s3_bucket], stdout=subprocess.PIPE)
        assert writer.stdout is not None
        writer.stdout.readline()
        time.sleep(delay)
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        writer.stdout.close()
        assert {file.size for file in storage.list_files(s3_bucket)} <= {30_000_000}
