"""Pair files: read exactly like catalogues, with captions and tags in every notation."""

import gzip
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from muscaps.training.dataset.pairs import DatasetError, Pair
from pipeline.training.pair_files import read_pairs, texts_of


def pairs(path: Path, text: str | bytes) -> list[Pair]:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_pairs(str(path))


def test_tags_separated_by_commas_are_several_tags(tmp_path: Path) -> None:
    text = 'uri,caption,tags\na.mp3,"a bouncy ska tune","horns,organ,drums"\nb.mp3,a calm tune,organ\n'
    assert [pair.tags for pair in pairs(tmp_path / "p.csv", text)] == [("horns", "organ", "drums"), ("organ",)]


@pytest.mark.parametrize(
    ("text", "tags"),
    [
        ("horns,organ", ["horns", "organ"]),
        ("horns; organ", ["horns", "organ"]),
        ("drum, bass|organ", ["drum, bass", "organ"]),
        ("rock, pop; jazz", ["rock, pop", "jazz"]),
        ('["drum, bass", "organ"]', ["drum, bass", "organ"]),
        ("['low quality', 'sustained strings']", ["low quality", "sustained strings"]),
        ("['it\\'s fast', \"slow\"]", ["it's fast", "slow"]),
        ("[]", []),
        ("[live]", ["[live]"]),
        ("", []),
        (" , horns,, ", ["horns"]),
    ],
)
def test_tags_in_every_notation(text: str, tags: list[str]) -> None:
    assert texts_of(text, "|;,") == tags


def test_captions_are_not_separated_by_commas(tmp_path: Path) -> None:
    text = 'uri,captions\na.mp3,"a slow, calm tune|a tune; calm"\nb.mp3,"[""one, two"", ""three""]"\n'
    assert [pair.captions for pair in pairs(tmp_path / "p.csv", text)] == [
        ("a slow, calm tune", "a tune; calm"),
        ("one, two", "three"),
    ]


def test_files_of_excel_are_read(tmp_path: Path) -> None:
    text = "\ufeffsep=;\r\nURI;Caption;Tags\r\na.mp3;ein Lied, ruhig;x, y\r\n"
    assert pairs(tmp_path / "p.csv", text) == [
        Pair(track_id="a.mp3", uri="a.mp3", captions=("ein Lied, ruhig",), tags=("x", "y"), split=None)
    ]


def test_compressed_files_are_read(tmp_path: Path) -> None:
    [pair] = pairs(tmp_path / "p.csv.gz", gzip.compress(b"uri,caption\na.mp3,a tune\n"))
    assert pair.captions == ("a tune",)


def test_text_stays_text(tmp_path: Path) -> None:
    text = "uri,caption,track_id,other\na.mp3,NA,2020-01-01,1\nb.mp3,null,007,x\n"
    assert [(pair.captions, pair.track_id) for pair in pairs(tmp_path / "p.csv", text)] == [
        (("NA",), "2020-01-01"),
        (("null",), "007"),
    ]


def test_unused_columns_may_hold_anything(tmp_path: Path) -> None:
    text = '{"uri":"a","caption":"x","misc":1}\n{"uri":"b","caption":"y","misc":{"z":[1]}}\n'
    assert len(pairs(tmp_path / "p.jsonl", text)) == 2


def test_lists_and_numbers_of_parquet_files_are_read(tmp_path: Path) -> None:
    table = pa.table({"id": [1.0, 2.0], "path": ["a", "b"], "captions": [["x"], ["y", "z"]], "tags": [["t"], None]})
    pq.write_table(table, tmp_path / "part-0.parquet")
    read = read_pairs(str(tmp_path))
    assert [(pair.track_id, pair.uri, pair.captions, pair.tags) for pair in read] == [
        ("1", "a", ("x",), ("t",)),
        ("2", "b", ("y", "z"), ()),
    ]


def test_rows_of_one_track_are_one_pair(tmp_path: Path) -> None:
    [pair] = pairs(tmp_path / "p.csv", "uri,caption\na,x\na,y\na,x\n")
    assert pair.captions == ("x", "y")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("uri,caption\na,x\nb,\n", "no caption in line 3"),
        ("uri,caption\na,x\n,y\n", "no uri in line 3"),
        ("uri,caption,split\na,x,train\na,y,test\n", "track 'a' appears twice with another uri or split.* in line 3"),
        ("uri,title\na,x\n", "needs the columns `uri` and `caption`"),
        ("caption,title\na,x\n", "needs the columns `uri` and `caption`"),
        ('uri,caption\na,"x\nb,y"\n', "line 2: a quotation mark opens a cell"),
        ("uri,caption\n", "there are no pairs in it"),
    ],
)
def test_what_cannot_be_used_is_refused_with_its_line(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(DatasetError, match=complaint):
        pairs(tmp_path / "p.csv", text)


def test_a_folder_of_audio_has_no_captions(tmp_path: Path) -> None:
    (tmp_path / "a.mp3").write_bytes(b"x")
    with pytest.raises(DatasetError, match="pairs come as"):
        read_pairs(str(tmp_path))


def test_any_column_can_hold_the_captions(tmp_path: Path) -> None:
    path = tmp_path / "catalogue.csv"
    path.write_text("uri,title,Description\na.mp3,A,a bouncy ska tune\nb.mp3,B,\n")
    assert [pair.captions for pair in read_pairs(str(path), "description")] == [("a bouncy ska tune",), ()]
    with pytest.raises(DatasetError, match="no column 'text' for the captions; it has uri, title, Description"):
        read_pairs(str(path), "text")


def test_groups_and_excerpts_are_read(tmp_path: Path) -> None:
    text = "track_id,uri,caption,split_group,start_s,end_s\na,x.mp3,a tune,x,10,40.5\nb,x.mp3,a song,x,,\n"
    first, second = pairs(tmp_path / "p.csv", text)
    assert (first.split_group, first.start_s, first.end_s) == ("x", 10.0, 40.5)
    assert (second.start_s, second.end_s) == (0.0, None)


@pytest.mark.parametrize(("start", "end"), [("5", "5"), ("-1", ""), ("late", "")])
def test_an_excerpt_without_length_is_refused_with_its_line(tmp_path: Path, start: str, end: str) -> None:
    with pytest.raises(DatasetError, match=r"start_s.*line 2"):
        pairs(tmp_path / "p.csv", f"uri,caption,start_s,end_s\na.mp3,a tune,{start},{end}\n")
