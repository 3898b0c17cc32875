"""CSV and TSV catalogues: every row is read as written, or the file is refused with the line."""

import gzip
from pathlib import Path
from typing import Any

import pytest

from pipeline.catalogue import CatalogueError, read_catalogue


def rows(path: Path, text: str | bytes) -> list[dict[str, Any]]:
    """The catalogue's rows without the columns that it does not give itself."""
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    table = read_catalogue(str(path)).rows
    return table.drop_columns(["track_id", "etag"]).to_pylist()


def refusal(path: Path, text: str | bytes) -> str:
    with pytest.raises(CatalogueError) as caught:
        rows(path, text)
    message = str(caught.value)
    assert message.startswith(str(path))
    return message


def test_quotation_marks_of_a_tsv_file_are_ordinary_characters(tmp_path: Path) -> None:
    text = 'uri\ttitle\tartist\na\t"Blue” (demo)\tX\nb\tCut\tY\nc\tRed"\tY\nd\tThe "Green" one\tX\n'
    assert [row["title"] for row in rows(tmp_path / "c.tsv", text)] == [
        '"Blue” (demo)',
        "Cut",
        'Red"',
        'The "Green" one',
    ]


def test_an_open_quotation_mark_of_a_large_tsv_file_loses_no_row(tmp_path: Path) -> None:
    lines = [f"{number}.mp3\t{chr(34) * (number == 7)}Title {number}\t{'words ' * 20}\n" for number in range(1800)]
    assert len(rows(tmp_path / "c.tsv", "uri\ttitle\tnote\n" + "".join(lines))) == 1800


def test_cells_of_a_tsv_file_that_are_quoted_as_a_whole_are_unquoted(tmp_path: Path) -> None:
    text = 'uri\ttitle\tnote\na\t"Say ""hi"""\t"x"\nb\t"two\nlines"\ty\nc\t"tab\there"\tz\n'
    assert rows(tmp_path / "c.tsv", text) == [
        {"uri": "a", "title": 'Say "hi"', "note": "x"},
        {"uri": "b", "title": "two\nlines", "note": "y"},
        {"uri": "c", "title": "tab\there", "note": "z"},
    ]


def test_a_cell_of_two_lines_at_the_end_of_a_tsv_row_is_one_cell(tmp_path: Path) -> None:
    assert rows(tmp_path / "c.tsv", 'uri\ttitle\na\t"two\nlines"\nb\tx\n') == [
        {"uri": "a", "title": "two\nlines"},
        {"uri": "b", "title": "x"},
    ]


def test_a_tsv_file_of_one_column_keeps_every_line(tmp_path: Path) -> None:
    assert [row["uri"] for row in rows(tmp_path / "c.tsv", 'uri\n"a.mp3\nb.mp3"\n')] == ['"a.mp3', 'b.mp3"']


def test_quoted_cells_of_a_csv_file_may_hold_delimiters_or_line_breaks(tmp_path: Path) -> None:
    text = 'uri,title,note\na,"one, two","x\ny"\r\nb,"say ""hi""",\n'
    assert rows(tmp_path / "c.csv", text) == [
        {"uri": "a", "title": "one, two", "note": "x\ny"},
        {"uri": "b", "title": 'say "hi"', "note": None},
    ]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('uri,title\na,x\nb,"Heroes\nc,"Low"\n', 3),  # not closed: the next row would be swallowed
        ('uri,title\n"a,x\nb,y\n', 2),
        ('uri,title,note\na,"two\nlines, and more",x\n', 2),  # looks the same, though it is well-formed
        ('uri,title\na,"Heroes" (demo)\n', 2),  # closed by something other than a delimiter
        ('uri,title\na,"say \\"hi\\", twice"\n', 2),  # marks escaped with a backslash
        ('uri,title\na,x\nb,"Heroes\n', 3),  # open at the end of the file
        ('uri;title\na;"x\ny;z"\n', 2),
        ('uri\n"a.mp3\nb.mp3"\n', 2),  # one column: a line break cannot be told from a new row
    ],
)
def test_a_quoted_cell_that_may_hide_rows_is_refused_with_its_line(tmp_path: Path, text: str, line: int) -> None:
    message = refusal(tmp_path / "c.csv", text)
    assert f"line {line}:" in message
    assert "quotation mark" in message


