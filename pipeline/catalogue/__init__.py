"""The rows to do: a catalogue in any of its forms, minus what an output already holds (docs: design, Tables).

Conventions:

- A catalogue is a CSV, TSV, JSONL or Parquet file (text also gzipped), the `manifest.json` of an S3
  Inventory, a local folder or a bucket prefix. It is read once, front to back, into an Arrow file on local
  disk that is mapped, not loaded: five million tracks cost disk space rather than Python objects.
- Columns of text files are text, so that `007` stays `007`; only `duration_s` is a number.
- Columns are matched without regard to case. Without a `uri` column, `path`, `file` and the like stand in
  for it, without `track_id`, `id` does; the log says so.
- A column that bears the name of one of ours, say `sample_rate`, is passed on as `catalogue_sample_rate`.
- Lines count from 1 and include the header; rows of a Parquet file count from 1.
"""

import codecs
import contextlib
import csv
import gzip
import io
import itertools
import json
import logging
import os
import tempfile
import urllib.parse
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from pipeline import storage
from pipeline.output.schema import CAPTION_SCHEMA, CATALOGUE_SCHEMA, DECODED, FAILURE_SCHEMA, RESULT

logger = logging.getLogger(__name__)

AUDIO_SUFFIXES = frozenset(
    {
        ".aac",
        ".ac3",
        ".aif",
        ".aifc",
        ".aiff",
        ".alac",
        ".ape",
        ".au",
        ".caf",
        ".eac3",
        ".flac",
        ".m4a",
        ".m4b",
    }
    | {
        ".mka",
        ".mkv",
        ".mov",
        ".mp2",
        ".mp3",
        ".mp4",
        ".mpc",
        ".oga",
        ".ogg",
        ".opus",
        ".rf64",
        ".snd",
        ".spx",
    }
    | {".tta", ".w64", ".wav", ".wave", ".weba", ".webm", ".wma", ".wv"}
)
"""What counts as a track when a folder is listed; a catalogue file may name anything."""

URI_SYNONYMS = ("path", "file", "filename", "file_name", "filepath", "file_path", "location", "url", "audio")
"""Columns read as `uri` where there is none, the first that is there."""
TRACK_ID_SYNONYMS = ("id", "trackid", "track")
"""Columns read as `track_id` where there is none, the first that is there."""

KNOWN = tuple(CATALOGUE_SCHEMA.names)
OUTPUT_ONLY = frozenset({*CAPTION_SCHEMA.names, *FAILURE_SCHEMA.names, *RESULT.names, *DECODED.names} - set(KNOWN))
"""Names of ours; a catalogue's column of such a name gets `catalogue_` in front."""

BATCH_ROWS = 65_536
MAX_NAMED = 5
"""How many culprits an error lists."""


class CatalogueError(ValueError):
    """The catalogue cannot be used as it is; the message names the lines and the remedy."""


@dataclass(frozen=True, kw_only=True)
class Catalogue:
    """Every row of a catalogue, in Arrow and on disk."""

    source: str
    """The file, folder or prefix it was read from."""
    base: str
    """What relative URIs count from, as `storage.resolve` takes it."""
    rows: pa.Table
    """`track_id`, `uri`, `etag`, then whatever else of `CATALOGUE_SCHEMA` it gave, then its own columns."""
    renamed: Mapping[str, str] = field(default_factory=dict)
    """Its columns that go by another name here: synonyms, and those that collide with ours."""

    @property
    def num_tracks(self) -> int:
        """Number of tracks."""
        return int(self.rows.num_rows)

    @property
    def extra_columns(self) -> pa.Schema:
        """The columns that pass through to the captions: all but those a caption row has anyway."""
        return pa.schema([column for column in self.rows.schema if column.name not in CAPTION_SCHEMA.names])

    def select(self, wanted: np.ndarray, *, slice_rows: int) -> Iterator[pa.Table]:
        """Yield the rows where `wanted`, (num_tracks,) bool, is true, at most `slice_rows` at a time."""
        indices = np.flatnonzero(wanted)
        for start in range(0, len(indices), slice_rows):
            yield self.rows.take(pa.array(indices[start : start + slice_rows]))


