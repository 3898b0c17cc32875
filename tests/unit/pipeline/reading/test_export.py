"""Exports: the newest caption of every track, in each format, marked as AI-written."""

import csv
import json
from datetime import time, timedelta
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.output.newest import OutputError, open_table
from pipeline.reading.audio_tags import TagConfig, write_tags
from pipeline.reading.export import ExportConfig, export_captions
from tests.finished_output import STARTED, caption_row, write_captions


@pytest.fixture
def output(tmp_path: Path) -> Path:
    folder = tmp_path / "output"
    write_captions(folder, [caption_row(n) for n in range(20)], "part-a.parquet")
    again = [caption_row(n, caption=f"newer {n}", created_at=STARTED + timedelta(days=1)) for n in range(5)]
    write_captions(folder, again, "part-b.parquet")
    return folder


def export(output: Path, name: str, **options: object) -> Path:
    file = output.parent / name
    export_captions(ExportConfig(output=str(output), file=str(file), **options))
    return file


def read_csv(file: Path) -> list[dict[str, str]]:
    with file.open(newline="", encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_every_track_is_exported_once_with_its_newest_caption(output: Path, suffix: str) -> None:
    file = export(output, f"captions.{suffix}")
    if suffix == "csv":
        rows = read_csv(file)
    elif suffix == "jsonl":
        rows = [json.loads(line) for line in file.read_text().splitlines()]
    else:
        rows = pq.read_table(file).to_pylist()
    captions = {row["track_id"]: row["caption"] for row in rows}
    assert len(rows) == len(captions) == 20
    assert captions["t000003"] == "newer 3"
    assert captions["t000007"] == caption_row(7)["caption"]


def test_the_newest_caption_wins_over_the_newest_file(tmp_path: Path) -> None:
    write_captions(tmp_path, [caption_row(1, caption="new", created_at=STARTED + timedelta(days=2))], "a.parquet")
    write_captions(tmp_path, [caption_row(1, caption="old", created_at=STARTED)], "b.parquet")
    rows = [row for batch in open_table(str(tmp_path), "captions").newest() for row in batch.to_pylist()]
    assert [row["caption"] for row in rows] == ["new"]


def test_one_model_can_be_chosen_and_an_unknown_one_is_named(output: Path) -> None:
    rows = [caption_row(n, model_id="other-1", caption="other") for n in range(3)]
    write_captions(output, rows, "part-c.parquet")
    file = export(output, "other.csv", model_id="other-1")
    assert {row["caption"] for row in read_csv(file)} == {"other"}
    with pytest.raises(OutputError, match="no rows of model 'third'; its models: default-0123456789ab, other-1"):
        export(output, "none.csv", model_id="third")
    assert not (output.parent / "none.csv").exists()


def test_columns_are_in_the_requested_order_and_the_ai_column_stays(output: Path) -> None:
    file = export(output, "few.csv", columns=("caption", "track_id"))
    assert file.read_text().splitlines()[0] == (
        '"caption","track_id","reviewed_by_human","description_ai_generated","description_model"'
    )
    with pytest.raises(OutputError, match="no column 'genre'"):
        export(output, "none.csv", columns=("genre",))


def test_catalogue_columns_that_only_some_files_have_are_null_elsewhere(tmp_path: Path) -> None:
    write_captions(tmp_path, [caption_row(1, genre="jazz")], "a.parquet")
    write_captions(tmp_path, [caption_row(2)], "b.parquet")
    file = tmp_path / "all.jsonl"
    export_captions(ExportConfig(output=str(tmp_path), file=str(file)))
    assert [json.loads(line)["genre"] for line in file.read_text().splitlines()] == ["jazz", None]


@pytest.mark.parametrize(
    "text",
    ['=HYPERLINK("http://x","y")', "+1", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "\n=1", " =1", "\uff1d1\uff0b1"],
)
def test_no_cell_starts_a_formula(tmp_path: Path, text: str) -> None:
    write_captions(tmp_path, [caption_row(1, title=text, log_prob=-4.5)])
    file = tmp_path / "x.csv"
    summary = export_captions(ExportConfig(output=str(tmp_path), file=str(file)))
    [row] = read_csv(file)
    assert row["title"] == "'" + text
    assert float(row["log_prob"]) == -4.5
    assert summary.escaped == 1
    export_captions(ExportConfig(output=str(tmp_path), file=str(file), spreadsheet_safe=False))
    assert read_csv(file)[0]["title"] == text


def test_quotes_commas_and_line_breaks_survive_csv(tmp_path: Path) -> None:
    text = 'a "quoted", two-line\ntitle; Zoë 音'
    write_captions(tmp_path, [caption_row(1, title=text)])
    file = tmp_path / "x.csv"
    export_captions(ExportConfig(output=str(tmp_path), file=str(file)))
    assert read_csv(file)[0]["title"] == text


def test_the_descriptor_has_rows_digest_types_and_the_ai_mark(output: Path) -> None:
    import hashlib

    file = export(output, "captions.csv", max_chars=20)
    package = json.loads((output.parent / "captions.csv.datapackage.json").read_text())
    [resource] = package["resources"]
    assert package["description_ai_generated"] is True
    assert resource["path"] == "captions.csv"
    assert resource["rows"] == 20
    assert resource["bytes"] == file.stat().st_size
    assert resource["hash"] == "sha256:" + hashlib.sha256(file.read_bytes()).hexdigest()
    types = {field["name"]: field["type"] for field in resource["schema"]["fields"]}
    assert list(types) == list(read_csv(file)[0])
    assert (types["caption"], types["log_prob"], types["created_at"]) == ("string", "number", "datetime")


def test_exported_parquet_keeps_types_and_has_the_ai_mark(output: Path) -> None:
    table = pq.read_table(export(output, "captions.parquet"))
    assert table.schema.metadata[b"description_ai_generated"] == b"true"
    assert table.schema.field("created_at").type == pa.timestamp("us", tz="UTC")
    assert set(table["description_ai_generated"].to_pylist()) == {True}


def test_audiofolder_metadata_names_files_relative_to_itself(tmp_path: Path) -> None:
    audio = tmp_path / "audio"
    write_captions(tmp_path, [caption_row(1, uri=str(audio / "rock" / "a b.mp3"))])
    file = audio / "metadata.jsonl"
    export_captions(
        ExportConfig(output=str(tmp_path), file=str(file), audiofolder=True, columns=("file_name", "caption"))
    )
    row = json.loads(file.read_text())
    assert list(row) == ["file_name", "caption", "reviewed_by_human", "description_ai_generated", "description_model"]
    assert row["file_name"] == "rock/a b.mp3"
    with pytest.raises(OutputError, match="is not in"):
        export_captions(
            ExportConfig(output=str(tmp_path), file=str(tmp_path / "elsewhere" / "metadata.jsonl"), audiofolder=True)
        )
    assert not list((tmp_path / "elsewhere").iterdir())


def test_audiofolder_metadata_names_tagged_copies_of_audio_in_other_folders(
    tmp_path: Path, tone_files: list[Path]
) -> None:
    rows = [caption_row(n, track_id=f"{n}/x", uri=str(path)) for n, path in enumerate(tone_files)]
    write_captions(tmp_path / "out", rows)
    folder = tmp_path / "dataset"
    write_tags(TagConfig(output=str(tmp_path / "out"), folder=str(folder), target="copies"))
    file = folder / "metadata.jsonl"
    export_captions(ExportConfig(output=str(tmp_path / "out"), file=str(file), audiofolder=True, columns=("caption",)))
    named = [json.loads(line)["file_name"] for line in file.read_text().splitlines()]
    assert named == [f"{n}/x.wav" for n in range(5)]
    assert all((folder / name).exists() for name in named)


ODD_COLUMNS = {
    "price": (pa.decimal128(6, 2), Decimal("12.50"), "12.50"),
    "digest": (pa.binary(), b"\xff\0", "ff00"),
    "key": (pa.uuid(), b"0" * 16, "30303030-3030-3030-3030-303030303030"),
    "span": (pa.duration("us"), timedelta(seconds=1.5), "PT1.5S"),
    "at": (pa.time64("us"), time(1, 2, 3), "01:02:03"),
    "parts": (pa.struct([("a", pa.decimal128(6, 2))]), {"a": Decimal("0.10")}, '{"a": "0.10"}'),
    "pairs": (pa.map_(pa.string(), pa.int8()), [("a", 1)], '[["a", 1]]'),
}


def write_odd_columns(output: Path, columns: dict[str, tuple[pa.DataType, object, str]]) -> None:
    write_captions(output, [caption_row(1)])
    file = output / "captions" / "part-000.parquet"
    table = pq.read_table(file)
    for name, (kind, value, _) in columns.items():
        table = table.append_column(name, pa.array([value], kind))
    pq.write_table(table, file)


def test_types_without_a_usual_text_are_exported(tmp_path: Path) -> None:
    write_odd_columns(tmp_path, ODD_COLUMNS)
    for name in ("x.csv", "x.jsonl", "x.parquet"):
        export_captions(ExportConfig(output=str(tmp_path), file=str(tmp_path / name), columns=tuple(ODD_COLUMNS)))
    [row] = read_csv(tmp_path / "x.csv")
    for name, (_, _, text) in ODD_COLUMNS.items():
        assert row[name].removesuffix(".000000") == text
    line = json.loads((tmp_path / "x.jsonl").read_text())
    expected = {name: text for name, (_, _, text) in ODD_COLUMNS.items() if name not in ("parts", "pairs")}
    assert line | expected == line
    assert (line["parts"], line["pairs"]) == ({"a": "0.10"}, [["a", 1]])


def test_a_value_that_json_cannot_hold_names_its_column(tmp_path: Path) -> None:
    write_odd_columns(tmp_path, {"era": (pa.timestamp("us"), pa.scalar(2**62, pa.timestamp("us")), "")})
    with pytest.raises(OutputError, match=r"column 'era' \(timestamp\[us\]\) cannot be written as JSON"):
        export_captions(ExportConfig(output=str(tmp_path), file=str(tmp_path / "x.jsonl")))
    assert not (tmp_path / "x.jsonl").exists()


def test_csv_for_excel_begins_with_a_byte_order_mark(tmp_path: Path) -> None:
    write_captions(tmp_path, [caption_row(1, title="Zoë Müller")])
    file = tmp_path / "x.csv"
    export_captions(ExportConfig(output=str(tmp_path), file=str(file), excel=True))
    assert file.read_bytes().startswith(b'\xef\xbb\xbf"track_id"')
    with file.open(newline="", encoding="utf-8-sig") as lines:
        assert [row["title"] for row in csv.DictReader(lines)] == ["Zoë Müller"]
    with pytest.raises(ValueError, match=r"a byte order mark is for \.csv files"):
        ExportConfig(output="x", file="a.jsonl", excel=True)


def test_invalid_configurations_are_rejected_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"must end in \.csv, \.jsonl or \.parquet"):
        ExportConfig(output="x", file="captions.xlsx")
    with pytest.raises(ValueError, match="max_chars must be at least 1"):
        ExportConfig(output="x", file="a.csv", max_chars=0)
    with pytest.raises(ValueError, match=r"must be called metadata\.csv"):
        ExportConfig(output="x", file="a.csv", audiofolder=True)
    with pytest.raises(OutputError, match="run `muscaps caption"):
        export_captions(ExportConfig(output=str(tmp_path), file=str(tmp_path / "a.csv")))


def test_longer_captions_give_way_to_an_alternative_or_lose_their_last_phrase(tmp_path: Path) -> None:
    other = [{"caption": "Slow piano and flute.", "log_prob": -9.0}]
    rows = [
        caption_row(1, caption="A slow piece for piano and flute in a quiet room.", alternatives=other),
        caption_row(2, caption="Slow piano music with soft drums."),
        caption_row(3, caption="Extraordinarily long-winded accordion music."),
        caption_row(4, caption="Slow piano music."),
    ]
    write_captions(tmp_path, rows)
    file = tmp_path / "c.csv"
    summary = export_captions(ExportConfig(output=str(tmp_path), file=str(file), columns=("caption",), max_chars=24))
    assert [row["caption"] for row in read_csv(file)] == [
        "Slow piano and flute.", "Slow piano music.", "", "Slow piano music.",
    ]  # fmt: skip
    assert (summary.cut, summary.lost_instruments, summary.too_long) == (3, 1, 1)
    assert summary.examples == [("t000002", "drums")]
