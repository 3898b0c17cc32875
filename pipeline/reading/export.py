"""Captions out of an output: CSV, JSON lines, Parquet, audiofolder metadata, sidecars and tags.

Conventions: one row per track, the newest caption; every row carries `ai_generated`, and so does the
Frictionless descriptor written beside a file. A file appears whole or not at all. An audio file is only
changed where the caller asked for `originals`; everything else is written to new files.
"""

import hashlib
import importlib.util
import json
import logging
import math
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal
from urllib.parse import unquote, urlsplit

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from pipeline import storage
from pipeline.output.tables import OutputError, Table, open_table

logger = logging.getLogger(__name__)

ExportFormat = Literal["csv", "jsonl", "parquet"]
TagTarget = Literal["sidecars", "copies", "originals"]

AI_COLUMN = "ai_generated"
FORMULA_START = "[\\s]*[=+\\-@\uff1d\uff0b\uff0d\uff20]|[\\t\\r\\n]"
"""How a cell starts that a spreadsheet would run (OWASP, CSV injection), full-width signs included."""

_DANGLING = frozenset(
    (
        "a",
        "an",
        "the",
        "and",
        "or",
        "but",
        "with",
        "of",
        "in",
        "on",
        "to",
        "for",
        "by",
        "from",
        "at",
        "as",
        "is",
        "that",
        "into",
        "over",
        "built",
        "led",
        "featuring",
    )
)
"""Words no shortened caption ends with."""


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
    """CSV only: put an apostrophe before text a spreadsheet would run as a formula."""

    def __post_init__(self) -> None:
        if self.max_chars is not None and self.max_chars < 1:
            raise ValueError(f"max_chars must be at least 1, not {self.max_chars}")
        if len(set(self.columns)) != len(self.columns):
            raise ValueError(f"columns names one twice: {', '.join(self.columns)}")
        suffix = Path(self.file).suffix.lower()
        if suffix not in (".csv", ".jsonl", ".parquet"):
            raise ValueError(f"{self.file} must end in .csv, .jsonl or .parquet: the suffix chooses the format")
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
    """The file."""
    descriptor: str
    """The Frictionless data package beside it."""
    rows: int
    """Tracks in it."""
    cut: int
    """Captions shortened to `max_chars`."""
    escaped: int
    """CSV cells an apostrophe was put before."""


def export_captions(config: ExportConfig) -> ExportSummary:
    """Write every track's newest caption to one file, and its descriptor beside it.

    Raises:
        OutputError: No captions, an unknown column, or audio outside the audiofolder.
        StorageError: Reading or writing failed.
    """
    table = open_table(config.output, "captions")
    read, schema = _plan(table, config)
    counts = {"rows": 0, "cut": 0, "escaped": 0}
    with _whole_file(config.file) as path:
        with _writer(config, path, schema) as write:
            for batch in table.newest(read, model_id=config.model_id):
                write(_shaped(batch, schema, config, counts))
                counts["rows"] += batch.num_rows
        size, digest = path.stat().st_size, _sha256(path)
    descriptor = _descriptor(config, schema, rows=counts["rows"], size=size, digest=digest)
    descriptor_uri = f"{config.file}.datapackage.json"  # the whole name: .csv and .parquet of one name keep theirs
    storage.write_once(descriptor_uri, json.dumps(descriptor, indent=2, ensure_ascii=False).encode() + b"\n")
    return ExportSummary(file=config.file, descriptor=descriptor_uri, **counts)


def shortened(caption: str, max_chars: int) -> str:
    """Cut a caption between words, leaving no dangling "with a" and no loose comma.

    Args:
        caption: Any text.
        max_chars: Most characters to return, at least 1.

    Returns:
        The caption itself where it fits. A first word longer than the limit is cut through.
    """
    caption = " ".join(caption.split())
    if len(caption) <= max_chars:
        return caption
    words = caption[: max_chars + 1].split(" ")[:-1]
    if not words:
        return caption[:max_chars]
    kept = list(words)
    while len(kept) > 1 and kept[-1].strip(",;:-").lower() in _DANGLING:
        kept.pop()
    return " ".join(kept).rstrip(" ,;:-") or caption[:max_chars]


