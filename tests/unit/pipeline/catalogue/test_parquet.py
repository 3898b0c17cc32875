"""Parquet catalogues: single files, and folders as Spark and Hive write them."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.catalogue import CatalogueError, read_catalogue


def write(path: Path, **columns: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path)


def test_a_folder_of_parquet_files_is_a_catalogue(tmp_path: Path) -> None:
    write(tmp_path / "tracks" / "part-0.parquet", uri=["a.mp3"], year=[1999])
    write(tmp_path / "tracks" / "part-1.parquet", uri=["sub/b.mp3"], year=["ca. 1970"], mood=["calm"])
    (tmp_path / "tracks" / "_SUCCESS").write_bytes(b"")
    write(tmp_path / "tracks" / "_temporary" / "0" / "part-2.parquet", uri=["unfinished.mp3"])
    (tmp_path / "tracks" / ".part-0.parquet.crc").write_bytes(b"x")
    catalogue = read_catalogue(str(tmp_path / "tracks"))
    assert catalogue.rows.to_pylist() == [
        {"track_id": "a.mp3", "uri": "a.mp3", "etag": None, "year": "1999", "mood": None},
        {"track_id": "sub/b.mp3", "uri": "sub/b.mp3", "etag": None, "year": "ca. 1970", "mood": "calm"},
    ]
    assert catalogue.base == f"{tmp_path}/tracks/"


def test_hive_partitions_are_columns(tmp_path: Path) -> None:
    write(tmp_path / "genre=hip%20hop" / "year=1999" / "part-0.parquet", uri=["a.mp3"])
    write(tmp_path / "genre=__HIVE_DEFAULT_PARTITION__" / "year=2001" / "part-0.parquet", uri=["b.mp3"])
    assert read_catalogue(str(tmp_path)).rows.select(["uri", "genre", "year"]).sort_by("uri").to_pylist() == [
        {"uri": "a.mp3", "genre": "hip hop", "year": "1999"},
        {"uri": "b.mp3", "genre": None, "year": "2001"},
    ]


def test_ids_that_are_integers_in_one_file_and_floats_in_another_are_the_same_text(tmp_path: Path) -> None:
    write(tmp_path / "0.parquet", uri=["a", "b"], track_id=[1, 123456789012])
    write(tmp_path / "1.parquet", uri=["c"], track_id=[3.0])
    write(tmp_path / "2.parquet", uri=["d"], track_id=["x4"])
    assert read_catalogue(str(tmp_path)).rows["track_id"].to_pylist() == ["1", "123456789012", "3", "x4"]


def test_rows_of_a_folder_are_named_by_their_file(tmp_path: Path) -> None:
    write(tmp_path / "0.parquet", uri=["a", "b"])
    write(tmp_path / "1.parquet", uri=["c", None])
    with pytest.raises(CatalogueError, match=r"no uri in row 2 of 1\.parquet; fill it in"):
        read_catalogue(str(tmp_path))


def test_a_folder_with_audio_is_a_folder_of_audio(tmp_path: Path) -> None:
    write(tmp_path / "catalogue.parquet", uri=["elsewhere.mp3"])
    (tmp_path / "x.mp3").write_bytes(b"x")
    assert read_catalogue(str(tmp_path)).rows["track_id"].to_pylist() == ["x.mp3"]


def test_the_index_of_pandas_is_left_out(tmp_path: Path) -> None:
    import pandas as pd

    pd.DataFrame({"uri": ["a", "b"]}, index=[5, 7]).to_parquet(tmp_path / "c.parquet")
    assert read_catalogue(str(tmp_path / "c.parquet")).rows.column_names == ["track_id", "uri", "etag"]


def test_columns_with_dots_in_their_names_are_read(tmp_path: Path) -> None:
    write(tmp_path / "c.parquet", uri=["a"], **{"label.name": ["x"], "label": [{"name": "y"}]})
    row = read_catalogue(str(tmp_path / "c.parquet")).rows.to_pylist()[0]
    assert (row["label.name"], row["label"]) == ("x", {"name": "y"})


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "c.parquet", uri=[f"{number}.mp3" for number in range(1000)])
    whole = (tmp_path / "c.parquet").read_bytes()
    (tmp_path / "c.parquet").write_bytes(whole[:200] + bytes(200) + whole[400:])
    with pytest.raises(CatalogueError, match="not a readable Parquet file"):
        read_catalogue(str(tmp_path / "c.parquet"))
