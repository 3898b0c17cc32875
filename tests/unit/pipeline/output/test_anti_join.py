"""The anti-join: what is done, what failed, and what is left to do."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from muscaps.config import DecodingOptions
from pipeline.catalogue import read_catalogue
from pipeline.output.anti_join import captioned_tracks, failed_tracks, rows_to_do
from pipeline.output.effort import Effort
from tests.committed_output import MODEL_ID, OPTIONS, commit_rows, result_rows


def test_done_tracks_are_those_of_this_model_and_decoding(tmp_path: Path) -> None:
    commit_rows(tmp_path, result_rows("a", etag="1"), result_rows("b"))
    done = captioned_tracks(str(tmp_path), MODEL_ID, OPTIONS)
    assert done.select(["track_id", "uri", "etag"]).to_pylist() == [
        {"track_id": "a", "uri": "/music/a.mp3", "etag": "1"},
        {"track_id": "b", "uri": "/music/b.mp3", "etag": None},
    ]
    assert captioned_tracks(str(tmp_path), "m-2", OPTIONS).num_rows == 0
    assert captioned_tracks(str(tmp_path), MODEL_ID, DecodingOptions(beam_size=1)).num_rows == 0
    assert captioned_tracks(str(tmp_path / "nowhere"), MODEL_ID, OPTIONS).num_rows == 0


@pytest.mark.parametrize(
    "changes", [{"no_repeated_words": True}, {"allow_unknown": False}, {"word_reward": 0.5}, {"max_words": 10}]
)
def test_a_caption_decoded_with_other_options_is_other_work(tmp_path: Path, changes: dict[str, Any]) -> None:
    commit_rows(tmp_path, result_rows("a"))
    assert captioned_tracks(str(tmp_path), MODEL_ID, replace(OPTIONS, **changes)).num_rows == 0


def test_rows_written_before_an_option_existed_count_as_left_to_the_checkpoint(tmp_path: Path) -> None:
    commit_rows(tmp_path, result_rows("a"))
    [captions] = (tmp_path / "captions").glob("*.parquet")
    rows = pq.read_table(captions)
    old = pa.array([{"beam_size": 3, "max_words": 22}])
    pq.write_table(rows.set_column(rows.column_names.index("decoding"), "decoding", old), captions)
    assert captioned_tracks(str(tmp_path), MODEL_ID, OPTIONS).num_rows == 1
    assert captioned_tracks(str(tmp_path), MODEL_ID, replace(OPTIONS, no_repeated_words=True)).num_rows == 0


@pytest.mark.parametrize(
    ("made", "asked", "is_done"),
    [
        ("quick", "quick", True),
        ("quick", "balanced", False),
        ("balanced", "thorough", False),
        ("thorough", "balanced", True),
        (None, "thorough", True),
    ],
)
def test_a_caption_of_at_least_the_effort_is_finished_work(
    tmp_path: Path, made: Effort | None, asked: Effort, is_done: bool
) -> None:
    commit_rows(tmp_path, result_rows("a"), effort=made)
    assert captioned_tracks(str(tmp_path), MODEL_ID, OPTIONS, effort=asked).num_rows == is_done


def test_captions_of_releases_without_efforts_are_thorough(tmp_path: Path) -> None:
    commit_rows(tmp_path, result_rows("a"))
    [captions] = (tmp_path / "captions").glob("*.parquet")
    pq.write_table(pq.read_table(captions).drop_columns(["effort"]), captions)
    assert captioned_tracks(str(tmp_path), MODEL_ID, OPTIONS, effort="thorough").num_rows == 1


def test_a_track_that_failed_twice_counts_both_attempts_and_shows_the_last(tmp_path: Path) -> None:
    commit_rows(tmp_path, result_rows("a", "b", failed=True))
    commit_rows(tmp_path, result_rows("a", failed=True, attempt=2), run_id="run-2")
    failed = {row["track_id"]: row for row in failed_tracks(str(tmp_path)).to_pylist()}
    assert (failed["a"]["attempt"], failed["a"]["retryable"], failed["a"]["run_id"]) == (2, False, "run-2")
    assert (failed["b"]["attempt"], failed["b"]["retryable"]) == (1, True)


def finished(*rows: tuple[str, str | None]) -> pa.Table:
    ids, etags = zip(*rows, strict=True) if rows else ((), ())
    return pa.table({"track_id": pa.array(ids, pa.string()), "etag": pa.array(etags, pa.string())})


def test_finished_tracks_are_left_out_by_version_where_it_is_known(tmp_path: Path) -> None:
    path = tmp_path / "c.csv"
    path.write_text("uri,etag\nsame,1\nchanged,2\nunversioned,3\nunknown,\nnew,5\n")
    catalogue = read_catalogue(str(path))
    done = finished(("same", "1"), ("changed", "1"), ("unversioned", None), ("unknown", "9"), ("gone", "7"))
    assert rows_to_do(catalogue, done).tolist() == [False, True, False, False, True]
    assert rows_to_do(catalogue, finished()).all()
    without_versions = finished(("same", None), ("new", None))
    assert rows_to_do(catalogue, without_versions).tolist() == [False, True, True, True, False]