def _plan(table: Table, config: ExportConfig) -> tuple[list[str], pa.Schema]:
    """Columns to read, and the schema to write."""
    wanted = [name for name in config.columns if name not in (AI_COLUMN, "file_name")]
    if not wanted:
        wanted = [field.name for field in table.schema if config.format != "csv" or not pa.types.is_nested(field.type)]
    fields = [table.field(name) for name in wanted]
    if config.format == "csv":
        fields = [f if not pa.types.is_nested(f.type) else pa.field(f.name, pa.string()) for f in fields]
    fields = [pa.field(f.name, f.type) for f in fields if f.name not in (AI_COLUMN, "file_name")]
    if config.audiofolder:
        fields.insert(0, pa.field("file_name", pa.string()))
    fields.append(pa.field(AI_COLUMN, pa.bool_()))
    read = list(wanted)
    if config.audiofolder:
        read += [name for name in ("track_id", "uri") if name not in read]
    marked = {b"ai_generated": b"true", b"description": _DISCLOSURE.encode()}
    return read, pa.schema(fields, metadata=marked)


def _shaped(batch: pa.RecordBatch, schema: pa.Schema, config: ExportConfig, counts: dict[str, int]) -> pa.RecordBatch:
    """A read batch as the rows to write; adds to `counts`."""
    arrays = []
    for field in schema:
        if field.name == AI_COLUMN:
            array = pa.array([True] * batch.num_rows)
        elif field.name == "file_name":
            rows = zip(batch["track_id"].to_pylist(), batch["uri"].to_pylist(), strict=True)
            array = pa.array([_within(uri, track_id, config.file) for track_id, uri in rows], pa.string())
        else:
            array = batch[field.name]
        if field.name == "caption" and config.max_chars is not None:
            full = array.to_pylist()
            short = [text if text is None else shortened(text, config.max_chars) for text in full]
            counts["cut"] += sum(a != b for a, b in zip(full, short, strict=True))
            array = pa.array(short, pa.string())
        if config.format == "csv" and pa.types.is_nested(array.type):
            array = pa.array([None if v is None else _json(v) for v in array.to_pylist()], pa.string())
        if config.format == "csv" and config.spreadsheet_safe and pa.types.is_string(field.type):
            risky = pc.match_substring_regex(array, f"^(?:{FORMULA_START})").fill_null(False)
            counts["escaped"] += pc.sum(risky).as_py() or 0
            array = pc.if_else(risky, pc.binary_join_element_wise("'", array, ""), array)
        arrays.append(array)
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _within(uri: str, track_id: str, file: str) -> str:
    """The audio's path relative to the metadata file's folder; that of its tagged copy where the audio is elsewhere."""
    folder = _plain_path(file).rpartition("/")[0] + "/"
    path = _plain_path(uri)
    if not path.startswith(folder):
        copy = _copy_path(Path(folder), track_id, uri)
        if storage.is_remote(file) or not copy.exists():
            raise OutputError(
                f"{uri} does not lie in {folder}: write audiofolder metadata to the folder the audio is in, "
                f"or copy the audio there first: muscaps export OUTPUT {folder} --tags copies"
            )
        path = str(copy)
    return path[len(folder) :]


def _plain_path(uri: str) -> str:
    """A local path made absolute; a remote URI as it is."""
    if storage.is_remote(uri):
        return uri
    parts = urlsplit(uri)
    path = unquote(parts.path) if parts.scheme == "file" else uri
    return str(Path(path).absolute())


@contextmanager
def _whole_file(uri: str) -> Iterator[Path]:
    """A local path to write; becomes `uri` when the block ends well, and is removed when it does not."""
    remote = storage.is_remote(uri)
    target = None if remote else Path(_plain_path(uri))
    if target is not None:
        target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=".export-", suffix=".part", dir=None if target is None else target.parent)
    os.close(handle)
    path = Path(name)
    try:
        yield path
        if target is not None:
            path.chmod(0o666 & ~_umask())
            with path.open("rb") as written:
                os.fsync(written.fileno())
            path.replace(target)
        else:
            storage.write_file_once(uri, path)
    finally:
        path.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


