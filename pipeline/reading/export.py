"""Captions of an output in one file: CSV, JSON lines, Parquet or audiofolder metadata.

Conventions: one row per track, the newest caption, in the order of the newest run's catalogue; every row carries
`ai_generated`, and so does the Frictionless descriptor written beside a file. A file appears whole or not at all.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from pipeline import storage
from pipeline.output.column_types import converted
from pipeline.output.newest import Table, open_table
from pipeline.reading.atomic_file import atomic_file
from pipeline.reading.audiofolder import AudioPaths
from pipeline.reading.descriptor import AI_COLUMN, DISCLOSURE, data_package
from pipeline.reading.formats import ExportFormat, batch_writer, is_csv_type
from pipeline.reading.ordered_rows import rows_in_order
from pipeline.reading.shortening import shorten_caption

FORMULA_START = "[\\s]*[=+\\-@\uff1d\uff0b\uff0d\uff20]|[\\t\\r\\n]"
"""Start of a cell that a spreadsheet would run as a formula (OWASP, CSV injection), full-width signs included."""


@dataclass(frozen=True, kw_only=True)
class ExportConfig:
    """What to write where."""

    output: str
    """Folder or bucket prefix that holds `captions/`."""
    file: str
    """Path or URI to write; the suffix .csv, .jsonl or .parquet is the format."""
    columns: tuple[str, ...] = ()
    """Columns in order; empty for all (CSV: all that are not nested)."""
    max_chars: int | None = None
    """Longest caption in characters, cut between words; None for no limit."""
    model_id: str | None = None
    """Only captions by this model; None takes each track's newest."""
    audiofolder: bool = False
    """Add `file_name` relative to the file's folder, as Hugging Face's audiofolder loader wants."""
    spreadsheet_safe: bool = True
    """CSV only: put an apostrophe in front of text that a spreadsheet would run as a formula."""
    excel: bool = False
    """CSV only: begin with a byte order mark, without which Excel does not read the file as UTF-8."""

    def __post_init__(self) -> None:
        if self.max_chars is not None and self.max_chars < 1:
            raise ValueError(f"max_chars must be at least 1, not {self.max_chars}")
        if len(set(self.columns)) != len(self.columns):
            raise ValueError(f"columns names a column twice: {', '.join(self.columns)}")
        suffix = Path(self.file).suffix.lower()
        if suffix not in (".csv", ".jsonl", ".parquet"):
            raise ValueError(f"{self.file} must end in .csv, .jsonl or .parquet: the suffix chooses the format")
        if self.excel and suffix != ".csv":
            raise ValueError(f"{self.file}: a byte order mark is for .csv files that Excel opens")
        if self.audiofolder and Path(self.file).stem != "metadata":
            raise ValueError(f"audiofolder metadata must be called metadata{suffix}, not {Path(self.file).name}")

    @property
    def format(self) -> ExportFormat:
        """The file's format, by its suffix."""
        return Path(self.file).suffix.lower()[1:]  # type: ignore[return-value]


@dataclass(frozen=True, kw_only=True)
class ExportSummary:
    """What was written."""

    file: str
    """Path or URI of the exported file."""
    descriptor: str
    """Path or URI of the Frictionless data package that describes it."""
    rows: int
    """Tracks in the file."""
    cut: int
    """Captions that were shortened to `max_chars`."""
    escaped: int
    """CSV cells that got an apostrophe in front."""


def export_captions(config: ExportConfig) -> ExportSummary:
    """Write every track's newest caption to one file, and a descriptor beside it.

    Raises:
        OutputError: No captions, an unknown column, or audio outside the audiofolder.
        StorageError: Reading or writing failed.
    """
    table = open_table(config.output, "captions")
    columns, schema = _columns_and_schema(table, config)
    audio_paths = AudioPaths(table, config.file)
    counts = {"rows": 0, "cut": 0, "escaped": 0}
    with atomic_file(config.file) as path:
        with batch_writer(path, schema, config.format, byte_order_mark=config.excel) as write:
            for batch in rows_in_order(table, columns, model_id=config.model_id):
                write(_converted(batch, schema, config, audio_paths, counts))
                counts["rows"] += batch.num_rows
        size, digest = path.stat().st_size, _sha256(path)
    descriptor = data_package(
        config.file,
        schema,
        spreadsheet_safe=config.format == "csv" and config.spreadsheet_safe,
        rows=counts["rows"],
        size=size,
        digest=digest,
    )
    descriptor_uri = (
        f"{config.file}.datapackage.json"  # the suffix stays: a .csv and a .parquet of one name each keep a descriptor
    )
    storage.write_once(descriptor_uri, json.dumps(descriptor, indent=2, ensure_ascii=False).encode() + b"\n")
    return ExportSummary(file=config.file, descriptor=descriptor_uri, **counts)


def _columns_and_schema(table: Table, config: ExportConfig) -> tuple[list[str], pa.Schema]:
    """Return the columns to read and the schema to write."""
    wanted = [name for name in config.columns if name not in (AI_COLUMN, "file_name")]
    if not wanted:
        wanted = [field.name for field in table.schema if config.format != "csv" or not pa.types.is_nested(field.type)]
    fields = [table.field(name) for name in wanted]
    if config.format == "csv":
        fields = [f if is_csv_type(f.type) else f.with_type(pa.string()) for f in fields]
    fields = [pa.field(f.name, f.type) for f in fields if f.name not in (AI_COLUMN, "file_name")]
    if config.audiofolder:
        fields.insert(0, pa.field("file_name", pa.string()))
    fields.append(pa.field(AI_COLUMN, pa.bool_()))
    read = list(wanted)
    if config.audiofolder:
        read += [name for name in ("track_id", "uri") if name not in read]
    metadata = {b"ai_generated": b"true", b"description": DISCLOSURE.encode()}
    return read, pa.schema(fields, metadata=metadata)


def _converted(
    batch: pa.RecordBatch, schema: pa.Schema, config: ExportConfig, audio_paths: AudioPaths, counts: dict[str, int]
) -> pa.RecordBatch:
    """Convert a batch to the schema to write; add to `counts`."""
    arrays = []
    for field in schema:
        if field.name == AI_COLUMN:
            array = pa.array([True] * batch.num_rows)
        elif field.name == "file_name":
            rows = zip(batch["track_id"].to_pylist(), batch["uri"].to_pylist(), strict=True)
            array = pa.array([audio_paths.relative(uri, track_id) for track_id, uri in rows], pa.string())
        else:
            array = batch[field.name]
        if field.name == "caption" and config.max_chars is not None:
            full = array.to_pylist()
            short = [text if text is None else shorten_caption(text, config.max_chars) for text in full]
            counts["cut"] += sum(a != b for a, b in zip(full, short, strict=True))
            array = pa.array(short, pa.string())
        array = converted(array, field.type)
        if config.format == "csv" and config.spreadsheet_safe and pa.types.is_string(field.type):
            is_formula = pc.match_substring_regex(array, f"^(?:{FORMULA_START})").fill_null(False)
            counts["escaped"] += pc.sum(is_formula).as_py() or 0
            array = pc.if_else(is_formula, pc.binary_join_element_wise("'", array, ""), array)
        arrays.append(array)
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
