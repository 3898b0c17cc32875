"""Captions track by track: sidecar files, tagged copies, or tags in the original files.

Conventions: an audio file is changed only where the target is `originals`. Audio is tagged in a temporary file
that then replaces the target, so a file is never half-written.
"""

import importlib.util
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pipeline import storage
from pipeline.output.newest import open_table
from pipeline.output.text_values import strict_json
from pipeline.reading.atomic_file import atomic_file, created_file_mode, plain_path
from pipeline.reading.comment_tags import tag_file
from pipeline.reading.descriptor import AI_COLUMN
from pipeline.reading.shortening import shorten_caption
from pipeline.reading.track_paths import copy_path, track_path

TagTarget = Literal["sidecars", "copies", "originals"]

_COLUMNS = ("track_id", "uri", "caption", "log_prob", "segments", "model_id", "created_at")
"""Columns of a sidecar file."""


@dataclass(frozen=True, kw_only=True)
class TagConfig:
    """Where the caption of each track is written."""

    output: str
    """Folder or bucket prefix that holds `captions/`."""
    folder: str
    """Local folder: sidecars or copies, one per track; for originals, only the log."""
    target: TagTarget
    """`sidecars`: one JSON file per track. `copies`: tagged copies. `originals`: the audio files themselves."""
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
    """How many tracks were written, and which failed."""

    written: int
    """Sidecars, tagged copies or tagged originals."""
    failed: tuple[tuple[str, str], ...]
    """(track_id, reason) of tracks that failed."""
    log: str
    """JSON lines, one per track: the file that was written, or the reason of the failure."""


def write_tags(config: TagConfig) -> TagSummary:
    """Write each track's newest caption to a sidecar or into a comment tag.

    An original keeps its modification time and permissions.

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
    columns = [name for name in _COLUMNS if name in table.schema.names]
    written, failed = 0, []
    log = folder / "muscaps-tags.jsonl"
    with atomic_file(str(log)) as path, path.open("w", encoding="utf-8", newline="\n") as lines:
        for batch in table.newest(columns, model_id=config.model_id):
            for row in batch.to_pylist():
                if config.max_chars is not None:
                    row["caption"] = shorten_caption(row["caption"], config.max_chars)
                entry = {"track_id": row["track_id"], "uri": row["uri"]}
                try:
                    entry["written"] = str(_WRITERS[config.target](row, folder))
                    written += 1
                except (OSError, ValueError) as error:
                    entry["error"] = str(error)
                    failed.append((row["track_id"], str(error)))
                lines.write(json.dumps(entry, ensure_ascii=False) + "\n")
    return TagSummary(written=written, failed=tuple(failed), log=str(log))


def _write_sidecar(row: dict[str, Any], folder: Path) -> Path:
    """Write a track's caption to a JSON file; return its path."""
    path = track_path(folder, row["track_id"], ".caption.json")
    path.parent.mkdir(parents=True, exist_ok=True)
    body = {key: value for key, value in row.items() if value is not None}
    text = json.dumps(strict_json({**body, AI_COLUMN: True}), indent=2, ensure_ascii=False)
    storage.write_once(str(path), text.encode() + b"\n")
    return path


def _tag_copy(row: dict[str, Any], folder: Path) -> Path:
    """Copy a track's audio into the folder and tag the copy; return its path."""
    path = copy_path(folder, row["track_id"], row["uri"])
    path.parent.mkdir(parents=True, exist_ok=True)
    if not storage.is_remote(row["uri"]) and path.exists() and path.samefile(plain_path(row["uri"])):
        raise ValueError(f"the copy would replace the original {path}: choose another folder")
    with _replacement(path) as temporary:
        with storage.open_for_reading(row["uri"]) as source, temporary.open("wb") as sink:
            shutil.copyfileobj(source, sink, 8 << 20)
        tag_file(temporary, row["caption"], model_id=row["model_id"])
    return path


def _tag_original(row: dict[str, Any], folder: Path) -> Path:
    """Tag a track's own audio file; return its path."""
    if storage.is_remote(row["uri"]):
        raise ValueError("remote originals are not rewritten: use sidecars or copies")
    path = Path(plain_path(row["uri"]))
    with _replacement(path) as temporary:
        shutil.copy2(path, temporary)
        times = path.stat()
        tag_file(temporary, row["caption"], model_id=row["model_id"])
        os.utime(temporary, ns=(times.st_atime_ns, times.st_mtime_ns))
    return path


_WRITERS: dict[TagTarget, Callable[[dict[str, Any], Path], Path]] = {
    "sidecars": _write_sidecar,
    "copies": _tag_copy,
    "originals": _tag_original,
}


@contextmanager
def _replacement(path: Path) -> Iterator[Path]:
    """Give a temporary file beside `path`, with its suffix; it replaces `path` when the block ends without an error."""
    handle, name = tempfile.mkstemp(prefix=".tag-", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    temporary.chmod(created_file_mode())
    try:
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