@contextmanager
def _writer(config: ExportConfig, path: Path, schema: pa.Schema) -> Iterator[Any]:
    """A function that appends a record batch to the file, in its format."""
    if config.format == "csv":
        with pyarrow.csv.CSVWriter(path, schema) as csv:
            yield csv.write_batch
    elif config.format == "parquet":
        with pq.ParquetWriter(path, schema, compression="zstd") as parquet:
            yield parquet.write_batch
    else:
        with path.open("w", encoding="utf-8", newline="\n") as lines:
            yield lambda batch: lines.writelines(_json(row) + "\n" for row in batch.to_pylist())


def _json(value: Any) -> str:
    """Strict JSON: times as ISO 8601, numbers that are none as null."""
    return json.dumps(_finite(value), ensure_ascii=False, allow_nan=False, separators=(", ", ": "))


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_finite(part) for part in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, bytes):
        return value.hex()
    return value.isoformat() if hasattr(value, "isoformat") else value


_DISCLOSURE = (
    "Captions were written by a machine (muscaps) from the audio alone and may be wrong; they name no "
    "artist, title or lyrics. `ai_generated` marks each row."
)

_FIELD_DESCRIPTIONS = {
    "track_id": "The catalogue's identifier of the track.",
    "uri": "Where the audio was read.",
    "etag": "The audio object's version when it was read.",
    "caption": "One sentence about the music, written by a machine.",
    "log_prob": "Natural log-probability of the caption given the audio, summed over words and end.",
    "duration_s": "Length of the whole track in seconds.",
    "sample_rate": "Samples per second of the original file.",
    "channels": "Channels of the original file.",
    "num_chunks": "Stretches of audio the model heard.",
    "coverage": "Share of the track that was heard, 0 to 1.",
    "model_id": "Name and digest of the checkpoint that wrote the caption.",
    "created_at": "When the caption was written, UTC.",
    AI_COLUMN: "Always true: the caption was written by a machine.",
    "file_name": "The audio file, relative to this file's folder.",
}


def _descriptor(config: ExportConfig, schema: pa.Schema, *, rows: int, size: int, digest: str) -> dict[str, Any]:
    """A Frictionless Data Package (version 1) that describes the file."""
    name = config.file.rpartition("/")[2]
    fields = []
    for field in schema:
        described = {"name": field.name, "type": _frictionless_type(field.type)}
        if field.name in _FIELD_DESCRIPTIONS:
            described["description"] = _FIELD_DESCRIPTIONS[field.name]
        fields.append(described)
    media = {"csv": "text/csv", "jsonl": "application/jsonl", "parquet": "application/vnd.apache.parquet"}
    resource: dict[str, Any] = {
        "name": re.sub(r"[^a-z0-9._-]+", "-", Path(name).stem.lower()),
        "path": name,
        "format": config.format,
        "mediatype": media[config.format],
        "bytes": size,
        "hash": f"sha256:{digest}",
        "rows": rows,
        "schema": {"fields": fields, "missingValues": [""]},
    }
    if "track_id" in schema.names:
        resource["schema"]["primaryKey"] = "track_id"
    if config.format != "parquet":
        resource["encoding"] = "utf-8"
    return {
        "name": resource["name"],
        "title": "Captions of a music catalogue",
        "description": _DISCLOSURE,
        "ai_generated": True,
        "created": datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        "spreadsheet_safe": config.format == "csv" and config.spreadsheet_safe,
        "resources": [resource],
    }


def _frictionless_type(kind: pa.DataType) -> str:
    """The Table Schema type of an Arrow type."""
    for matches, name in (
        (pa.types.is_boolean, "boolean"),
        (pa.types.is_integer, "integer"),
        (pa.types.is_floating, "number"),
        (pa.types.is_decimal, "number"),
        (pa.types.is_timestamp, "datetime"),
        (pa.types.is_date, "date"),
        (pa.types.is_list, "array"),
        (pa.types.is_large_list, "array"),
        (pa.types.is_struct, "object"),
    ):
        if matches(kind):
            return name
    return "string"


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# Sidecars and tags.


