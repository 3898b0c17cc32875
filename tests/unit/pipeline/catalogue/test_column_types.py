"""Types of Parquet columns: the same ids in every format, and columns that outputs can hold."""

import datetime
import uuid
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.catalogue import CatalogueError, read_catalogue

UUIDS = [uuid.UUID(int=number) for number in (1, 2**100)]


def read(folder: Path, **columns: Any) -> pa.Table:
    """Write columns to a Parquet file, `uri` among them unless given, and read it as a catalogue."""
    num_rows = len(next(iter(columns.values())))
    uris = {"uri": [f"{number}.mp3" for number in range(num_rows)]}
    pq.write_table(pa.table({**({} if "audio" in columns else uris), **columns}), folder / "c.parquet")
    return read_catalogue(str(folder / "c.parquet")).rows


@pytest.mark.parametrize(
    "ids",
    [
        pa.array(["7", "123456789012", None]),
        pa.array([7, 123456789012, None]),
        pa.array([7.0, 123456789012.0, None]),
        pa.array([7.0, 123456789012.0, float("nan")]),
        pa.array([Decimal("7"), Decimal("123456789012"), None], pa.decimal128(20, 0)),
        pa.array([[7], [123456789012], []]),
        pa.array(["7", "123456789012", None]).dictionary_encode(),
        pa.array(["7", " 123456789012 ", ""], pa.large_string()),
        pa.array([b"7", b"123456789012", None]),
    ],
    ids=lambda ids: str(ids.type),
)
def test_ids_are_the_same_text_whatever_their_type(tmp_path: Path, ids: pa.Array) -> None:
    assert read(tmp_path, track_id=ids)["track_id"].to_pylist() == ["7", "123456789012", "2.mp3"]


def test_ids_that_are_uuids_become_text(tmp_path: Path) -> None:
    ids = pa.array([value.bytes for value in UUIDS], pa.uuid())
    assert read(tmp_path, track_id=ids)["track_id"].to_pylist() == [str(value) for value in UUIDS]


def test_a_hugging_face_audio_column_is_read_by_its_paths(tmp_path: Path) -> None:
    audio = [{"bytes": b"x", "path": "a.mp3"}, {"bytes": None, "path": "b.mp3"}]
    assert read(tmp_path, audio=audio)["uri"].to_pylist() == ["a.mp3", "b.mp3"]


def test_audio_without_a_path_is_refused(tmp_path: Path) -> None:
    audio = [{"bytes": b"x", "path": "a.mp3"}, {"bytes": b"x", "path": None}]
    with pytest.raises(CatalogueError, match=r"c.parquet: column 'audio' is of type struct.* in row 2; save the audio"):
        read(tmp_path, audio=audio)


@pytest.mark.parametrize(
    "values",
    [
        pa.array([{"name": "x"}]),
        pa.array([[("k", 1)]], pa.map_(pa.string(), pa.int64())),
        pa.array([b"\xff\xfe"]),
        pa.array([[{"a": 1}]]),
    ],
    ids=lambda values: str(values.type),
)
def test_a_title_that_has_no_text_is_refused_with_file_column_and_type(tmp_path: Path, values: pa.Array) -> None:
    with pytest.raises(CatalogueError, match=r"c\.parquet: column 'title' is of type .* is not read as text; write it"):
        read(tmp_path, title=values)


def test_a_list_of_several_artists_is_refused_with_its_row(tmp_path: Path) -> None:
    with pytest.raises(CatalogueError, match=r"column 'artist' is a list of several values in row 2; give one"):
        read(tmp_path, artist=[["X"], ["X", "Y"]])


@pytest.mark.parametrize(
    ("values", "seconds"),
    [
        (pa.array([3, None]), [3.0, None]),
        (pa.array([3.5, float("nan")]), [3.5, None]),
        (pa.array([Decimal("3.50"), None]), [3.5, None]),
        (pa.array([" 3.5 ", ""]), [3.5, None]),
        (pa.array([datetime.timedelta(seconds=3.5), None]), [3.5, None]),
    ],
    ids=lambda values: str(getattr(values, "type", "")),
)
def test_durations_of_every_type_are_seconds(tmp_path: Path, values: pa.Array, seconds: list[float | None]) -> None:
    assert read(tmp_path, duration_s=values)["duration_s"].to_pylist() == seconds


@pytest.mark.parametrize("values", [pa.array([True]), pa.array([datetime.time(0, 3)]), pa.array([[3.5]])])
def test_durations_that_are_no_seconds_are_refused(tmp_path: Path, values: pa.Array) -> None:
    if pa.types.is_boolean(values.type):
        assert read(tmp_path, duration_s=values)["duration_s"].to_pylist() == [1.0]
        return
    with pytest.raises(
        CatalogueError, match=r"column 'duration_s' is of type .* is not read as seconds; write it as a"
    ):
        read(tmp_path, duration_s=values)


def test_columns_of_types_that_outputs_do_not_share_become_text(tmp_path: Path) -> None:
    table = read(
        tmp_path,
        price=pa.array([Decimal("1.50")]),
        key=pa.array([UUIDS[0].bytes], pa.uuid()),
        length=pa.array([datetime.timedelta(days=1, seconds=3.25)]),
        mood=pa.array(["calm"]).dictionary_encode(),
        nothing=pa.nulls(1),
    )
    assert table.drop_columns(["track_id", "uri", "etag"]).to_pylist() == [
        {"price": "1.50", "key": str(UUIDS[0]), "length": "PT86403.25S", "mood": "calm", "nothing": None}
    ]


def test_dates_zoned_times_lists_and_structs_pass_through(tmp_path: Path) -> None:
    columns = {
        "day": pa.array([datetime.date(2020, 1, 2)]),
        "at": pa.array([datetime.datetime(2020, 1, 2, tzinfo=datetime.UTC)], pa.timestamp("us", "Europe/Berlin")),
        "words": pa.array([["a", "b"]]),
        "label": pa.array([{"name": "X", "id": 1}]),
    }
    table = read(tmp_path, **columns)
    for name, values in columns.items():
        assert table[name].to_pylist() == values.to_pylist()
        assert table[name].type == values.type


def test_intervals_and_enums_that_duckdb_writes_become_text(tmp_path: Path) -> None:
    path = tmp_path / "c.parquet"
    duckdb.sql(
        f"COPY (SELECT 'a.mp3' AS uri, INTERVAL '14 months 3 days 1.5 seconds' AS age, 'calm'::ENUM('calm') AS mood) "
        f"TO '{path}'"
    )
    assert read_catalogue(str(path)).rows.select(["age", "mood"]).to_pylist() == [
        {"age": "P14M3DT1.5S", "mood": "calm"}
    ]


def test_a_path_that_stands_in_two_rows_is_refused_with_its_column(tmp_path: Path) -> None:
    audio = [{"bytes": b"x", "path": "a.mp3"}] * 2
    with pytest.raises(CatalogueError, match=r"'a\.mp3' in rows 1 and 2; there is no column 'track_id', .* 'audio'"):
        read(tmp_path, audio=audio)
