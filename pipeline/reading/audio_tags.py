"""Captions track by track: sidecar files, tagged copies, or tags in the original files.

Conventions: an audio file is changed only where the target is `originals`. A track that cannot be written is one line
of the log; the others are written. A text that a person decided on replaces the caption; a rejected one is left out.
"""

import importlib.util
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from muscaps.tags import MIN_TAG_SCORE
from pipeline import storage
from pipeline.output.newest import Table, open_table
from pipeline.output.text_values import strict_json
from pipeline.reading.atomic_file import atomic_file
from pipeline.reading.comment_tags import CHUNK_NAMES, FIELD_NAMES, ChunkName, Comment, FieldName
from pipeline.reading.shortening import shorten_caption
from pipeline.reading.tag_columns import AI_COLUMN, TagWords, text_of_facet
from pipeline.reading.tagged_files import tag_original, write_tagged_copy
from pipeline.reading.taxonomy import ScoredTerm, Taxonomy
from pipeline.reading.taxonomy_files import read_taxonomy
from pipeline.reading.track_paths import LOG_NAME, SharedNames, audio_suffix, shared_names, track_path
from pipeline.review.reviewed_captions import REVIEWED_COLUMN, ReviewedCaptions

TagTarget = Literal["sidecars", "copies", "originals"]

_COLUMNS = (
    "track_id",
    "uri",
    "etag",
    "caption",
    "log_prob",
    "segments",
    "tags",
    "has_vocals",
    "model_id",
    "created_at",
    "shared_from",
    "shared_from_etag",
)
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
    write: tuple[FieldName | ChunkName, ...] = ()
    """What is written beside our comment: the fields genre, mood, description; in WAV the chunks bext, ixml."""
    overwrite: bool = False
    """Replace values of these fields and chunks that a file has."""
    taxonomy: str | None = None
    """File of the customer's words for tags, see `taxonomy_files`."""
    min_tag_score: float = MIN_TAG_SCORE
    """Score from which a tag counts."""

    def __post_init__(self) -> None:
        known = (*FIELD_NAMES, *CHUNK_NAMES)
        unknown = [name for name in self.write if name not in known]
        if unknown:
            raise ValueError(f"--write names {', '.join(known)}, not {unknown[0]!r}")
        if self.target == "sidecars" and (self.write or self.overwrite):
            raise ValueError("--write and --overwrite are for --tags copies and originals; sidecars have all tags")
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
    words = TagWords(
        taxonomy=Taxonomy() if config.taxonomy is None else read_taxonomy(config.taxonomy),
        min_score=config.min_tag_score,
    )
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
                    entry["written"] = str(_write_one(config, row, folder, shared, words))
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


def _write_one(
    config: TagConfig, row: dict[str, Any], folder: Path, shared: SharedNames | None, words: TagWords
) -> Path:
    """Write one track's caption; return the path of the file."""
    terms = None if row.get("tags") is None else words.terms(row["tags"])
    if config.target == "originals":
        return tag_original(row["uri"], _comment(config, row, terms or ()))
    if config.target == "copies":
        path = track_path(folder, row["track_id"], audio_suffix(row["uri"]), shared)
        write_tagged_copy(row["uri"], path, _comment(config, row, terms or ()))
        return path
    path = track_path(folder, row["track_id"], _SIDECAR_SUFFIX, shared)
    body = {key: value for key, value in row.items() if value is not None}
    if terms is not None:
        body["tags"] = [{"facet": one.facet, "tag": one.term.name, "score": one.score} for one in terms]
    text = json.dumps(strict_json({**body, AI_COLUMN: True}), indent=2, ensure_ascii=False)
    storage.write_once(str(path), text.encode() + b"\n")
    return path


def _comment(config: TagConfig, row: dict[str, Any], terms: Sequence[ScoredTerm]) -> Comment:
    """Return what is written into the file of a track; fields without a value are left as they are."""
    plain = Comment(caption=row["caption"], model_id=row["model_id"], shared_from=row.get("shared_from"))
    found: dict[FieldName, tuple[str, ...]] = {
        "genre": tuple(text_of_facet(terms, "genre")),
        "mood": tuple(text_of_facet(terms, "mood")),
        "description": (plain.text,),
    }
    values = {name: found[name] for name in FIELD_NAMES if name in config.write and found[name]}
    chunks = tuple(name for name in CHUNK_NAMES if name in config.write)
    return replace(plain, values=values, chunks=chunks, overwrite=config.overwrite)


def _shared_names(table: Table, target: TagTarget) -> SharedNames | None:
    """Find the names that several tracks would have."""
    if target == "originals":
        return None
    return shared_names(table, _SIDECAR_SUFFIX if target == "sidecars" else None)