@dataclass(frozen=True, kw_only=True)
class TagConfig:
    """Where captions go track by track."""

    output: str
    """Folder or bucket prefix that holds `captions/`."""
    folder: str
    """Local folder: sidecars or copies, one per track; for originals, only the log."""
    target: TagTarget
    """`sidecars`: a JSON file a track. `copies`: tagged copies. `originals`: the files themselves."""
    max_chars: int | None = None
    """Longest caption in characters, cut between words; None for no limit."""
    model_id: str | None = None
    """Only captions by this model; None takes each track's newest."""

    def __post_init__(self) -> None:
        if self.target not in ("sidecars", "copies", "originals"):
            raise ValueError(f"tags must be sidecars, copies or originals, not {self.target!r}")
        if storage.is_remote(self.folder):
            raise ValueError(f"{self.folder} must be a local folder: sidecars and tags are written locally")
        if self.max_chars is not None and self.max_chars < 1:
            raise ValueError(f"max_chars must be at least 1, not {self.max_chars}")


@dataclass(frozen=True, kw_only=True)
class TagSummary:
    """How many tracks were written, and which could not be."""

    written: int
    """Sidecars, tagged copies or tagged originals."""
    failed: tuple[tuple[str, str], ...]
    """(track_id, reason) of the others."""
    log: str
    """JSON lines, one per track: what was written where, or why not."""


def write_tags(config: TagConfig) -> TagSummary:
    """Write each track's newest caption to a sidecar or into a comment tag.

    A copy or original is tagged in a temporary file that then takes its place, so audio is never left
    half-written; an original keeps its modification time and permissions.

    Raises:
        OutputError: No captions.
        ValueError: mutagen is not installed.
        StorageError: The output could not be read.
    """
    if config.target != "sidecars" and importlib.util.find_spec("mutagen") is None:
        raise ValueError(f"--tags {config.target} needs mutagen: pip install mutagen, or write sidecars")
    table = open_table(config.output, "captions")
    folder = Path(config.folder)
    folder.mkdir(parents=True, exist_ok=True)
    wanted = [
        n
        for n in ("track_id", "uri", "caption", "log_prob", "segments", "model_id", "created_at")
        if n in table.schema.names
    ]
    written, failed = 0, []
    log = folder / "muscaps-tags.jsonl"
    with _whole_file(str(log)) as path, path.open("w", encoding="utf-8", newline="\n") as lines:
        for batch in table.newest(wanted, model_id=config.model_id):
            for row in batch.to_pylist():
                if config.max_chars is not None:
                    row["caption"] = shortened(row["caption"], config.max_chars)
                entry = {"track_id": row["track_id"], "uri": row["uri"]}
                try:
                    entry["written"] = str(_write_one(row, folder, config.target))
                    written += 1
                except (OSError, ValueError) as error:
                    entry["error"] = str(error)
                    failed.append((row["track_id"], str(error)))
                lines.write(json.dumps(entry, ensure_ascii=False) + "\n")
    return TagSummary(written=written, failed=tuple(failed), log=str(log))


def _write_one(row: dict[str, Any], folder: Path, target: TagTarget) -> Path:
    """Write one track's sidecar or tag; return the path written."""
    if target == "sidecars":
        path = _safe_path(folder, row["track_id"], ".caption.json")
        path.parent.mkdir(parents=True, exist_ok=True)
        body = {key: value for key, value in row.items() if value is not None}
        text = json.dumps(_finite({**body, AI_COLUMN: True}), indent=2, ensure_ascii=False)
        storage.write_once(str(path), text.encode() + b"\n")
        return path
    if target == "originals":
        if storage.is_remote(row["uri"]):
            raise ValueError("remote originals are not rewritten: use sidecars or copies")
        path = Path(_plain_path(row["uri"]))
        with _replacement(path) as temporary:
            shutil.copy2(path, temporary)
            times = path.stat()
            tag_file(temporary, row["caption"], model_id=row["model_id"])
            os.utime(temporary, ns=(times.st_atime_ns, times.st_mtime_ns))
        return path
    path = _copy_path(folder, row["track_id"], row["uri"])
    path.parent.mkdir(parents=True, exist_ok=True)
    if not storage.is_remote(row["uri"]) and path.exists() and path.samefile(_plain_path(row["uri"])):
        raise ValueError(f"the copy would replace the original {path}: choose another folder")
    with _replacement(path) as temporary:
        with storage.open_for_reading(row["uri"]) as source, temporary.open("wb") as sink:
            shutil.copyfileobj(source, sink, 8 << 20)
        tag_file(temporary, row["caption"], model_id=row["model_id"])
    return path


