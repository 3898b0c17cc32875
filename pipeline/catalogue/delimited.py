"""CSV and TSV files: every column is text, so that `007` stays `007`.

A file never loses a row silently. What may be read in two ways is refused with the line where it begins:

- CSV: a cell that begins with a quotation mark ends with one that a delimiter or the end of the line follows; inside it
  the mark is doubled. Such a cell may hold delimiters or line breaks, but not both, because that is also what a missing
  closing mark leads to.
- TSV: quotation marks are ordinary characters, unless the cell as a whole is quoted as in CSV.
- Every row has as many fields as the header. Empty rows are skipped and counted in the log.

Excel's first line `sep=;` and empty lines before the header are skipped. Lines count from 1 and include all of these.
"""

import itertools
import logging
import re
from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.catalogue.errors import CatalogueError
from pipeline.catalogue.quoting import QUOTE, Record, Unreadable, csv_record, tsv_record
from pipeline.catalogue.reader import BATCH_ROWS, MAX_NAMED, numbered
from pipeline.catalogue.text_files import numbered_lines

logger = logging.getLogger(__name__)

DELIMITERS = ",;\t|"
"""Delimiters that a CSV file may have, the first preferred."""
CONVERTED_ROWS = 8_192
"""Rows that are held as Python objects at a time: more of them slow the garbage collector down."""
CONVERTED_CHARACTERS = 4 * 2**20
"""Characters after which rows are converted before there are `CONVERTED_ROWS`."""

_EXCEL_SEPARATOR = re.compile(r'"?sep=(.)"?', re.IGNORECASE)
_QUOTED = re.compile(r'"(?:[^"]|"")*"')


class DelimitedReader:
    """Reads a CSV or TSV file."""

    def __init__(self, source: str, *, delimiter: str | None = None) -> None:
        """Prepare to read `source`.

        Args:
            source: The file; its name ends in `.gz` if it is compressed.
            delimiter: A tab reads TSV; None reads CSV and chooses the delimiter that the header has most of.
        """
        self.source = self.base = source
        self._is_tsv = delimiter == "\t"

    def tables(self) -> Iterator[pa.Table]:
        """Yield the rows, every column text; see `Reader.tables`."""
        parts: list[pa.Table] = []
        for part in self._small_tables():
            parts.append(part)
            if sum(held.num_rows for held in parts) >= BATCH_ROWS:
                yield pa.concat_tables(parts).combine_chunks()
                parts = []
        if parts:
            yield pa.concat_tables(parts).combine_chunks()

    def _small_tables(self) -> Iterator[pa.Table]:
        """Yield `CONVERTED_ROWS` rows at a time."""
        records = self._records()
        header = next(records).fields
        num_empty = first_empty = characters = 0
        rows: list[list[str]] = []
        for record in records:
            text = "".join(record.fields)
            if not text.strip():
                first_empty = first_empty or record.line
                num_empty += 1
                continue
            rows.append(record.fields)
            characters += len(text)
            if len(rows) == CONVERTED_ROWS or characters >= CONVERTED_CHARACTERS:
                yield _table(header, rows)
                rows, characters = [], 0
        if rows:
            yield _table(header, rows)
        if num_empty:
            logger.warning("%s: %d empty rows skipped, the first in line %d", self.source, num_empty, first_empty)

    def describe_rows(self, rows: Sequence[int]) -> str:
        """Name the lines at which rows begin; quoted cells may span lines."""
        wanted = set(rows[:MAX_NAMED])
        records = (record for record in itertools.islice(self._records(), 1, None) if not _is_empty(record))
        numbers = [record.line for index, record in enumerate(records) if index in wanted]
        return numbered("line", numbers, and_more=len(rows) > MAX_NAMED)

    def no_tracks_message(self) -> str:
        """Explain an empty file."""
        return f"{self.source}: there are no tracks in it"

    def _records(self) -> Iterator[Record]:
        """Yield the header, then every row, blank lines excepted.

        Raises:
            CatalogueError: The file has no header, a row has too few or too many fields, or a quotation mark is not
                closed.
        """
        lines = _Lines(self.source)
        delimiter = self._skip_to_header(lines)
        try:
            header = csv_record(*next(lines), lines, delimiter)
            width = len(header.fields)
            yield Record(header.line, self._column_names(header))
            for number, line in lines:
                if QUOTE not in line:
                    record = Record(number, line.rstrip("\r\n").split(delimiter))
                elif self._is_tsv:
                    record = tsv_record(number, line, lines, delimiter, width)
                else:
                    record = csv_record(number, line, lines, delimiter, one_column=width == 1)
                if len(record.fields) == 1 and _is_empty(record):
                    continue  # a blank line
                if len(record.fields) != width:
                    raise CatalogueError(
                        f"{self.source}: line {record.line} has {len(record.fields)} fields, the header {width}; "
                        "quote fields that hold the delimiter"
                    )
                yield record
        except Unreadable as error:
            raise CatalogueError(f"{self.source}: line {error.line}: {error}") from None

    def _skip_to_header(self, lines: "_Lines") -> str:
        """Skip what comes before the header; return the delimiter."""
        delimiter = "\t" if self._is_tsv else None
        while (line := lines.peek()) is not None:
            if declared := _EXCEL_SEPARATOR.fullmatch(line[1].strip(" \r\n")):
                delimiter = declared[1]
            elif "\0" in line[1]:
                raise CatalogueError(f"{self.source}: line {line[0]} is not UTF-8 but UTF-16; save the file as UTF-8")
            elif line[1].strip(f" \r\n{DELIMITERS}"):
                return delimiter or _most_frequent_delimiter(line[1])
            next(lines)
        raise CatalogueError(
            f"{self.source}: the file is empty; its first line must name the columns, `uri` among them"
        )

    def _column_names(self, header: Record) -> list[str]:
        """Return the names of the columns; one without a name gets its number."""
        names = [name if name.strip() else f"column_{number}" for number, name in enumerate(header.fields, start=1)]
        duplicates = sorted({name for name in names if names.count(name) > 1})
        if duplicates:
            raise CatalogueError(
                f"{self.source}: more than one column {', '.join(map(repr, duplicates))} in line {header.line}; "
                "rename one"
            )
        return names


class _Lines(Iterator[tuple[int, str]]):
    """Numbered lines of a file, which can be looked at before they are taken."""

    def __init__(self, source: str) -> None:
        self._lines = numbered_lines(source)
        self._ahead: list[tuple[int, str]] = []

    def __next__(self) -> tuple[int, str]:
        return self._ahead.pop() if self._ahead else next(self._lines)

    def peek(self) -> tuple[int, str] | None:
        """Return the next line without taking it; None at the end."""
        if not self._ahead:
            line = next(self._lines, None)
            if line is None:
                return None
            self._ahead.append(line)
        return self._ahead[0]


def _is_empty(record: Record) -> bool:
    """Whether a row has no cell with text."""
    return not "".join(record.fields).strip()


def _most_frequent_delimiter(header: str) -> str:
    """Return the delimiter that the header has most of outside quotation marks."""
    unquoted = _QUOTED.sub("", header)
    return max(DELIMITERS, key=unquoted.count)


def _table(names: Sequence[str], rows: Sequence[Sequence[str]]) -> pa.Table:
    """Build a table of text columns; empty cells are null."""
    columns = []
    for cells in zip(*rows, strict=True):
        text = pa.array(cells, pa.string())
        columns.append(pc.if_else(pc.equal(text, ""), pa.scalar(None, pa.string()), text))
    return pa.table(columns, names=list(names))
