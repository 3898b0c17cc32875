"""Exported rows come in catalogue order."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from pipeline.output.catalogue_order import order_uri, read_order, write_order
from pipeline.output.newest import open_table
from pipeline.reading.ordered_rows import rows_in_order
from tests.finished_output import caption_row, write_captions


def ids(numbers: list[int]) -> pa.ChunkedArray:
    return pa.chunked_array([[f"t{number:06d}" for number in numbers]])


def exported(output: Path, columns: list[str], **options: int) -> list[dict[str, object]]:
    table = open_table(str(output), "captions")
    return [row for batch in rows_in_order(table, columns, **options) for row in batch.to_pylist()]


@pytest.fixture
def output(tmp_path: Path) -> Path:
    """Thirty tracks in two parts, in the order in which they were finished."""
    shuffled = np.random.default_rng(0).permutation(30).tolist()
    write_captions(tmp_path, [caption_row(n) for n in shuffled[:17]], "part-a.parquet")
    write_captions(tmp_path, [caption_row(n) for n in shuffled[17:]], "part-b.parquet")
    return tmp_path


@pytest.mark.parametrize("bucket_tracks", [1000, 7, 1])
def test_rows_are_in_catalogue_order_for_any_size_of_bucket(output: Path, bucket_tracks: int) -> None:
    wanted = list(range(29, -1, -1))
    write_order(str(output), ids(wanted))
    rows = exported(output, ["caption", "track_id"], bucket_tracks=bucket_tracks)
    assert [row["track_id"] for row in rows] == ids(wanted).to_pylist()
    assert rows[3]["caption"] == caption_row(26)["caption"]


def test_the_id_is_only_written_if_it_is_a_wanted_column(output: Path) -> None:
    write_order(str(output), ids([5, 3]))
    assert list(exported(output, ["caption"])[0]) == ["caption"]


def test_tracks_that_the_catalogue_does_not_have_come_last_as_they_were_finished(output: Path) -> None:
    write_order(str(output), ids([7, 99, 2]))
    found = [row["track_id"] for row in exported(output, ["track_id"])]
    finished = [row["track_id"] for batch in open_table(str(output), "captions").newest() for row in batch.to_pylist()]
    assert found[:2] == ["t000007", "t000002"]
    assert found[2:] == [one for one in finished if one not in ("t000007", "t000002")]


def test_an_output_without_an_order_is_read_as_it_was_written(output: Path) -> None:
    assert read_order(str(output)) is None
    assert len(exported(output, ["track_id"])) == 30


def test_the_same_order_is_not_written_again_and_another_one_is(output: Path) -> None:
    write_order(str(output), ids([1, 2, 3]))
    before = Path(order_uri(str(output))).stat().st_ino
    write_order(str(output), ids([1, 2, 3]))
    assert Path(order_uri(str(output))).stat().st_ino == before
    write_order(str(output), ids([3, 2, 1]))
    order = read_order(str(output))
    assert order is not None
    assert order.positions_of(pa.array(["t000001", "t000003", "t000099"])).tolist() == [2, 0, 3]