def read_catalogue(source: str) -> Catalogue:
    """Read a catalogue of any form; nothing of the audio is touched.

    Args:
        source: A .csv, .tsv, .jsonl, .ndjson (each also .gz) or .parquet file, an S3 Inventory's
            `manifest.json`, a folder, or a bucket prefix; local or remote.

    Raises:
        CatalogueError: Missing, unreadable, empty, without `uri`, or with duplicate tracks.
        StorageError: The storage could not be reached.
    """
    kind = _kind(source)
    if kind == "folder":
        folder = source if source.endswith("/") else source + "/"
        batches: Iterable[pa.Table] = _listed(folder)
        base, columns = folder, {"uri": "uri", "track_id": "track_id", "etag": "etag"}
    elif kind == "inventory":
        batches, base = _inventory(source)
        columns = {"uri": "uri", "track_id": "track_id", "etag": "etag"}
    else:
        base = source
        batches = _READERS[kind](source)
        first = next(iter(batches := iter(batches)), None)
        if first is None:
            raise CatalogueError(f"{source}: there are no tracks in it")
        columns = _columns(first.column_names, source)
        batches = itertools.chain([first], batches)
    rows = _spooled(_normalised(batches, columns, base, source))
    if rows.num_rows == 0:
        raise CatalogueError(_EMPTY.get(kind, "{}: there are no tracks in it").format(source))
    _refuse_duplicates(rows, source)
    renamed = {old: new for old, new in columns.items() if old != new}
    return Catalogue(source=source, base=base, rows=rows, renamed=renamed)


_EMPTY = {
    "folder": "{}: there is no audio below this folder; files are taken by suffix: " + " ".join(sorted(AUDIO_SUFFIXES)),
    "inventory": "{}: the inventory names no audio file; files are taken by suffix: "
    + " ".join(sorted(AUDIO_SUFFIXES)),
}


def _kind(source: str) -> str:
    """Which reader a catalogue needs: a key of `_READERS`, "folder" or "inventory"."""
    name = source.lower().rstrip("/").rpartition("/")[2]
    suffix = name.removesuffix(".gz").rpartition(".")[2] if "." in name else ""
    if storage.is_remote(source):
        if name == "manifest.json":
            return "inventory"
        if suffix in _READERS and not source.endswith("/"):
            return suffix
        if not storage.is_folder(source):
            raise CatalogueError(f"{source}: there is no such catalogue file, and nothing below such a prefix")
        return "folder"
    if not storage.exists(source):
        raise CatalogueError(f"{source}: there is no such file or folder")
    if storage.is_folder(source):
        return "folder"
    if name == "manifest.json":
        return "inventory"
    if suffix not in _READERS:
        raise CatalogueError(
            f"{source}: not a catalogue; give a .csv, .tsv, .jsonl or .parquet file, or a folder of audio"
        )
    return suffix


# Columns


def _columns(names: Sequence[str], source: str) -> dict[str, str]:
    """Map a catalogue's column names to ours.

    Raises:
        CatalogueError: No column says where the audio is, or two columns would be one.
    """
    tidy = {name: name.strip().lstrip("\ufeff") for name in names}
    lower = {name: plain.lower() for name, plain in tidy.items()}
    mapping = {name: known for name, known in lower.items() if known in KNOWN}
    for target, synonyms in (("uri", URI_SYNONYMS), ("track_id", TRACK_ID_SYNONYMS)):
        if target in mapping.values():
            continue
        found = next((name for synonym in synonyms for name in names if lower[name] == synonym), None)
        if found is not None:
            logger.info("%s: no column %r; taking %r for it", source, target, found)
            mapping[found] = target
    if "uri" not in mapping.values():
        raise CatalogueError(
            f"{source}: no column 'uri' (or {', '.join(URI_SYNONYMS)}) says where the audio is; "
            f"the columns are: {', '.join(tidy.values())}"
        )
    for number, name in enumerate(names, start=1):
        if name in mapping:
            continue
        plain = tidy[name] or f"column_{number}"
        if plain in OUTPUT_ONLY or plain.lower() in KNOWN:
            logger.info("%s: its column %r is passed on as 'catalogue_%s'", source, plain, plain)
            plain = f"catalogue_{plain}"
        mapping[name] = plain
    twice = sorted({name for name in mapping.values() if list(mapping.values()).count(name) > 1})
    if twice or len(set(names)) < len(names):
        raise CatalogueError(f"{source}: more than one column {', '.join(twice) or 'of the same name'}; rename one")
    return mapping


