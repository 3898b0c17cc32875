"""The columns of an export: which there are, under which names, and their cells."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.output.column_types import converted
from pipeline.output.newest import OutputError, Table
from pipeline.output.schema import TAGS
from pipeline.reading.audiofolder import AudioPaths
from pipeline.reading.formats import ExportFormat, is_csv_type
from pipeline.reading.profiles import Profile
from pipeline.reading.shortening import shorten_caption
from pipeline.reading.tag_columns import (
    AI_COLUMN,
    KEYWORDS,
    MADE_FROM,
    MODEL_COLUMN,
    TAG_COLUMNS,
    TagWords,
    counted_column,
    made_column,
)
from pipeline.review.reviewed_captions import REVIEWED_COLUMN

FORMULA_START = "[\\s]*[=+\\-@\uff1d\uff0b\uff0d\uff20]|[\\t\\r\\n]"
"""Start of a cell that a spreadsheet would run as a formula (OWASP, CSV injection), full-width signs included."""
Formulas = Literal["apostrophe", "count", "ignore"]
"""What is done about text that a spreadsheet would run as a formula."""
MAX_EXAMPLES = 10
"""Tracks that are named whose shorter caption lacks an instrument."""
FILE_NAME = "file_name"
"""Column of audiofolder metadata."""


@dataclass(frozen=True, kw_only=True)
class ExportColumn:
    """One column of an exported file."""

    name: str
    """Its name in the file."""
    source: str
    """Column of `captions/`, one of `tag_columns.MADE_FROM`, `REVIEWED_COLUMN` or `FILE_NAME`."""
    kind: pa.DataType
    """Type in the file."""
    max_chars: int | None = None
    """Most characters of a cell."""

    @property
    def needs(self) -> tuple[str, ...]:
        """Columns of `captions/` from which it is made."""
        if self.source == FILE_NAME:
            return ("track_id", "uri")
        if self.source == REVIEWED_COLUMN:
            return ()
        return MADE_FROM.get(self.source, (self.source,))


@dataclass(kw_only=True)
class CellCounts:
    """What was changed in cells."""

    cut: int = 0
    too_long: int = 0
    lost_instruments: int = 0
    examples: list[tuple[str, str]] = field(default_factory=list)
    """(track_id, what was lost) of the first tracks whose shorter caption lacks an instrument."""
    escaped: int = 0
    formulas: int = 0


@dataclass(frozen=True, kw_only=True)
class Cells:
    """How cells are written."""

    words: TagWords
    audio_paths: AudioPaths
    formulas: Formulas = "ignore"
    """Whether text that is a formula gets an apostrophe in front, or is counted."""
    one_line: bool = False
    """Replace tabs and line breaks by a blank: text separated by tabs has no rule for them that all programs follow."""
    counts: CellCounts = field(default_factory=CellCounts)

    def batch(self, batch: pa.RecordBatch, columns: Sequence[ExportColumn], schema: pa.Schema) -> pa.RecordBatch:
        """Return the rows of a batch of `captions/` as they are written."""
        return pa.RecordBatch.from_arrays([self._array(batch, column) for column in columns], schema=schema)

    def _array(self, batch: pa.RecordBatch, column: ExportColumn) -> pa.Array:
        if column.source == FILE_NAME:
            rows = zip(batch["track_id"].to_pylist(), batch["uri"].to_pylist(), strict=True)
            array = pa.array([self.audio_paths.relative(uri, track_id) for track_id, uri in rows], pa.string())
        elif column.source in MADE_FROM:
            array = made_column(column.source, batch, self.words)
        elif column.source == "tags" and batch["tags"].type == TAGS:
            array = counted_column(batch["tags"], self.words)
        else:
            array = batch[column.source]
        array = converted(array, column.kind)
        if column.max_chars is not None and pa.types.is_string(column.kind):
            array = self._shortened(batch, array, column)
        return self._safe(array) if pa.types.is_string(column.kind) else array

    def _safe(self, array: pa.Array) -> pa.Array:
        """Return text as the file's reader needs it."""
        if self.one_line:
            array = pc.replace_substring_regex(array, "[\\t\\r\\n]+", " ")
        if self.formulas == "ignore":
            return array
        is_formula = pc.match_substring_regex(array, f"^(?:{FORMULA_START})").fill_null(False)
        found = pc.sum(is_formula).as_py() or 0
        if self.formulas == "count":
            self.counts.formulas += found
            return array
        self.counts.escaped += found
        return pc.if_else(is_formula, pc.binary_join_element_wise("'", array, ""), array)

    def _shortened(self, batch: pa.RecordBatch, array: pa.Array, column: ExportColumn) -> pa.Array:
        assert column.max_chars is not None
        if column.source != "caption":
            cut = [None if text is None else _cut_list(text, column.max_chars) for text in array.to_pylist()]
            return pa.array(cut, pa.string())
        others = batch["alternatives"].to_pylist() if "alternatives" in batch.schema.names else [None] * len(array)
        if REVIEWED_COLUMN in batch.schema.names:  # no person has seen the other hypotheses
            others = [
                None if seen else texts for seen, texts in zip(batch[REVIEWED_COLUMN].to_pylist(), others, strict=True)
            ]
        ids = batch["track_id"].to_pylist() if "track_id" in batch.schema.names else [""] * len(array)
        rows = zip(ids, array.to_pylist(), others, strict=True)
        return pa.array([self._short_caption(*row, column.max_chars) for row in rows], pa.string())

    def _short_caption(
        self, track_id: str, caption: str | None, others: Sequence[Mapping[str, str]] | None, max_chars: int
    ) -> str | None:
        if caption is None:
            return None
        found = shorten_caption(caption, max_chars, [other["caption"] for other in others or ()])
        counts = self.counts
        counts.cut += found.text != caption
        counts.too_long += found.text is None
        if found.text is not None and found.lost:
            counts.lost_instruments += 1
            if len(counts.examples) < MAX_EXAMPLES:
                counts.examples.append((track_id, ", ".join(found.lost)))
        return found.text