def _copy_path(folder: Path, track_id: str, uri: str) -> Path:
    """Where `copies` puts a track's audio."""
    return _safe_path(folder, track_id, Path(urlsplit(uri).path if storage.is_remote(uri) else uri).suffix)


@contextmanager
def _replacement(path: Path) -> Iterator[Path]:
    """A temporary file beside `path`, same suffix, that takes its place when the block ends well."""
    handle, name = tempfile.mkstemp(prefix=".tag-", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    temporary.chmod(0o666 & ~_umask())
    try:
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _safe_path(folder: Path, track_id: str, suffix: str) -> Path:
    """A path under the folder for a track id that may hold anything, `..` and NUL included.

    An id that had to be changed gets eight hex digits of its digest, so that two ids stay two files.
    """
    parts = [re.sub(r'[\x00-\x1f\x7f<>:"\\|?*]', "_", part).strip(" ") for part in track_id.split("/")]
    parts = [part.encode("utf-8", "replace")[:200].decode("utf-8", "ignore") for part in parts]
    parts = [part for part in parts if part not in ("", ".", "..")]
    *parents, last = parts or ["track"]
    if "/".join(parts) != track_id:
        last += "-" + hashlib.sha256(track_id.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    if not last.lower().endswith(suffix.lower()):
        last += suffix
    return folder.joinpath(*parents, last)


_TAG_PREFIX = "AI-generated: "


def tag_file(path: str | Path, caption: str, *, model_id: str) -> None:
    """Write a caption into an audio file's comment, marked as AI-generated; keep everyone else's comments.

    ID3 (MP3, WAV, AIFF): a COMM frame and two TXXX frames called muscaps. Vorbis comments (FLAC, Ogg, Opus):
    a COMMENT beside those there are, MUSCAPS_CAPTION and MUSCAPS_MODEL. MP4: the comment atom where it is
    empty or ours, and two freeform atoms. Writing again replaces only what was written before.

    Args:
        path: The file to change, in place.
        caption: The sentence.
        model_id: The checkpoint that wrote it.

    Raises:
        ValueError: mutagen does not know the format, or cannot read the file.
    """
    import mutagen
    import mutagen.id3
    import mutagen.mp4

    id3: Any = mutagen.id3
    mp4: Any = mutagen.mp4
    try:
        audio = mutagen.File(path)
    except mutagen.MutagenError as error:
        raise ValueError(f"tags could not be read: {error}") from error
    if audio is None:
        raise ValueError("this format holds no tags that mutagen knows: use sidecars")
    if audio.tags is None:
        audio.add_tags()
    text = _TAG_PREFIX + caption
    tags = audio.tags
    if isinstance(audio, mp4.MP4):
        if not tags.get("\xa9cmt") or str(tags["\xa9cmt"][0]).startswith(_TAG_PREFIX):
            tags["\xa9cmt"] = [text]
        tags["----:com.muscaps:CAPTION"] = [mp4.MP4FreeForm(caption.encode())]
        tags["----:com.muscaps:MODEL"] = [mp4.MP4FreeForm(model_id.encode())]
    elif hasattr(tags, "add") and hasattr(tags, "delall"):  # ID3
        tags.delall("COMM:muscaps:eng")
        tags.add(id3.COMM(encoding=3, lang="eng", desc="muscaps", text=[text]))
        tags.add(id3.TXXX(encoding=3, desc="MUSCAPS_CAPTION", text=[caption]))
        tags.add(id3.TXXX(encoding=3, desc="MUSCAPS_MODEL", text=[model_id]))
    else:
        others = [c for c in tags.get("COMMENT", []) if not c.startswith(_TAG_PREFIX)]
        tags["COMMENT"] = [*others, text]
        tags["MUSCAPS_CAPTION"] = [caption]
        tags["MUSCAPS_MODEL"] = [model_id]
    try:
        audio.save()
    except mutagen.MutagenError as error:
        raise ValueError(f"tags could not be written: {error}") from error
