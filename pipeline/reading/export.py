"""Captions of an output in one file: CSV, JSON lines, Parquet, audiofolder metadata or what another system imports.

Conventions: one row per track, in the order of the newest run's catalogue: the newest caption and its tags, or what a
person decided on (`pipeline.review`). Exported tags are those that count (`muscaps.tags`), by the customer's words.
What is AI-written is the description, not the music: rows have `description_ai_generated`, the Frictionless descriptor
beside a file states it too. A file appears whole or not at all.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from muscaps.tags import MIN_TAG_SCORE
from pipeline import storage
from pipeline.output.newest import Table, open_table
from pipeline.reading.atomic_file import atomic_file
from pipeline.reading.audiofolder import AudioPaths
from pipeline.reading.descriptor import DISCLOSURE, data_package
from pipeline.reading.export_columns import (
    CellCounts,
    Cells,
    ExportColumn,
    Formulas,
    plain_columns,
    profile_columns,
    renamed,
)
from pipeline.reading.formats import ExportFormat, batch_writer
from pipeline.reading.ordered_rows import rows_in_order
from pipeline.reading.profiles import PROFILES, Profile, profile_of
from pipeline.reading.tag_columns import TagWords
from pipeline.reading.taxonomy import Taxonomy
from pipeline.reading.taxonomy_files import read_taxonomy
from pipeline.review.reviewed_captions import NEEDED_COLUMNS, REVIEWED_COLUMN, ReviewedCaptions


@dataclass(frozen=True, kw_only=True)
class ExportConfig:
    """What to write where."""

    output: str
    """Folder or bucket prefix that holds `captions/`."""
    file: str
    """Path or URI to write; the suffix .csv, .jsonl or .parquet is the format. Profile harvest: .txt."""
    columns: tuple[str, ...] = ()
    """Columns in order; empty for all (CSV: all that are not nested)."""
    max_chars: int | None = None
    """Longest caption in characters, see `shortening`; None for no limit."""
    model_id: str | None = None
    """Only captions by this model; None takes each track's newest."""
    audiofolder: bool = False
    """Add `file_name` relative to the file's folder, as Hugging Face's audiofolder loader wants."""
    spreadsheet_safe: bool | None = None
    """CSV only: put an apostrophe in front of text that a spreadsheet would run as a formula. None for yes, except in
    files that another system imports."""
    excel: bool = False
    """CSV only: begin with a byte order mark, without which Excel does not read the file as UTF-8."""
    profile: str | None = None
    """System that imports the file, see `profiles`; None for our columns."""
    rename: Mapping[str, str] = field(default_factory=dict)
    """New names of columns."""
    taxonomy: str | None = None
    """File of the customer's words for tags, see `taxonomy_files`."""
    min_tag_score: float = MIN_TAG_SCORE
    """Score from which a tag counts."""

    def __post_init__(self) -> None:
        if self.max_chars is not None and self.max_chars < 1:
            raise ValueError(f"max_chars must be at least 1, not {self.max_chars}")
        if not 0 <= self.min_tag_score <= 1:
            raise ValueError(f"min_tag_score must lie in 0 to 1, not {self.min_tag_score}")
        if len(set(self.columns)) != len(self.columns):
            raise ValueError(f"columns names a column twice: {', '.join(self.columns)}")
        suffix = Path(self.file).suffix.lower()
        if self.profile is not None:
            self._check_profile(profile_of(self.profile), suffix)
        elif suffix not in (".csv", ".jsonl", ".parquet"):
            raise ValueError(f"{self.file} must end in .csv, .jsonl or .parquet: the suffix chooses the format")
        if self.excel and suffix != ".csv":
            raise ValueError(f"{self.file}: a byte order mark is for .csv files that Excel opens")
        if self.audiofolder and Path(self.file).stem != "metadata":
            raise ValueError(f"audiofolder metadata must be called metadata{suffix}, not {Path(self.file).name}")

    def _check_profile(self, profile: Profile, suffix: str) -> None:
        if suffix != profile.suffix:
            raise ValueError(f"profile {self.profile} is a {profile.suffix} file, not {self.file}")
        if self.columns or self.audiofolder:
            raise ValueError(f"profile {self.profile} has its own columns: leave out --columns and --audiofolder")

    @property
    def format(self) -> ExportFormat:
        """The file's format, by its suffix; text separated by tabs is CSV too."""
        suffix = Path(self.file).suffix.lower()[1:]
        return "csv" if suffix == "txt" else suffix  # type: ignore[return-value]

    @property
    def is_tab_separated(self) -> bool:
        """Whether tabs separate the cells."""
        return self.file.lower().endswith(".txt")

    @property
    def formulas(self) -> Formulas:
        """What is done about text that is a formula."""
        if self.format != "csv" or self.spreadsheet_safe is False:
            return "ignore"
        is_for_people = self.profile is None or PROFILES[self.profile].is_for_people
        return "apostrophe" if self.spreadsheet_safe or is_for_people else "count"


