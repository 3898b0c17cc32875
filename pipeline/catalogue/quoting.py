"""Records of CSV and TSV files: splitting lines into cells, quotation marks included.

Conventions: a record is one row of the table. It is one line, or several where a quoted cell holds line breaks. Lines
come with their ends, which stay in quoted cells as they are.
"""

from typing import NamedTuple, Protocol

QUOTE = '"'


class Lines(Protocol):
    """Numbered lines that can be looked at before they are taken."""

    def __next__(self) -> tuple[int, str]: ...

    def peek(self) -> tuple[int, str] | None:
        """Return the next line without taking it; None at the end."""


class Record(NamedTuple):
    """One row of a table."""

    line: int
    """The line at which it begins, from 1."""
    fields: list[str]


class Unreadable(ValueError):  # noqa: N818
    """A quotation mark can be read in two ways.

    Attributes:
        line: Where the cell begins, from 1.
    """

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line


def csv_record(number: int, line: str, lines: Lines, delimiter: str, *, one_column: bool = False) -> Record:
    """Read one record of a CSV file.

    Args:
        number: Of the record's first line.
        line: The record's first line.
        lines: The lines after it; taken as far as the record goes.
        delimiter: Between cells.
        one_column: Whether the table has one column, so that a line break in a cell cannot be told from a new row.

    Raises:
        Unreadable: A quoted cell is not closed, is closed by something other than a delimiter, or holds line breaks
            together with delimiters.
    """
    fields: list[str] = []
    current, position = number, 0
    while True:
        if not line.startswith(QUOTE, position):
            end = line.find(delimiter, position)
            if end < 0:
                fields.append(line[position:].rstrip("\r\n"))
                return Record(number, fields)
            fields.append(line[position:end])
            position = end + 1
            continue
        opened = current
        cell, current, line, position = _quoted_cell(lines, current, line, position, delimiter, one_column)
        fields.append(cell)
        if not line[position:].rstrip("\r\n"):
            return Record(number, fields)
        if not line.startswith(delimiter, position):
            raise Unreadable(
                opened,
                f"the quotation mark that opens cell {len(fields)} is closed by one that no delimiter follows; "
                "double the marks inside the cell",
            )
        position += 1


def _quoted_cell(
    lines: Lines, number: int, line: str, position: int, delimiter: str, one_column: bool
) -> tuple[str, int, str, int]:
    """Read the quoted cell at `position`; return it, and the line and position after it."""
    opened = number
    parts: list[str] = []
    has_break = has_delimiter = False
    start = position + 1
    while True:
        end = line.find(QUOTE, start)
        part = line[start:] if end < 0 else line[start:end]
        parts.append(part)
        has_delimiter = has_delimiter or delimiter in part
        has_break = has_break or end < 0
        if has_break and (has_delimiter or one_column):
            raise Unreadable(
                opened,
                "a quotation mark opens a cell that goes on over the end of the line and over a delimiter; close it, "
                "double it if it belongs to the text, or remove the line breaks from the cell",
            )
        if end < 0:
            if lines.peek() is None:
                raise Unreadable(opened, "a quotation mark opens a cell that is never closed; close it or double it")
            number, line = next(lines)
            start = 0
        elif line.startswith(QUOTE, end + 1):
            parts.append(QUOTE)
            start = end + 2
        else:
            return "".join(parts), number, line, end + 1


def tsv_record(number: int, line: str, lines: Lines, delimiter: str, width: int) -> Record:
    """Read one record of a TSV file: quotation marks are ordinary, unless a cell is quoted as a whole.

    Where the line does not have `width` cells so, quoted cells may hold tabs or line breaks, as in CSV.

    Raises:
        Unreadable: The line has another number of cells, and its quotation marks explain that in no way.
    """
    fields = line.rstrip("\r\n").split(delimiter)
    following = lines.peek()
    if len(fields) == width and not (_is_open(fields[-1]) and _is_continuation(following, delimiter, width)):
        return Record(number, [_unquoted(field) for field in fields])
    if width == 1:
        return Record(number, fields)
    return csv_record(number, line, lines, delimiter)


def _is_open(cell: str) -> bool:
    """Whether a cell begins with a quotation mark that is not closed in it."""
    return cell.startswith(QUOTE) and _unquoted(cell) == cell


def _is_continuation(line: tuple[int, str] | None, delimiter: str, width: int) -> bool:
    """Whether a line can only be the rest of a quoted cell, because it has too few cells for a row."""
    return line is not None and line[1].count(delimiter) + 1 < width and bool(line[1].strip())


def _unquoted(cell: str) -> str:
    """Return the text of a cell that is quoted as a whole, or the cell as it is."""
    if len(cell) < 2 or not (cell.startswith(QUOTE) and cell.endswith(QUOTE)):
        return cell
    inside = cell[1:-1].replace(QUOTE * 2, "")
    return cell if QUOTE in inside else cell[1:-1].replace(QUOTE * 2, QUOTE)