def test_a_duplicate_is_named_however_long_the_cells_are(tmp_path: Path) -> None:
    text = f"uri,title,lyrics\na,x,{'la ' * 60_000}\nb,y,\na,z,\n"
    assert "'a' in lines 2 and 4" in refusal(tmp_path / "c.csv", text)


@pytest.mark.parametrize(
    "start", ["sep=;\r\n", '"sep=;"\r\n', "\r\n\r\n", ";;\r\n", "\ufeffsep=;\r\n", "SEP=;\n", "   \r\n"]
)
def test_what_excel_puts_before_the_header_is_skipped(tmp_path: Path, start: str) -> None:
    assert rows(tmp_path / "c.csv", f"{start}uri;title\r\na;Eins\r\n") == [{"uri": "a", "title": "Eins"}]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_found_although_the_header_quotes_others(tmp_path: Path, delimiter: str) -> None:
    others = "".join({",", ";", "|"} - {delimiter}) * 3
    text = f'uri{delimiter}"title{others}"\na{delimiter}x\n'
    assert rows(tmp_path / "c.csv", text) == [{"uri": "a", f"title{others}": "x"}]


def test_empty_rows_are_skipped_and_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert len(rows(tmp_path / "c.csv", "uri,title\na,x\n,\n\nb,y\n , \n")) == 2
    assert "2 empty rows skipped, the first in line 3" in caplog.text


def test_lines_are_counted_with_all_that_is_skipped(tmp_path: Path) -> None:
    text = 'sep=,\n\nuri,title\na,"two\nlines"\n\n,x\n'
    assert "no uri in line 7" in refusal(tmp_path / "c.csv", text)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_every_kind_of_line_end_is_read(tmp_path: Path, end: str) -> None:
    text = f"uri,title{end}a,x{end}b,y"
    assert [row["title"] for row in rows(tmp_path / "c.csv", text)] == ["x", "y"]


def test_na_and_null_and_ids_that_look_like_dates_stay_text(tmp_path: Path) -> None:
    text = "uri,track_id,title,note\na,2020-01-01,NA,null\nb,1e5,NaN,None\n"
    path = tmp_path / "c.csv"
    path.write_text(text)
    assert read_catalogue(str(path)).rows.select(["track_id", "title", "note"]).to_pylist() == [
        {"track_id": "2020-01-01", "title": "NA", "note": "null"},
        {"track_id": "1e5", "title": "NaN", "note": "None"},
    ]


def test_columns_without_a_name_get_their_number(tmp_path: Path) -> None:
    assert rows(tmp_path / "c.csv", "uri,,title,\na,1,x,2\n") == [
        {"uri": "a", "title": "x", "column_2": "1", "column_4": "2"}
    ]


def test_bytes_that_are_not_utf8_are_named_by_line(tmp_path: Path) -> None:
    assert "line 3 is not UTF-8" in refusal(tmp_path / "c.csv", "uri,title\na,x\nb,Über\n".encode("latin-1"))
    assert "line 2 is not UTF-8" in refusal(tmp_path / "c.csv", b"uri,title\na,\xed\xa0\xbd\n")  # a lone surrogate


def test_a_damaged_gzip_file_is_refused(tmp_path: Path) -> None:
    whole = gzip.compress(("uri,title\n" + "".join(f"{n},x\n" for n in range(100_000))).encode())
    assert "not a whole gzip file" in refusal(tmp_path / "c.csv.gz", whole[: len(whole) // 2])


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_utf_16_is_refused_with_its_line(tmp_path: Path, encoding: str) -> None:
    assert "line 1 is not UTF-8" in refusal(tmp_path / "c.csv", "uri,title\na,x\n".encode(encoding))