@dataclass(frozen=True, kw_only=True)
class ColumnFile:
    """A file of one column, with the tracks that have a value."""

    file: str
    """Path or URI."""
    column: str
    """Name of the column."""
    rows: int
    """Tracks in the file."""


@dataclass(frozen=True, kw_only=True)
class ExportSummary:
    """What was written."""

    file: str
    """Path or URI of the exported file."""
    descriptor: str
    """Path or URI of the Frictionless data package that describes it."""
    rows: int
    """Tracks in the file."""
    reviewed: int
    """Tracks whose caption a person accepted, edited or rejected."""
    cut: int
    """Captions that were shortened to `max_chars`, by another hypothesis or without their last phrases."""
    too_long: int
    """Captions that are empty, because no sentence of `max_chars` was found."""
    lost_instruments: int
    """Shortened captions that name fewer instruments."""
    examples: list[tuple[str, str]]
    """(track_id, instruments that are lost) of the first of them."""
    escaped: int
    """CSV cells that got an apostrophe in front."""
    formulas: int
    """Cells that a spreadsheet would run as a formula, unchanged because another system imports the file."""
    more_files: tuple[ColumnFile, ...] = ()
    """Files of columns that are empty for some tracks, where the import deletes what a system has for an empty cell."""


def export_captions(config: ExportConfig) -> ExportSummary:
    """Write every track's newest caption to one file, and a descriptor beside it.

    Raises:
        OutputError: No captions, an unknown column, or audio outside the audiofolder.
        ValueError: The taxonomy has a mistake.
        StorageError: Reading or writing failed.
    """
    taxonomy = Taxonomy() if config.taxonomy is None else read_taxonomy(config.taxonomy)
    table = open_table(config.output, "captions")
    cells = Cells(
        words=TagWords(taxonomy=taxonomy, min_score=config.min_tag_score),
        audio_paths=AudioPaths(table, config.file),
        formulas=config.formulas,
        one_line=config.is_tab_separated,
    )
    export = _Export(config, table, cells)
    profile = None if config.profile is None else PROFILES[config.profile]
    if profile is None:
        columns = plain_columns(
            table, config.columns, config.format, audiofolder=config.audiofolder, max_chars=config.max_chars
        )
    else:
        columns = profile_columns(table, profile, config.max_chars)
    columns = renamed(columns, config.rename)
    partly_filled: list[ExportColumn] = []
    if profile is not None and profile.may_empty_cells_delete:
        columns, partly_filled = export.by_filling(columns)
    rows, descriptor = export.write(config.file, columns)
    counts = {**asdict(cells.counts), "reviewed": export.reviewed}  # before more files are written
    more = [export.write_filled(columns[0], column) for column in partly_filled]
    return ExportSummary(file=config.file, descriptor=descriptor, rows=rows, **counts, more_files=tuple(more))