def _cut_list(text: str, max_chars: int) -> str:
    """Cut a list between its items; a single item that is too long is cut between characters."""
    if len(text) <= max_chars:
        return text
    return text[: max_chars + 1].rpartition(", ")[0] or text[:max_chars]


def profile_columns(table: Table, profile: Profile, max_chars: int | None) -> list[ExportColumn]:
    """Return the columns of a profile that the output can fill.

    Raises:
        OutputError: The output lacks what the first column, which names the track, is made from.
    """
    own = {name.lower(): name for name in reversed(table.schema.names)}
    columns = []
    for wanted in profile.columns:
        source = wanted.source if wanted.source in MADE_FROM else own.get(wanted.source, wanted.source)
        kind = pa.bool_() if source == AI_COLUMN else pa.string()
        limits = [limit for limit in (wanted.max_chars, max_chars if source == "caption" else None) if limit]
        column = ExportColumn(name=wanted.name, source=source, kind=kind, max_chars=min(limits, default=None))
        if all(name in table.schema.names for name in column.needs):
            columns.append(column)
        elif not columns:
            raise OutputError(f"the profile needs column {wanted.source!r}, which {table.output} does not have")
    return columns


def plain_columns(
    table: Table, wanted: Sequence[str], file_format: ExportFormat, *, audiofolder: bool, max_chars: int | None
) -> list[ExportColumn]:
    """Return the columns that are asked for, or all, and those that say what is reviewed and what AI-written.

    Raises:
        OutputError: The output has no such column.
    """
    own = (AI_COLUMN, MODEL_COLUMN, REVIEWED_COLUMN, FILE_NAME)
    names = [name for name in wanted if name not in own]
    if not wanted:
        names = [field.name for field in table.schema if file_format != "csv" or not pa.types.is_nested(field.type)]
        names = [name for name in names if name not in (*own, "shared_from_etag")]
        if file_format == "csv" and "tags" in table.schema.names:
            names += [name for name in (*TAG_COLUMNS, KEYWORDS) if name not in names]
    columns = []
    for name in names:
        if name in MADE_FROM and name not in table.schema.names:
            for needed in MADE_FROM[name]:
                table.field(needed)
            columns.append(ExportColumn(name=name, source=name, kind=pa.string()))
            continue
        kind = table.field(name).type
        kind = kind if file_format != "csv" or is_csv_type(kind) else pa.string()
        columns.append(
            ExportColumn(name=name, source=name, kind=kind, max_chars=max_chars if name == "caption" else None)
        )
    if audiofolder:
        columns.insert(0, ExportColumn(name=FILE_NAME, source=FILE_NAME, kind=pa.string()))
    columns.append(ExportColumn(name=REVIEWED_COLUMN, source=REVIEWED_COLUMN, kind=pa.bool_()))
    columns.append(ExportColumn(name=AI_COLUMN, source=AI_COLUMN, kind=pa.bool_()))
    if "model_id" not in names:
        columns.append(ExportColumn(name=MODEL_COLUMN, source=MODEL_COLUMN, kind=pa.string()))
    return columns


def renamed(columns: Sequence[ExportColumn], names: Mapping[str, str]) -> list[ExportColumn]:
    """Return the columns with other names.

    Raises:
        OutputError: There is no such column, or two would have one name.
    """
    present = [column.name for column in columns]
    missing = [name for name in names if name not in present]
    if missing:
        raise OutputError(f"--rename: the export has no column {missing[0]!r}; it has {', '.join(present)}")
    after = [names.get(name, name) for name in present]
    twice = next((name for name in after if after.count(name) > 1), None)
    if twice is not None:
        raise OutputError(f"--rename: two columns would be {twice!r}")
    return [
        ExportColumn(name=name, source=column.source, kind=column.kind, max_chars=column.max_chars)
        for name, column in zip(after, columns, strict=True)
    ]
