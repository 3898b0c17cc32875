"""Catalogues of every form, what they become, and what is refused."""

import gzip
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.catalogue import CatalogueError, read_catalogue
from pipeline.output.schema import CAPTION_SCHEMA, DECODED, FAILURE_SCHEMA, RESULT

ROWS = [
    {"uri": "a/one.mp3", "title": "Eins", "isrc": "007", "mood": "calm"},
    {"uri": "b/two.flac", "title": 'He said "hi", twice', "isrc": None, "mood": None},
    {"uri": "three.ogg", "title": "Drei\nZeilen", "isrc": "0012", "mood": "wild"},
]


def written(path: Path, text: str) -> str:
    path.write_text(text, encoding="utf-8")
    return str(path)


def as_csv(delimiter: str) -> str:
    lines = [delimiter.join(ROWS[0])]
    for row in ROWS:
        values = ['"' + value.replace('"', '""') + '"' if value else "" for value in row.values()]
        lines.append(delimiter.join(values))
    return "\n".join(lines) + "\n"


def write_all_forms(folder: Path) -> list[str]:
    jsonl = "".join(json.dumps(row) + "\n" for row in ROWS)
    paths = [
        written(folder / "c.csv", as_csv(",")),
        written(folder / "semicolons.csv", "\ufeff" + as_csv(";").replace("\n", "\r\n").replace("Drei\r\n", "Drei\n")),
        written(folder / "c.tsv", as_csv("\t")),
        written(folder / "c.jsonl", jsonl),
    ]
    (folder / "c.csv.gz").write_bytes(gzip.compress(as_csv(",").encode()))
    (folder / "c.ndjson.gz").write_bytes(gzip.compress(jsonl.encode()))
    pq.write_table(pa.Table.from_pylist(ROWS), folder / "c.parquet")
    return [*paths, *(str(folder / name) for name in ("c.csv.gz", "c.ndjson.gz", "c.parquet"))]


def test_every_form_of_a_catalogue_gives_the_same_rows(tmp_path: Path) -> None:
    expected = [{"track_id": row["uri"], "uri": row["uri"], "etag": None, **row} for row in ROWS]
    for path in write_all_forms(tmp_path):
        catalogue = read_catalogue(path)
        columns = ["track_id", "uri", "etag", "title", "isrc", "mood"]
        assert catalogue.rows.select(columns).to_pylist() == [
            {name: row[name] for name in columns} for row in expected
        ], path
        assert catalogue.base == path


def test_text_stays_text_and_durations_become_numbers(tmp_path: Path) -> None:
    path = written(tmp_path / "c.csv", "uri,isrc,duration_s,year\nx.mp3,0045,12.5,1999\ny.mp3,,,\n")
    assert read_catalogue(path).rows.select(["isrc", "duration_s", "year"]).to_pylist() == [
        {"isrc": "0045", "duration_s": 12.5, "year": "1999"},
        {"isrc": None, "duration_s": None, "year": None},
    ]


def test_json_numbers_stay_numbers_and_mixed_columns_become_text(tmp_path: Path) -> None:
    path = written(
        tmp_path / "c.jsonl",
        '{"uri": "a.mp3", "bpm": 120, "day": "2020-01-01", "words": ["x"], "odd": 1}\n\n'
        '{"uri": "b.mp3", "bpm": 98.5, "odd": "one"}\n',
    )
    assert read_catalogue(path).rows.select(["bpm", "day", "words", "odd"]).to_pylist() == [
        {"bpm": 120.0, "day": "2020-01-01", "words": '["x"]', "odd": "1"},
        {"bpm": 98.5, "day": None, "words": None, "odd": "one"},
    ]


def test_path_and_id_stand_in_for_uri_and_track_id(tmp_path: Path) -> None:
    catalogue = read_catalogue(written(tmp_path / "c.csv", "Id,PATH,file\n7,x.mp3,y\n"))
    assert catalogue.rows.select(["track_id", "uri", "file"]).to_pylist() == [
        {"track_id": "7", "uri": "x.mp3", "file": "y"}
    ]
    assert catalogue.renamed == {"Id": "track_id", "PATH": "uri"}


def test_a_real_uri_column_wins_over_its_synonyms(tmp_path: Path) -> None:
    catalogue = read_catalogue(written(tmp_path / "c.csv", "path,uri,id\np,u,7\n"))
    assert catalogue.rows.select(["uri", "path", "track_id"]).to_pylist() == [
        {"uri": "u", "path": "p", "track_id": "7"}
    ]


def test_columns_with_names_of_ours_are_passed_on_under_another(tmp_path: Path) -> None:
    catalogue = read_catalogue(written(tmp_path / "c.csv", "uri,sample_rate,caption,message\nx,44100,old,hi\n"))
    assert catalogue.rows.column_names[3:] == ["catalogue_sample_rate", "catalogue_caption", "catalogue_message"]
    assert catalogue.extra_columns.names == catalogue.rows.column_names[3:]