def _normalised(batches: Iterable[pa.Table], columns: Mapping[str, str], base: str, source: str) -> Iterator[pa.Table]:
    """Give every batch our columns, `track_id`, `uri` and `etag` first, and check that none lacks its uri."""
    seen = 0
    for batch in batches:
        batch = batch.rename_columns([columns[name] for name in batch.column_names])
        arrays = {name: _plain(batch[name]) for name in batch.column_names if name in KNOWN}
        uris = _text(arrays["uri"])
        missing = pc.is_null(uris)
        if pc.any(missing).as_py():
            rows = [seen + int(index) for index in np.flatnonzero(_numpy(missing))[:MAX_NAMED]]
            raise CatalogueError(f"{source}: no uri in {_lines(source, rows)}; fill it in or delete the row")
        given = _text(arrays["track_id"]) if "track_id" in arrays else pa.nulls(batch.num_rows, pa.string())
        arrays["uri"] = uris
        arrays["track_id"] = pc.coalesce(given, _relative(uris, base))
        arrays["etag"] = _text(arrays["etag"]) if "etag" in arrays else pa.nulls(batch.num_rows, pa.string())
        if "duration_s" in arrays:
            arrays["duration_s"] = _seconds(arrays["duration_s"], source, seen)
        for name in ("title", "artist", "album", "isrc"):
            if name in arrays:
                arrays[name] = _text(arrays[name])
        others = {name: _plain(batch[name]) for name in batch.column_names if name not in KNOWN}
        ordered = {name: arrays[name] for name in ("track_id", "uri", "etag", *KNOWN) if name in arrays}
        seen += batch.num_rows
        yield pa.table({**ordered, **others})


def _relative(uris: pa.ChunkedArray, base: str) -> pa.ChunkedArray:
    """The default track ids: URIs as seen from the catalogue's folder, without secrets."""
    folder = base[: base.rfind("/") + 1]
    for prefix in ("./", folder):
        if prefix:
            inside = pc.starts_with(uris, prefix)
            uris = pc.if_else(inside, pc.utf8_slice_codeunits(uris, len(prefix)), uris)
    foreign = np.flatnonzero(_numpy(pc.match_substring_regex(uris, r"^[A-Za-z0-9+.-]+://.*[@?]")))
    if len(foreign) == 0:
        return uris
    texts = uris.to_pylist()
    for index in foreign:
        texts[index] = storage.public_uri(texts[index])
    return pa.chunked_array([pa.array(texts, pa.string())])


def _seconds(column: pa.ChunkedArray, source: str, first_row: int) -> pa.ChunkedArray:
    """Durations as float64.

    Raises:
        CatalogueError: One is not a number.
    """
    try:
        return column.cast(pa.float64())
    except pa.ArrowInvalid:
        for index, value in enumerate(column.to_pylist()):
            with contextlib.suppress(TypeError, ValueError):
                float(value if value is not None else 0)
                continue
            raise CatalogueError(
                f"{source}: duration_s is {value!r} in {_lines(source, [first_row + index])}; "
                "give seconds as a number, or leave it empty"
            ) from None
        raise


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A column without dictionary encoding, views, large offsets or an all-null type."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        return _plain(column.cast(kind.value_type))
    if pa.types.is_large_string(kind) or pa.types.is_string_view(kind) or pa.types.is_null(kind):
        return column.cast(pa.string())
    return column


