"""Reading pair files: CSV, TSV, JSONL or Parquet, or a folder of Parquet files, as catalogues are read.

The output of `muscaps caption` is a source as well: its reviewed captions.

Conventions: the columns are `uri` and `caption` (or `captions`, a list), optionally `track_id`, `split`, `tags`,
`split_group` (pairs that come into the same split) and `start_s` and `end_s` (the excerpt that is described).
Rows of one track are one pair with several captions. In text files `captions` and `tags` are JSON lists, Python lists
or separated by `|`; `tags` also by semicolons or commas. Relative URIs are relative to the file.
"""

import ast
import json
import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pyarrow as pa

from muscaps.training.dataset.pairs import DatasetError, Pair
from muscaps.training.dataset.splits import split_name
from pipeline.catalogue import CatalogueError
from pipeline.catalogue.catalogue import open_reader
from pipeline.catalogue.column_types import as_text, plain
from pipeline.catalogue.columns import URI_SYNONYMS, map_columns
from pipeline.catalogue.folder import FolderReader
from pipeline.catalogue.inventory import InventoryReader
from pipeline.catalogue.reader import Reader
from pipeline.training.reviewed_pairs import is_output, reviewed_pairs

TEXT_COLUMNS = ("track_id", "uri", "caption", "split", "split_group", "start_s", "end_s")
LIST_COLUMNS = ("captions", "tags")
CAPTION_SEPARATORS = "|"
TAG_SEPARATORS = "|;,"
"""The first of these that a text holds separates its values."""


def read_pairs(source: str, caption_column: str | None = None) -> list[Pair]:
    """Read a pair file, or the reviews of an output; rows that name the same track become one pair.

    Args:
        source: The file, a folder of Parquet files, or an output with reviews.
        caption_column: Column that holds the captions; None for `caption` or `captions`. Rows where it is empty are
            pairs without a caption.

    Raises:
        DatasetError: The file is unreadable or empty, a column or a value is missing, a split is unknown or
            differs between rows of one track.
        StorageError: The file cannot be fetched.
    """
    if is_output(source):
        return reviewed_pairs(source)
    pairs: dict[str, Pair] = {}
    try:
        reader = _table_reader(source)
        for number, row in enumerate(_rows(reader, caption_column)):
            pair = _pair(row, number, reader, may_lack_caption=caption_column is not None)
            known = pairs.get(pair.track_id)
            if known is None:
                pairs[pair.track_id] = pair
                continue
            if known.uri != pair.uri or known.split != pair.split:
                raise DatasetError(
                    f"{source}: track {pair.track_id!r} appears twice with another uri or split, the second time in "
                    f"{reader.describe_rows([number])}"
                )
            captions = tuple(dict.fromkeys([*known.captions, *pair.captions]))
            pairs[pair.track_id] = replace(known, captions=captions)
    except CatalogueError as error:
        raise DatasetError(str(error)) from None
    if not pairs:
        raise DatasetError(f"{source}: there are no pairs in it")
    return list(pairs.values())


def read_table(source: str) -> pa.Table:
    """Read all columns of a table of tracks, with or without captions; they keep their names and types.

    Raises:
        DatasetError: The file is unreadable or empty.
        StorageError: The file cannot be fetched.
    """
    try:
        tables = list(_table_reader(source).tables())
    except CatalogueError as error:
        raise DatasetError(str(error)) from None
    if not tables:
        raise DatasetError(f"{source}: there are no rows in it")
    return pa.concat_tables(tables, promote_options="permissive")


def _table_reader(source: str) -> Reader:
    reader = open_reader(source)
    if isinstance(reader, FolderReader | InventoryReader):
        raise DatasetError(f"{source}: pairs come as .csv, .tsv, .jsonl or .parquet, or a folder of Parquet files")
    return reader


def _rows(reader: Reader, caption_column: str | None) -> Iterator[dict[str, Any]]:
    """Yield the columns of interest, row by row."""
    first_row = 0
    for table in reader.tables():
        names = _column_names(table.column_names, reader.source, caption_column)
        columns = {}
        for name, own_name in names.items():
            if name in LIST_COLUMNS:
                columns[name] = plain(table[own_name])
            else:
                columns[name] = as_text(table[own_name], own_name, reader, first_row)
        yield from pa.table(columns).to_pylist()
        first_row += table.num_rows