def test_no_name_of_ours_can_come_from_a_catalogue(tmp_path: Path) -> None:
    known = {"track_id", "uri", "etag", "duration_s", "title", "artist", "album", "isrc"}
    ours = {*CAPTION_SCHEMA.names, *FAILURE_SCHEMA.names, *RESULT.names, *DECODED.names} - known
    header = ",".join(["uri", *sorted(ours)])
    catalogue = read_catalogue(written(tmp_path / "c.csv", f"{header}\nx{',' * len(ours)}\n"))
    assert ours.isdisjoint(catalogue.rows.column_names)


def test_track_ids_default_to_the_uri_relative_to_the_catalogue(tmp_path: Path) -> None:
    path = written(tmp_path / "c.csv", f"uri,track_id\n./a.mp3,\n{tmp_path}/sub/b.mp3,\ns3://music/c.mp3,\nd.mp3,own\n")
    assert read_catalogue(path).rows["track_id"].to_pylist() == ["a.mp3", "sub/b.mp3", "s3://music/c.mp3", "own"]


def test_no_secret_of_a_uri_becomes_a_track_id(tmp_path: Path) -> None:
    path = written(tmp_path / "c.csv", "uri\nhttps://u:p@h/a.mp3?token=x\nhttps://h/get?id=1\n")
    assert read_catalogue(path).rows["track_id"].to_pylist() == ["https://h/a.mp3", "https://h/get?id=1"]


def test_a_folder_is_a_catalogue_of_its_audio(tmp_path: Path) -> None:
    for name in ("b/two.MP3", "one.wav", "notes.txt", ".hidden.wav", "b/cover.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    rows = read_catalogue(str(tmp_path)).rows.to_pylist()
    assert [row["track_id"] for row in rows] == ["b/two.MP3", "one.wav"]
    assert [row["uri"] for row in rows] == [str(tmp_path / "b/two.MP3"), str(tmp_path / "one.wav")]
    assert all(row["etag"] for row in rows)


def test_parquet_ids_that_are_numbers_become_text(tmp_path: Path) -> None:
    table = pa.table({"track_id": [1, 2], "uri": pa.array(["a", "b"]).dictionary_encode(), "year": [1999, 2000]})
    pq.write_table(table, tmp_path / "c.parquet")
    rows = read_catalogue(str(tmp_path / "c.parquet")).rows
    assert rows.to_pylist()[0] == {"track_id": "1", "uri": "a", "etag": None, "year": 1999}


@pytest.mark.parametrize(
    ("name", "text", "complaint"),
    [
        ("c.csv", "uri\na\nb\na\n", r"'a' in lines 2 and 4"),
        ("c.csv", 'uri,title\na,"two\nlines"\n\na,x\n', r"'a' in lines 2 and 5"),
        ("c.jsonl", '{"uri": "a"}\n\n{"uri": "a"}\n', r"'a' in lines 1 and 3"),
        ("c.csv", "uri,title\nx,1\n,2\n", r"no uri in line 3"),
        ("c.csv", "title,album\nx,y\n", r"no column 'uri' .* the columns are: title, album"),
        ("c.csv", "uri,title\nx,1\ny,2,3\n", r"line 3 has 3 fields, the header 2"),
        ("c.csv", "uri,a,a\nx,1,2\n", r"more than one column 'a' in line 1"),
        ("c.csv", "uri,duration_s\nx,3:12\n", r"duration_s is '3:12' in line 2"),
        ("c.csv", "", r"the file is empty"),
        ("c.csv", "uri\n", r"there are no tracks"),
        ("c.jsonl", '{"uri": "a"}\n{"uri": \n', r"line 2 is not JSON"),
        ("c.jsonl", '["a"]\n', r"line 1 is not a JSON object"),
        ("c.txt", "uri\nx\n", r"not a catalogue; give a .csv"),
        ("c.parquet", "uri\nx\n", r"not a readable Parquet file"),
        ("manifest.json", "{}", r"not the manifest of an S3 Inventory"),
        ("c.csv.gz", "uri\nx\n", r"not a whole gzip file"),
    ],
)
def test_what_cannot_be_used_is_refused_with_its_line(tmp_path: Path, name: str, text: str, complaint: str) -> None:
    with pytest.raises(CatalogueError, match=complaint):
        read_catalogue(written(tmp_path / name, text))


def test_text_in_another_encoding_is_refused_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "c.csv"
    path.write_bytes("uri,title\na,b\nx,Über\n".encode("latin-1"))
    with pytest.raises(CatalogueError, match=r"line 3 is not UTF-8"):
        read_catalogue(str(path))


def test_a_missing_catalogue_and_an_empty_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CatalogueError, match="no such file or folder"):
        read_catalogue(str(tmp_path / "none.csv"))
    with pytest.raises(CatalogueError, match="no audio below this folder"):
        read_catalogue(str(tmp_path))


def test_selected_rows_come_in_slices(tmp_path: Path) -> None:
    catalogue = read_catalogue(written(tmp_path / "c.csv", "uri\n" + "".join(f"t{n}\n" for n in range(10))))
    wanted = np.arange(10) % 2 == 0
    slices = [table["uri"].to_pylist() for table in catalogue.select(wanted, slice_rows=2)]
    assert slices == [["t0", "t2"], ["t4", "t6"], ["t8"]]