def _text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A column as trimmed text, null where empty."""
    text = pc.utf8_trim_whitespace(column.cast(pa.string()))
    return pc.if_else(pc.equal(text, ""), pa.scalar(None, pa.string()), text)


def _refuse_duplicates(rows: pa.Table, source: str) -> None:
    """Refuse a catalogue in which two rows are the same track.

    Raises:
        CatalogueError: The first few such tracks, with their lines.
    """
    ids = rows["track_id"]
    if pc.count_distinct(ids).as_py() == len(ids):
        return
    counts = pc.value_counts(ids)
    twice = counts.field("values").filter(pc.greater(counts.field("counts"), 1))
    at = np.flatnonzero(_numpy(pc.is_in(ids, value_set=twice[:MAX_NAMED])))
    named: dict[str, list[int]] = {}
    for index in at:
        named.setdefault(ids[int(index)].as_py(), []).append(int(index))
    culprits = "; ".join(f"{name!r} in {_lines(source, where)}" for name, where in named.items())
    more = f" and {len(twice) - MAX_NAMED:,} more" if len(twice) > MAX_NAMED else ""
    raise CatalogueError(f"{source}: the same track_id more than once: {culprits}{more}; each track needs its own")


# Spooling


def _spooled(batches: Iterator[pa.Table]) -> pa.Table:
    """Write batches to a temporary Arrow file and map it; the file goes away with the table."""
    handle, path = tempfile.mkstemp(prefix="muscaps-catalogue-", suffix=".arrow")
    os.close(handle)
    try:
        writer = None
        for batch in batches:
            if writer is None:
                schema = batch.schema.remove_metadata()
                writer = pa.ipc.new_file(path, schema)
            writer.write_table(batch.cast(schema), max_chunksize=BATCH_ROWS)
        if writer is None:
            return pa.table({"track_id": pa.array([], pa.string())})
        writer.close()
        return pa.ipc.open_file(pa.memory_map(path)).read_all()
    finally:
        os.unlink(path)  # the map keeps the bytes


# Readers: each yields tables with the file's own column names.


def _listed(folder: str) -> Iterator[pa.Table]:
    """The audio files below a folder or prefix."""
    skipped = 0
    found: list[storage.StoredFile] = []
    prefix = len(folder) if storage.is_remote(folder) else None
    for file in storage.list_files(folder):
        if not _is_audio(file.uri):
            skipped += 1
            continue
        found.append(file)
        if len(found) == BATCH_ROWS:
            yield _file_table(found, folder, prefix)
            found = []
    if found:
        yield _file_table(found, folder, prefix)
    if skipped:
        logger.info("%s: %d files are not audio by their suffix and left out", folder, skipped)


def _file_table(files: Sequence[storage.StoredFile], folder: str, prefix: int | None) -> pa.Table:
    uris = [file.uri for file in files]
    if prefix is None:
        root = os.path.abspath(folder) + "/"
        names = [uri.removeprefix(folder).removeprefix(root) for uri in uris]
        uris = [uri if "://" in uri else os.path.abspath(uri) for uri in uris]
    else:
        names = [uri[prefix:] for uri in uris]
    return pa.table({"track_id": names, "uri": uris, "etag": [file.etag for file in files]})


def _is_audio(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in AUDIO_SUFFIXES


def _inventory(source: str) -> tuple[Iterator[pa.Table], str]:
    """The audio files an S3 Inventory lists, and the bucket they are in.

    Raises:
        CatalogueError: Not an inventory's manifest, or one in ORC.
    """
    try:
        manifest = json.loads(storage.read_bytes(source, max_bytes=2**28))
        bucket, kind = manifest["sourceBucket"], manifest["fileFormat"].upper()
        columns = [name.strip().lower() for name in str(manifest["fileSchema"]).split(",")]
        keys = [part["key"] for part in manifest["files"]]
        home = str(manifest.get("destinationBucket", bucket)).rpartition(":::")[2]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CatalogueError(f"{source}: not the manifest of an S3 Inventory ({error})") from None
    if kind not in ("CSV", "PARQUET"):
        raise CatalogueError(f"{source}: an inventory in {kind} is not read; have it written as CSV or Parquet")

    def tables() -> Iterator[pa.Table]:
        for key in keys:
            part = f"s3://{home}/{key}"
            if kind == "PARQUET":
                listed: Iterable[pa.Table] = _read_parquet(part)
                quoted = False
            else:
                listed = _read_inventory_csv(part, columns)
                quoted = True
            for table in listed:
                yield _audio_of_inventory(table, bucket, quoted=quoted)

    return tables(), f"s3://{bucket}/"


def _read_inventory_csv(uri: str, columns: Sequence[str]) -> Iterator[pa.Table]:
    names = [name.replace(" ", "_") for name in columns]
    with _open_text(uri) as stream:
        reader = pyarrow.csv.open_csv(
            stream,
            pyarrow.csv.ReadOptions(column_names=names, use_threads=False),
            pyarrow.csv.ParseOptions(newlines_in_values=True),
            pyarrow.csv.ConvertOptions(column_types={name: pa.string() for name in names}),
        )
        for batch in reader:
            yield pa.Table.from_batches([batch])


def _audio_of_inventory(table: pa.Table, bucket: str, *, quoted: bool) -> pa.Table:
    names = {name.lower().replace("_", ""): name for name in table.column_names}
    keys = table[names["key"]].cast(pa.string()).to_pylist()
    etags = table[names["etag"]].cast(pa.string()).to_pylist() if "etag" in names else [None] * len(keys)
    latest = table[names["islatest"]].cast(pa.string()).to_pylist() if "islatest" in names else ["true"] * len(keys)
    kept = [
        (urllib.parse.unquote_plus(key) if quoted else key, etag)
        for key, etag, newest in zip(keys, etags, latest, strict=True)
        if key and _is_audio(key) and newest != "false"
    ]
    return pa.table(
        {
            "track_id": pa.array([key for key, _ in kept], pa.string()),
            "uri": pa.array([f"s3://{bucket}/{key}" for key, _ in kept], pa.string()),
            "etag": pa.array([etag for _, etag in kept], pa.string()),
        }
    )


def _read_parquet(source: str) -> Iterator[pa.Table]:
    try:
        filesystem, path = storage.filesystem(source)
        with pq.ParquetFile(path, filesystem=filesystem) as file:
            names = [name for name in file.schema_arrow.names if not name.startswith("__index_level_")]
            for batch in file.iter_batches(batch_size=BATCH_ROWS, columns=names):
                yield pa.Table.from_batches([batch])
    except FileNotFoundError:
        raise CatalogueError(f"{source}: there is no such file") from None
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise CatalogueError(f"{source}: not a readable Parquet file: {error}") from None


def _read_delimited(source: str, delimiter: str | None) -> Iterator[pa.Table]:
    """Rows of a CSV or TSV file, every column text.

    Raises:
        CatalogueError: Not UTF-8, or a line with too few or too many fields.
    """
    try:
        header, delimiter = _header(source, delimiter)
        with _open_text(source) as stream:
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
        raise CatalogueError(_what_is_wrong(source, delimiter or ",", error)) from None


def _header(source: str, delimiter: str | None) -> tuple[list[str], str]:
    """A text table's column names and delimiter: the comma, semicolon, tab or bar the header has most of.

    Raises:
        CatalogueError: The file is empty, or two columns have one name.
    """
    with _open_text(source) as stream:
        lines = io.TextIOWrapper(stream, "utf-8-sig", newline="")
        first = lines.readline()
        if not first.strip():
            raise CatalogueError(f"{source}: the file is empty; its first line must name the columns, `uri` among them")
        delimiter = delimiter or max(",;\t|", key=first.count)
        names = next(csv.reader(itertools.chain([first], lines), delimiter=delimiter))
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise CatalogueError(f"{source}: more than one column {', '.join(map(repr, twice))} in line 1; rename one")
    return names, delimiter


def _what_is_wrong(source: str, delimiter: str, error: Exception) -> str:
    """Find the line at which a text table stops making sense, by reading it again slowly."""
    if isinstance(error, EOFError | gzip.BadGzipFile):
        return f"{source}: not a whole gzip file: {error}"
    with _open_text(source) as stream:
        for number, line in enumerate(stream, start=1):
            try:
                codecs.decode(line, "utf-8")
            except UnicodeDecodeError:
                return f"{source}: line {number} is not UTF-8; save the file as UTF-8 and try again"
    with _open_text(source) as stream:
        reader = csv.reader(io.TextIOWrapper(stream, "utf-8-sig", newline=""), delimiter=delimiter)
        width = len(next(reader))
        for fields in reader:
            if fields and len(fields) != width:
                return (
                    f"{source}: line {reader.line_num} has {len(fields)} fields, the header {width}; "
                    "quote fields that hold the delimiter"
                )
    return f"{source}: not a readable table: {error}"


def _read_jsonl(source: str) -> Iterator[pa.Table]:
    """Rows of a JSONL file; a column is a number where all its values are, nested values stay JSON text.

    Raises:
        CatalogueError: A line is not a JSON object.
    """
    kinds: dict[str, pa.DataType] = {}
    for _, record in _json_lines(source):
        for name, value in record.items():
            kinds[name] = _wider(kinds.get(name), value)
    schema = pa.schema([(name, pa.string() if pa.types.is_null(kind) else kind) for name, kind in kinds.items()])
    lines = _json_lines(source)
    while part := list(itertools.islice(lines, BATCH_ROWS)):
        yield pa.table(
            {
                column.name: pa.array(
                    [_fitting(record.get(column.name), column.type) for _, record in part], column.type
                )
                for column in schema
            }
        )


def _json_lines(source: str) -> Iterator[tuple[int, dict[str, Any]]]:
    try:
        with _open_text(source) as stream:
            for number, line in enumerate(io.TextIOWrapper(stream, "utf-8-sig"), start=1):
                if not line.strip():
                    continue
                record = json.loads(line)
                if not isinstance(record, dict):
                    raise CatalogueError(f'{source}: line {number} is not a JSON object like {{"uri": ...}}')
                yield number, record
    except json.JSONDecodeError as error:
        raise CatalogueError(f"{source}: line {number} is not JSON: {error.msg}") from None
    except UnicodeDecodeError:
        raise CatalogueError(f"{source}: not UTF-8; save the file as UTF-8 and try again") from None
    except (EOFError, gzip.BadGzipFile) as error:
        raise CatalogueError(f"{source}: not a whole gzip file: {error}") from None


def _wider(kind: pa.DataType | None, value: Any) -> pa.DataType:
    """The narrowest type that holds a column's values so far and this one."""
    if value is None:
        return kind or pa.null()
    own = {bool: pa.bool_(), int: pa.int64(), float: pa.float64()}.get(type(value), pa.string())
    if own == pa.int64() and not -(2**63) <= value < 2**63:
        own = pa.string()
    if kind is None or pa.types.is_null(kind) or kind == own:
        return own
    return pa.float64() if {kind, own} == {pa.int64(), pa.float64()} else pa.string()


