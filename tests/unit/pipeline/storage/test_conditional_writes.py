"""Conditional writes on local disk: of several callers exactly one succeeds."""

import errno
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from pipeline import storage


def raced(write: Callable[[bytes], bool]) -> list[bool]:
    """Call `write` from eight threads at once, each with its number; return their answers."""
    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(lambda who: write(b"%d" % who), range(8)))


def test_of_many_creators_exactly_one_wins(tmp_path: Path) -> None:
    for turn in range(20):
        uri = str(tmp_path / f"lease-{turn}")
        won = raced(partial(storage.create_exclusively, uri))
        assert sum(won) == 1
        assert storage.read_bytes(uri) == b"%d" % won.index(True)


def test_of_many_creators_one_wins_where_there_are_no_hard_links(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_links(*_paths: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_links)
    for turn in range(10):
        uri = str(tmp_path / f"lease-{turn}")
        won = raced(partial(storage.create_exclusively, uri))
        assert sum(won) == 1
        assert storage.read_bytes(uri) == b"%d" % won.index(True)


def test_of_many_replacers_exactly_one_wins(tmp_path: Path) -> None:
    uri = str(tmp_path / "lease.json")
    storage.create_exclusively(uri, b"first")
    for _ in range(20):
        etag = storage.read_versioned(uri)[1]
        won = raced(lambda data, etag=etag: storage.replace_if_unchanged(uri, data + etag.encode(), etag))
        assert sum(won) == 1
        assert storage.read_bytes(uri) == b"%d" % won.index(True) + etag.encode()


def test_a_changed_or_missing_file_is_not_replaced(tmp_path: Path) -> None:
    uri = str(tmp_path / "lease.json")
    storage.write_once(uri, b"one")
    etag = storage.read_versioned(uri)[1]
    storage.write_once(uri, b"two")
    assert not storage.replace_if_unchanged(uri, b"three", etag)
    assert storage.read_bytes(uri) == b"two"
    storage.delete(uri)
    assert not storage.replace_if_unchanged(uri, b"three", etag)
    assert not storage.exists(uri)