def _column_names(names: list[str], source: str, caption_column: str | None) -> dict[str, str]:
    """Map our column names to the file's, without regard to case.

    Raises:
        DatasetError: There is no caption, or no uri.
        CatalogueError: Two columns would be one.
    """
    present = {name.strip().lower() for name in names}
    mapping: dict[str, str] = {}
    if present & {"uri", *URI_SYNONYMS}:
        mapping = map_columns(names, source, reserved=frozenset())
    ours: dict[str, str] = {}
    for own_name, name in mapping.items():
        if name.lower() in (*TEXT_COLUMNS, *LIST_COLUMNS):
            ours.setdefault(name.lower(), own_name)
    if caption_column is not None:
        ours.pop("captions", None)
        ours["caption"] = _named_column(caption_column, names, source)
    if not {"caption", "captions"} & set(ours) or "uri" not in ours:
        raise DatasetError(
            f"{source}: needs the columns `uri` and `caption` (or `captions`, or --caption-column NAME); it has "
            f"{', '.join(names) or 'none'}"
        )
    return ours


def _named_column(column: str, names: list[str], source: str) -> str:
    """Return the file's name of a column, as it is or without regard to case."""
    for name in names:
        if name == column or name.strip().lower() == column.strip().lower():
            return name
    raise DatasetError(f"{source}: no column {column!r} for the captions; it has {', '.join(names) or 'none'}")


def _pair(row: dict[str, Any], number: int, reader: Reader, *, may_lack_caption: bool) -> Pair:
    uri = row["uri"]
    captions = texts_of(row.get("captions"), CAPTION_SEPARATORS)
    if row.get("caption"):  # one sentence, whatever it contains
        captions.append(" ".join(row["caption"].split()))
    if not uri or not (captions or may_lack_caption):
        missing = "uri" if not uri else "caption"
        raise DatasetError(f"{reader.source}: no {missing} in {reader.describe_rows([number])}")
    return Pair(
        track_id=row.get("track_id") or uri,
        uri=uri,
        captions=tuple(dict.fromkeys(captions)),
        tags=tuple(dict.fromkeys(texts_of(row.get("tags"), TAG_SEPARATORS))),
        split=split_name(row["split"]) if row.get("split") else None,
        split_group=row.get("split_group") or None,
        **_excerpt(row, number, reader),
    )


def _excerpt(row: dict[str, Any], number: int, reader: Reader) -> dict[str, float]:
    """Return the named ends of a row's excerpt.

    Raises:
        DatasetError: They are no numbers, or the excerpt has no length.
    """
    try:
        ends = {name: float(row[name]) for name in ("start_s", "end_s") if row.get(name)}
    except ValueError as error:
        raise DatasetError(f"{reader.source}: start_s or end_s in {reader.describe_rows([number])}: {error}") from None
    start = ends.get("start_s", 0.0)
    if not 0 <= start < ends.get("end_s", math.inf):
        raise DatasetError(
            f"{reader.source}: start_s and end_s must be 0 <= start_s < end_s in {reader.describe_rows([number])}"
        )
    return ends


def texts_of(value: object, separators: str) -> list[str]:
    """Return texts from a list, from a JSON or Python list written as text, or from separated text.

    Args:
        value: Of a row; None gives no texts.
        separators: The first of these that a text holds separates its values.
    """
    if value is None:
        return []
    if isinstance(value, str):
        listed = _written_list(value.strip())
        separator = next((mark for mark in separators if mark in value), separators[0])
        value = value.split(separator) if listed is None else listed
    if not isinstance(value, list):
        value = [value]
    return [text for item in value if item is not None and (text := " ".join(str(item).split()))]


def _written_list(text: str) -> list[Any] | None:
    """Read a list in the notation of JSON or Python; None where the text is none."""
    if not (text.startswith("[") and text.endswith("]")):
        return None
    try:
        values = json.loads(text)
    except ValueError:
        try:
            values = ast.literal_eval(text)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            return None
    return values if isinstance(values, list) else None
