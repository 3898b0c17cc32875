"""A catalogue column that changes its type leaves a folder that muscaps, pandas and DuckDB read."""

import csv
import json
import logging
import random
from pathlib import Path

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.output.compaction import compact
from pipeline.output.lease import Lease
from pipeline.output.newest import open_table
from pipeline.output.text_values import text_array
from pipeline.output.type_changes import unify_types
from pipeline.reading.export import ExportConfig, export_captions
from pipeline.reading.report import ReportConfig, write_report
from tests.catalogue_runs import KINDS, run_catalogue, write_random_catalogue
from tests.finished_output import caption_row, write_captions


def two_weeks(folder: Path, first: list[object], second: list[object]) -> Path:
    """Run a catalogue whose `year` has the first values, then one with the first and the second."""
    for week, values in enumerate((first, first + second), start=1):
        lines = [json.dumps({"uri": f"{n}.mp3", "year": value}) for n, value in enumerate(values)]
        (folder / f"week{week}.jsonl").write_text("\n".join(lines))
        run_catalogue(folder / "out", folder / f"week{week}.jsonl", f"run-{week}")
    return folder / "out"


def years(output: Path) -> list[object]:
    return pd.read_parquet(output / "captions").sort_values("track_id")["year"].tolist()


def test_values_that_are_no_numbers_make_text_of_the_whole_column(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        output = two_weeks(tmp_path, [1999, 2001], ["ca. 1970"])
    assert years(output) == ["1999", "2001", "ca. 1970"]
    [message] = [record.getMessage() for record in caplog.records]
    assert "column 'year' was int64 and is string from now on; 1 files are rewritten" in message
    caplog.clear()
    open_table(str(output), "captions")
    assert not caplog.records


def test_values_that_fit_get_the_earlier_type_and_no_file_is_rewritten(tmp_path: Path) -> None:
    run_catalogue(tmp_path / "out", write_csv(tmp_path / "a.csv", ["year", "1999"]), "run-1")
    [first] = (tmp_path / "out" / "captions").glob("*.parquet")
    before = first.stat()
    (tmp_path / "b.jsonl").write_text('{"uri": "1.mp3", "year": 2001}')
    run_catalogue(tmp_path / "out", tmp_path / "b.jsonl", "run-2")
    assert years(tmp_path / "out") == ["1999", "2001"]
    assert (first.stat().st_ino, first.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def write_csv(path: Path, years: list[str]) -> Path:
    with path.open("w", newline="") as lines:
        csv.writer(lines).writerows([["uri", years[0]], *([f"{n}.mp3", year] for n, year in enumerate(years[1:]))])
    return path


def test_a_column_that_a_later_catalogue_lacks_is_null_in_its_files(tmp_path: Path) -> None:
    output = two_weeks(tmp_path, [1999], [])
    (tmp_path / "week3.jsonl").write_text('{"uri": "9.mp3"}')
    run_catalogue(output, tmp_path / "week3.jsonl", "run-3")
    rows = duckdb.sql(f"SELECT year FROM '{output}/captions/*.parquet' ORDER BY track_id").fetchall()
    assert rows == [(1999,), (None,)]


def test_files_of_other_types_are_read_as_text_with_one_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_mixed_output(tmp_path)
    with caplog.at_level(logging.WARNING):
        export_captions(ExportConfig(output=str(tmp_path), file=str(tmp_path / "x.jsonl")))
    rows = [json.loads(line) for line in (tmp_path / "x.jsonl").read_text().splitlines()]
    assert [row["year"] for row in rows] == ["1999", "ca. 1970"]
    [message] = [record.getMessage() for record in caplog.records]
    assert "column 'year' is int64 and string in different files and is read as text" in message


def test_compaction_and_unify_types_give_such_files_one_type(tmp_path: Path) -> None:
    write_mixed_output(tmp_path / "a")
    compact(str(tmp_path / "a"))
    assert years(tmp_path / "a") == ["1999", "ca. 1970"]
    write_mixed_output(tmp_path / "b")
    with Lease(str(tmp_path / "b"), "run-1") as lease:
        unify_types(str(tmp_path / "b"), lease)
    assert years(tmp_path / "b") == ["1999", "ca. 1970"]
    assert len(list((tmp_path / "b" / "captions").glob("*.parquet"))) == 2


def write_mixed_output(output: Path) -> None:
    """Write files as versions did that kept each catalogue's own types."""
    write_captions(output, [caption_row(1)], "a.parquet")
    table = pq.read_table(output / "captions" / "a.parquet")
    pq.write_table(table.append_column("year", pa.array([1999])), output / "captions" / "a.parquet")
    write_captions(output, [caption_row(2, year="ca. 1970")], "b.parquet")


@pytest.mark.parametrize("seed", range(12))
def test_random_pairs_of_catalogues_leave_a_readable_output(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    output = tmp_path / "out"
    texts: dict[tuple[str, str], str | None] = {}
    for week in (1, 2):
        kinds = {name: rng.choice(list(KINDS)) for name in ("Year", "b", "c", "d") if rng.random() < 0.9}
        rows = run_catalogue(output, write_random_catalogue(tmp_path, week, kinds, rng), f"run-{week}")
        for name in kinds:
            texts |= {
                (name, key): text
                for key, text in zip(rows["track_id"].to_pylist(), text_array(rows[name]).to_pylist(), strict=True)
            }
    assert_readable(output, tmp_path)
    compact(str(output))
    assert_readable(output, tmp_path)
    table = pa.Table.from_batches(list(open_table(str(output), "captions").newest()))
    for (name, key), text in texts.items():
        [found] = text_array(table.filter(pa.compute.equal(table["track_id"], key))[name]).to_pylist()
        assert (found is None) == (text is None)
    write_report(ReportConfig(output=str(output), file=str(tmp_path / "report.html"), max_spectrograms=0))


def assert_readable(output: Path, folder: Path) -> None:
    """Read all seven captions with pandas, DuckDB and each export."""
    assert len(pd.read_parquet(output / "captions")) == 7
    assert duckdb.sql(f"SELECT * FROM '{output}/captions/*.parquet'").to_arrow_table().num_rows == 7
    for name in ("x.csv", "x.jsonl", "x.parquet"):
        export_captions(ExportConfig(output=str(output), file=str(folder / name)))
    with (folder / "x.csv").open(newline="") as lines:
        assert len(list(csv.DictReader(lines))) == 7
    assert len([json.loads(line) for line in (folder / "x.jsonl").read_text().splitlines()]) == 7
    assert pq.read_table(folder / "x.parquet").num_rows == 7