def _fitting(value: Any, kind: pa.DataType) -> Any:
    if value is None or kind != pa.string() or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)


_READERS = {
    "csv": lambda source: _read_delimited(source, None),
    "tsv": lambda source: _read_delimited(source, "\t"),
    "jsonl": _read_jsonl,
    "ndjson": _read_jsonl,
    "parquet": _read_parquet,
}


@contextlib.contextmanager
def _open_text(source: str) -> Iterator[Any]:
    """A text file's bytes, unzipped."""
    with storage.open_for_reading(source) as file:
        if source.lower().endswith(".gz"):
            with gzip.open(file, "rb") as unzipped:
                yield unzipped
        else:
            yield file


def _lines(source: str, rows: Sequence[int]) -> str:
    """Say where rows (from 0) stand in their file: "lines 3 and 17"."""
    shown = list(rows[:MAX_NAMED])
    name = source.lower().removesuffix(".gz")
    unit = "line"
    if name.endswith((".csv", ".tsv")):
        numbers = _csv_lines(source, shown)
    elif name.endswith((".jsonl", ".ndjson")):
        wanted = set(shown)
        numbers = [number for index, (number, _) in enumerate(_json_lines(source)) if index in wanted]
    else:
        unit, numbers = "row", [row + 1 for row in shown]
    if len(numbers) == 1:
        return f"{unit} {numbers[0]}"
    if len(rows) > len(shown):
        return f"{unit}s {', '.join(map(str, numbers))} and more"
    return f"{unit}s {', '.join(map(str, numbers[:-1]))} and {numbers[-1]}"


def _csv_lines(source: str, rows: Sequence[int]) -> list[int]:
    """The lines at which rows of a CSV or TSV file begin; quoted fields may span lines."""
    _, delimiter = _header(source, "\t" if source.lower().removesuffix(".gz").endswith(".tsv") else None)
    wanted, numbers = set(rows), []
    with _open_text(source) as stream:
        reader = csv.reader(io.TextIOWrapper(stream, "utf-8-sig", newline=""), delimiter=delimiter)
        next(reader)
        index, before = 0, reader.line_num
        for fields in reader:
            if fields:
                if index in wanted:
                    numbers.append(before + 1)
                index += 1
            before = reader.line_num
    return numbers


def _numpy(mask: pa.ChunkedArray | pa.Array) -> np.ndarray:
    return np.asarray(mask.to_numpy(zero_copy_only=False) if isinstance(mask, pa.Array) else mask.to_numpy(), bool)