class _Export:
    """Writes files from one output."""

    def __init__(self, config: ExportConfig, table: Table, cells: Cells) -> None:
        self._config, self._table, self._cells = config, table, cells
        self._reviews = ReviewedCaptions(config.output, model_id=config.model_id)
        self.reviewed = 0
        """Rows of the last pass over the output that a person reviewed."""

    def write(self, file: str, columns: Sequence[ExportColumn], only_filled: str | None = None) -> tuple[int, str]:
        """Write a file and its descriptor.

        Args:
            file: Path or URI.
            columns: In order.
            only_filled: Name of a column; rows where it is empty are left out.

        Returns:
            Number of rows, and path or URI of the descriptor.
        """
        config, schema, rows = self._config, _schema(columns), 0
        with atomic_file(file) as path:
            with batch_writer(
                path,
                schema,
                config.format,
                byte_order_mark=config.excel,
                delimiter="\t" if config.is_tab_separated else ",",
            ) as write:
                for batch in self._batches(columns, schema, self._cells):
                    kept = batch if only_filled is None else batch.filter(_is_filled(batch[only_filled]))
                    write(kept)
                    rows += kept.num_rows
            size, digest = path.stat().st_size, _sha256(path)
        descriptor = data_package(
            file,
            schema,
            sources={column.name: column.source for column in columns},
            spreadsheet_safe=config.formulas == "apostrophe",
            rows=rows,
            size=size,
            digest=digest,
        )
        uri = f"{file}.datapackage.json"  # the suffix stays: a .csv and a .parquet of one name each keep a descriptor
        storage.write_once(uri, json.dumps(descriptor, indent=2, ensure_ascii=False).encode() + b"\n")
        return rows, uri

    def write_filled(self, key: ExportColumn, column: ExportColumn) -> ColumnFile:
        """Write a file of one column for the tracks that have a value."""
        start, _, suffix = self._config.file.rpartition(".")
        file = f"{start}-{column.name.lower().replace(' ', '-')}.{suffix}"
        rows, _ = self.write(file, [key, column], only_filled=column.name)
        return ColumnFile(file=file, column=column.name, rows=rows)

    def by_filling(self, columns: Sequence[ExportColumn]) -> tuple[list[ExportColumn], list[ExportColumn]]:
        """Return the columns with a value for every track, and those with values for some."""
        schema, total = _schema(columns), 0
        filled = {column.name: 0 for column in columns}
        uncounted = replace(self._cells, counts=CellCounts())
        for batch in self._batches(columns, schema, uncounted):
            total += batch.num_rows
            for column in columns:
                filled[column.name] += pc.sum(_is_filled(batch[column.name])).as_py() or 0
        everywhere = [column for column in columns if filled[column.name] == total]
        return everywhere, [column for column in columns if 0 < filled[column.name] < total]

    def _batches(self, columns: Sequence[ExportColumn], schema: pa.Schema, cells: Cells) -> Iterator[pa.RecordBatch]:
        wanted = list(NEEDED_COLUMNS)
        if any(column.source == "caption" and column.max_chars is not None for column in columns):
            wanted.append("alternatives")
        needed = dict.fromkeys(name for column in columns for name in column.needs)
        needed |= dict.fromkeys(name for name in wanted if name in self._table.schema.names)
        self.reviewed = 0
        for batch in rows_in_order(self._table, list(needed), model_id=self._config.model_id):
            reviewed = self._reviews.apply(batch)
            self.reviewed += pc.sum(reviewed[REVIEWED_COLUMN]).as_py() or 0
            yield cells.batch(reviewed, columns, schema)


def _schema(columns: Sequence[ExportColumn]) -> pa.Schema:
    metadata = {b"description_ai_generated": b"true", b"description": DISCLOSURE.encode()}
    return pa.schema([pa.field(column.name, column.kind) for column in columns], metadata=metadata)


def _is_filled(array: pa.Array) -> pa.Array:
    """Return whether each cell has a value."""
    if not pa.types.is_string(array.type):
        return array.is_valid()
    return pc.not_equal(pc.utf8_trim_whitespace(array), "").fill_null(False)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
