"""Captions track by track: sidecar files, tagged copies, or tags in the original files.

Conventions: an audio file is changed only where the target is `originals`. A track that cannot be written is one line
of the log; the others are written. A text that a person decided on replaces the caption; a rejected one is left out.
"""

import importlib.util
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pipeline import storage
from pipeline.output.newest import Table, open_table
from pipeline.output.text_values import strict_json
from pipeline.reading.atomic_file import atomic_file
from pipeline.reading.shortening import shorten_caption
from pipeline.reading.tag_columns import AI_COLUMN
from pipeline.reading.tagged_files import tag_original, write_tagged_copy
from pipeline.reading.track_paths import LOG_NAME, SharedNames, audio_suffix, shared_names, track_path
from pipeline.review.reviewed_captions import REVIEWED_COLUMN, ReviewedCaptions

TagTarget = Literal["sidecars", "copies", "originals"]

_COLUMNS = ("track_id", "uri", "etag", "caption", "log_prob", "segments", "model_id", "created_at")
"""Columns of a sidecar file."""
_SIDECAR_SUFFIX = ".caption.json"


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
    """Longest caption in characters, see `shortening`; None for no limit."""
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

    An original keeps its owner, permissions and times.

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
    wanted = _COLUMNS if config.max_chars is None else (*_COLUMNS, "alternatives")
    columns = [name for name in wanted if name in table.schema.names]
    shared = _shared_names(table, config.target)
    reviews = ReviewedCaptions(config.output, model_id=config.model_id)
    written, failed = 0, []
    log = folder / LOG_NAME
    with (
        atomic_file(str(log)) as path,
        path.open("w", encoding="utf-8", errors="backslashreplace", newline="\n") as lines,
    ):
        for batch in table.newest(columns, model_id=config.model_id):
            for row in reviews.apply(batch).to_pylist():
                entry = {"track_id": row["track_id"], "uri": row["uri"]}
                if row["caption"] is None:
                    lines.write(json.dumps({**entry, "left_out": "rejected by a person"}, ensure_ascii=False) + "\n")
                    continue
                alternatives = row.pop("alternatives", None) or ()
                others = [] if row[REVIEWED_COLUMN] else [other["caption"] for other in alternatives]
                try:
                    if config.max_chars is not None:
                        row["caption"], lost = _shortened(row["caption"], config.max_chars, others)
                        entry |= {"lost_instruments": ", ".join(lost)} if lost else {}
                    entry["written"] = str(_write_one(config.target, row, folder, shared))
                    written += 1
                except Exception as error:  # whatever a damaged file causes, the other tracks are written
                    entry["error"] = " ".join(str(error).split()) or type(error).__name__
                    failed.append((row["track_id"], entry["error"]))
                lines.write(json.dumps(entry, ensure_ascii=False) + "\n")
    return TagSummary(written=written, failed=tuple(failed), log=str(log))


def _shortened(caption: str, max_chars: int, others: list[str]) -> tuple[str, tuple[str, ...]]:
    """Return a caption of at most `max_chars`, and the instruments that it does not name any more."""
    found = shorten_caption(caption, max_chars, others)
    if found.text is None:
        raise ValueError(f"no sentence of at most {max_chars} characters; `muscaps caption --max-chars` looks for one")
    return found.text, found.lost


def _write_one(target: TagTarget, row: dict[str, Any], folder: Path, shared: SharedNames | None) -> Path:
    """Write one track's caption; return the path of the file."""
    if target == "originals":
        return tag_original(row["uri"], row["caption"], model_id=row["model_id"])
    if target == "copies":
        path = track_path(folder, row["track_id"], audio_suffix(row["uri"]), shared)
        write_tagged_copy(row["uri"], path, row["caption"], model_id=row["model_id"])
        return path
    path = track_path(folder, row["track_id"], _SIDECAR_SUFFIX, shared)
    body = {key: value for key, value in row.items() if value is not None}
    text = json.dumps(strict_json({**body, AI_COLUMN: True}), indent=2, ensure_ascii=False)
    storage.write_once(str(path), text.encode() + b"\n")
    return path


def _shared_names(table: Table, target: TagTarget) -> SharedNames | None:
    """Find the names that several tracks would have."""
    if target == "originals":
        return None
    return shared_names(table, _SIDECAR_SUFFIX if target == "sidecars" else None)
