"""Any table that a known program writes reads back row for row, or is refused with the line.

The writers are the csv module, pandas, DuckDB, and two styles of Excel and of databases that are written by hand here.
`MUSCAPS_EXAMPLES` sets the number of tables per writer.
"""

import csv
import io
import os
import re
from collections.abc import Callable
from pathlib import Path

import duckdb
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.catalogue import CatalogueError, read_catalogue

EXAMPLES = int(os.environ.get("MUSCAPS_EXAMPLES", "10"))
NAMES = ("uri", "note", "mood, or not", 'a "label"', "year")

Table = tuple[list[str], list[list[str]]]
"""Column names and rows."""

cells = st.text(
    alphabet=st.one_of(
        st.sampled_from("\",;\t|\n\r\\ aäß漢🎉0.='#"),
        st.characters(exclude_categories=("Cs",), exclude_characters="\0"),
    ),
    max_size=12,
).map(lambda cell: cell.replace("\r", "\r\n"))  # pandas writes a lone \r without quoting, as if it ended the row


@st.composite
def tables(draw: st.DrawFn, cells: st.SearchStrategy[str] = cells) -> Table:
    """A table of up to five columns and twelve rows; `uri` is unique, the other cells are anything."""
    names = list(NAMES[: draw(st.integers(1, len(NAMES)))])
    num_rows = draw(st.integers(1, 12))
    order = draw(st.permutations(names))
    rows = [[f"{number}.mp3" if name == "uri" else draw(cells) for name in order] for number in range(num_rows)]
    return list(order), rows


def written_by_csv(table: Table, **dialect: object) -> str:
    buffer = io.StringIO(newline="")
    csv.writer(buffer, **dialect).writerows([table[0], *table[1]])  # type: ignore[arg-type]
    return buffer.getvalue()


def written_by_pandas(table: Table, **options: object) -> str:
    return str(pd.DataFrame(table[1], columns=table[0]).to_csv(index=False, **options))  # type: ignore[call-overload]


def written_by_duckdb(table: Table, folder: Path, options: str) -> str:
    path = folder / "duckdb.csv"
    frame = pd.DataFrame(table[1], columns=table[0])
    with duckdb.connect() as connection:
        connection.register("frame", frame)
        connection.execute(f"COPY frame TO '{path}' (FORMAT csv, HEADER, {options})")
    return path.read_bytes().decode()


def written_by_excel(table: Table) -> str:
    """Semicolons, a byte order mark, the line `sep=;`, CRLF between rows and LF in cells."""
    quoted = written_by_csv(table, delimiter=";", lineterminator="\r\n")
    return "\ufeffsep=;\r\n" + quoted


WRITERS: dict[str, tuple[str, Callable[[Table, Path], str]]] = {
    "csv module": ("c.csv", lambda table, _: written_by_csv(table)),
    "csv module, all quoted": ("c.csv", lambda table, _: written_by_csv(table, quoting=csv.QUOTE_ALL)),
    "csv module, bars": ("c.csv", lambda table, _: written_by_csv(table, delimiter="|", lineterminator="\n")),
    "csv module, tabs": ("c.tsv", lambda table, _: written_by_csv(table, delimiter="\t")),
    "pandas": ("c.csv", lambda table, _: written_by_pandas(table)),
    "pandas, semicolons": ("c.csv", lambda table, _: written_by_pandas(table, sep=";")),
    "pandas, tabs": ("c.tsv", lambda table, _: written_by_pandas(table, sep="\t")),
    "DuckDB": ("c.csv", lambda table, folder: written_by_duckdb(table, folder, "DELIMITER ','")),
    "DuckDB, tabs": ("c.tsv", lambda table, folder: written_by_duckdb(table, folder, "DELIMITER '\t'")),
    "Excel": ("c.csv", lambda table, _: written_by_excel(table)),
}


def expected(table: Table) -> list[dict[str, str | None]]:
    names, rows = table
    return [{name: cell or None for name, cell in zip(names, row, strict=True)} for row in rows]


def check(path: Path, text: str, rows: list[dict[str, str | None]]) -> bool:
    """Read a file: either it gives the rows, or it is refused with a line. Returns whether it was read."""
    path.write_bytes(text.encode())
    try:
        table = read_catalogue(str(path)).rows
    except CatalogueError as error:
        check_that_a_line_is_named(error)
        return False
    assert table.select(list(rows[0])).to_pylist() == rows
    return True


def check_that_a_line_is_named(error: CatalogueError) -> None:
    assert re.search(r"\blines? \d+", str(error)), str(error)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tables")


@pytest.mark.parametrize("writer", WRITERS)
def test_a_written_table_reads_back_or_is_refused_with_its_line(writer: str, folder: Path) -> None:
    name, write = WRITERS[writer]

    @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
    @given(tables())
    def reads_back(table: Table) -> None:
        if name.endswith(".tsv"):
            table = table[0], [[without_tabs_among_lines(cell) for cell in row] for row in table[1]]
        check(folder / name, write(table, folder), expected(table))

    reads_back()


def without_tabs_among_lines(cell: str) -> str:
    """A cell of a TSV file: one with tabs and line breaks reads as several rows, as its quotation marks are text."""
    return cell.replace("\t", " ") if "\n" in cell else cell


@pytest.mark.parametrize("writer", WRITERS)
def test_a_table_without_line_breaks_is_always_read(writer: str, folder: Path) -> None:
    name, write = WRITERS[writer]

    @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
    @given(tables(cells.map(lambda cell: re.sub(r"[\r\n]", "", cell))))
    def reads_back(table: Table) -> None:
        assert check(folder / name, write(table, folder), expected(table))

    reads_back()


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(tables(cells.map(lambda cell: re.sub(r"[\t\r\n]", "", cell))))
def test_every_row_of_a_tsv_file_without_quoting_is_read(folder: Path, table: Table) -> None:
    """Databases write tabs between cells and nothing else; quotation marks belong to the text."""
    names, rows = table
    text = "".join("\t".join(row) + "\n" for row in [names, *rows])
    read = [{name: unquoted(cell) or None for name, cell in zip(names, row, strict=True)} for row in rows]
    assert check(folder / "raw.tsv", text, read)


def unquoted(cell: str) -> str:
    """The text of a cell that is quoted as a whole; other quotation marks are ordinary."""
    match = re.fullmatch(r'"((?:[^"]|"")*)"', cell)
    return match[1].replace('""', '"') if match else cell


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(tables(), st.data())
def test_a_table_with_one_character_changed_loses_no_row(folder: Path, table: Table, data: st.DataObject) -> None:
    """A quotation mark too many or too few, anywhere behind the header: every uri is there, or a line is named."""
    text = written_by_csv(table, lineterminator="\n")
    start = len(written_by_csv((table[0], []), lineterminator="\n"))
    position = data.draw(st.integers(start, len(text)))
    if position < len(text) and text[position] == '"':
        changed = text[:position] + text[position + 1 :]
    else:
        changed = text[:position] + '"' + text[position:]
    path = folder / "changed.csv"
    path.write_bytes(changed.encode())
    try:
        read = read_catalogue(str(path)).rows.num_rows
    except CatalogueError as error:
        check_that_a_line_is_named(error)
        return
    assert read >= len(table[1]) - changed.count("\n\n")
