"""CSV and TSV files: every column is text, so that `007` stays `007`. Lines count from 1 and include the header."""

import codecs
import csv
import gzip
import io
import itertools
from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.csv

from pipeline.catalogue.errors import CatalogueError
from pipeline.catalogue.reader import MAX_NAMED, numbered
from pipeline.catalogue.text_files import GZIP_ERRORS, open_text


class DelimitedReader:
    """Reads a CSV or TSV file."""

    def __init__(self, source: str, *, delimiter: str | None = None) -> None:
        """Prepare to read `source`.

        Args:
            source: The file; its name ends in `.gz` if it is compressed.
            delimiter: Between fields; None chooses the comma, semicolon, tab or bar that the header has most of.
        """
        self.source = self.base = source
        self._delimiter = delimiter

    def tables(self) -> Iterator[pa.Table]:
        """Yield the rows, every column text; see `Reader.tables`."""
        delimiter = self._delimiter
        try:
            header, delimiter = self._header()
            with open_text(self.source) as stream:
                reader = pyarrow.csv.open_csv(
                    stream,
                    pyarrow.csv.ReadOptions(use_threads=False, block_size=2**22),
                    pyarrow.csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
                    pyarrow.csv.ConvertOptions(
                        column_types={name: pa.string() for name in header},
                        null_values=[""],
                        strings_can_be_null=True,
                    ),
                )
                for batch in reader:
                    if batch.num_rows:
                        yield pa.Table.from_batches([batch])
        except (UnicodeDecodeError, pa.ArrowInvalid, EOFError, gzip.BadGzipFile, csv.Error) as error:
            raise CatalogueError(self._explained(delimiter or ",", error)) from None

    def describe_rows(self, rows: Sequence[int]) -> str:
        """Name the lines at which rows begin; quoted fields may span lines."""
        wanted, numbers = set(rows[:MAX_NAMED]), []
        _, delimiter = self._header()
        with open_text(self.source) as stream:
            reader = csv.reader(io.TextIOWrapper(stream, "utf-8-sig", newline=""), delimiter=delimiter)
            next(reader)
            index, before = 0, reader.line_num
            for fields in reader:
                if fields:
                    if index in wanted:
                        numbers.append(before + 1)
                    index += 1
                before = reader.line_num
        return numbered("line", numbers, and_more=len(rows) > MAX_NAMED)

    def no_tracks_message(self) -> str:
        """Explain an empty file."""
        return f"{self.source}: there are no tracks in it"

    def _header(self) -> tuple[list[str], str]:
        """Read the column names and choose the delimiter.

        Raises:
            CatalogueError: The file is empty, or two columns have one name.
        """
        with open_text(self.source) as stream:
            lines = io.TextIOWrapper(stream, "utf-8-sig", newline="")
            first = lines.readline()
            if not first.strip():
                raise CatalogueError(
                    f"{self.source}: the file is empty; its first line must name the columns, `uri` among them"
                )
            delimiter = self._delimiter or max(",;\t|", key=first.count)
            names = next(csv.reader(itertools.chain([first], lines), delimiter=delimiter))
        duplicates = sorted({name for name in names if names.count(name) > 1})
        if duplicates:
            raise CatalogueError(
                f"{self.source}: more than one column {', '.join(map(repr, duplicates))} in line 1; rename one"
            )
        return names, delimiter

    def _explained(self, delimiter: str, error: Exception) -> str:
        """Find the first line that is not part of a table, by reading the file again line by line."""
        if isinstance(error, GZIP_ERRORS):
            return f"{self.source}: not a whole gzip file: {error}"
        with open_text(self.source) as stream:
            for number, line in enumerate(stream, start=1):
                try:
                    codecs.decode(line, "utf-8")
                except UnicodeDecodeError:
                    return f"{self.source}: line {number} is not UTF-8; save the file as UTF-8 and try again"
        with open_text(self.source) as stream:
            reader = csv.reader(io.TextIOWrapper(stream, "utf-8-sig", newline=""), delimiter=delimiter)
            width = len(next(reader))
            for fields in reader:
                if fields and len(fields) != width:
                    return (
                        f"{self.source}: line {reader.line_num} has {len(fields)} fields, the header {width}; "
                        "quote fields that hold the delimiter"
                    )
        return f"{self.source}: not a readable table: {error}"
