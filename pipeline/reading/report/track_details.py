"""The tracks of the page: table columns, and the details of a chosen track."""

import base64
import hashlib
import logging
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from muscaps.evaluation.language import repeated_words
from muscaps.tags import MIN_MUSIC_SCORE, Tag
from pipeline import storage
from pipeline.output.schema import CAPTION_SCHEMA
from pipeline.reading.report.comparison import HEADINGS, VERDICTS, Verdict, certainty, compare
from pipeline.reading.report.config import ReportConfig
from pipeline.reading.report.run_table import record_part
from pipeline.reading.report.spectrograms import MAX_COLUMNS, spectrogram
from pipeline.reading.report.statistics import VERSIONS_COLUMN
from pipeline.reading.report.url_signing import audio_linker
from pipeline.reading.taxonomy import Taxonomy
from pipeline.reading.taxonomy_files import read_taxonomy
from pipeline.review.reviewed_captions import ReviewedCaptions

logger = logging.getLogger(__name__)


_PLACED = frozenset(
    (
        "track_id uri caption log_prob duration_s coverage decoding sample_rate channels model_id created_at run_id "
        "etag code_version num_chunks"
    ).split()
)
"""Columns of muscaps with a place of their own on the page; its other columns are facts."""
_HEADING = ("title", "artist")
"""Columns of the catalogue in the heading of a track."""
FLAG_OF: Mapping[Verdict, str] = {"conflict": "conflict", "differs": "differ"}
"""Names of marks: "tempo conflict"."""
MAX_CELL = 500
"""Most characters of a cell on the page."""


def track_data(
    shown: pa.Table, runs: Sequence[dict[str, Any]], config: ReportConfig, reviews: ReviewedCaptions | None = None
) -> dict[str, Any]:
    """Build the data of the tracks: table columns, the details of each, and the decisions that the output holds."""
    rows = shown.to_pylist()
    options = {run.get("run_id"): record_part(record_part(run, "config"), "options") for run in runs}
    for row in rows:
        for name in ("duration_s", "log_prob", "coverage"):
            value = row.get(name)
            row[name] = float(value) if value is not None and math.isfinite(value) else None
    details: dict[str, dict[str, Any]] = {}
    tags = TagTable(Taxonomy() if config.taxonomy is None else read_taxonomy(config.taxonomy))
    for n, row in enumerate(rows):
        details[str(n)] = _detail(row, tags, bool(options.get(row.get("run_id"), {}).get("attention")))
    _add_spectrograms(rows, details, config.max_spectrograms)
    link = audio_linker(config)
    certain = [certainty(row.get("evidence")) for row in rows]
    return {
        "colours": config.colours,
        "tags": tags.names,
        "scored": any(value is not None for value in certain),
        "compares": any("compared" in detail for detail in details.values()),
        "tracks": {
            "track_id": [row["track_id"] for row in rows],
            "title": [row.get("title") for row in rows],
            "artist": [row.get("artist") for row in rows],
            "caption": [row.get("caption") or "" for row in rows],
            "log_prob": [_rounded(row["log_prob"]) for row in rows],
            "certainty": [_rounded(value) for value in certain],
            "duration_s": [None if row["duration_s"] is None else round(row["duration_s"], 2) for row in rows],
            "coverage": [None if row["coverage"] is None else round(row["coverage"], 4) for row in rows],
            "audio": [link(row["uri"]) for row in rows],
            "etag": [row.get("etag") for row in rows],
            "model_id": [row.get("model_id") for row in rows],
        },
        "review": {
            "key": hashlib.sha256(storage.absolute(config.output).encode("utf-8", "replace")).hexdigest()[:16],
            "sample": config.sample,
            "known": known_reviews(rows, reviews) if reviews else [],
        },
        "details": details,
    }


def known_reviews(rows: Sequence[dict[str, Any]], reviews: ReviewedCaptions) -> list[dict[str, Any]]:
    """Return the decisions about some rows that the output holds, as the page's script keeps them."""
    found = []
    for row in rows:
        review = reviews.of(row)
        if review is not None:
            kept = {name: review[name] for name in ("track_id", "verdict", "caption", "machine_caption")}
            tags = {name: review[name] or [] for name in ("tags_on", "tags_off")}
            found.append({**kept, **tags, "created_at": review["created_at"].isoformat()})
    return found


class TagTable:
    """Numbers for facets and tags, so that the page names each of them once."""

    def __init__(self, taxonomy: Taxonomy) -> None:
        """Begin without tags.

        Args:
            taxonomy: The customer's words; a tag that it drops is not shown, nor the weaker ones of tags of one term.
        """
        self.names: list[tuple[str, str, str]] = []
        """Facet, tag and the customer's word for it."""
        self._taxonomy = taxonomy
        self._number: dict[tuple[str, str], int] = {}

    def flat(self, cell: Sequence[dict[str, Any]]) -> list[int]:
        """Return number, score in percent and whether it counts (0 or 1) of each tag, one after the other."""
        tags = [Tag(facet=tag["facet"], tag=tag["tag"], score=tag["score"]) for tag in cell]
        counted = {(term.facet, term.tag) for term in self._taxonomy.terms_of(tags)}
        words, strongest = {}, dict[tuple[str, str], tuple[bool, float, Tag]]()
        for tag in tags:
            term = self._taxonomy.term_of(tag)
            if term is not None:
                words[tag] = term.name
                rank = ((tag.facet, tag.tag) in counted, tag.score, tag)
                key = (tag.facet, term.name)
                strongest[key] = max(rank, strongest.get(key, rank), key=lambda one: one[:2])
        shown = {tag for _, _, tag in strongest.values()}
        found = []
        for tag in tags:
            if tag not in shown:
                continue
            name = (tag.facet, tag.tag)
            if name not in self._number:
                self._number[name] = len(self.names)
                self.names.append((*name, words[tag]))
            found += [self._number[name], round(100 * tag.score), int(name in counted)]
        return found


def _detail(row: dict[str, Any], tags: TagTable, attention_requested: bool) -> dict[str, Any]:
    """Build what the page shows of a track in addition to its columns of the table."""
    detail: dict[str, Any] = {}
    if row.get("alternatives"):
        detail["alternatives"] = [[a["caption"], _rounded(a["log_prob"])] for a in row["alternatives"]]
    if row.get("segments"):
        detail["segments"] = _segments(row["segments"])
    if row.get("attention"):
        attention = _attention(row["caption"] or "", row["attention"])
        if attention is not None:
            detail["attention"] = attention
    elif attention_requested:
        detail["no_attention"] = True  # the model has no attention
    if row.get("tags"):
        detail["tags"] = tags.flat(row["tags"])
    _add_comparison(detail, row)
    detail["catalogue"] = {
        name: str(value)[:MAX_CELL]
        for name, value in row.items()
        if name not in CAPTION_SCHEMA.names and name not in _HEADING and _is_scalar(value)
    }
    detail["facts"] = _facts(row)
    return detail


def _add_comparison(detail: dict[str, Any], row: dict[str, Any]) -> None:
    """Add the claims of the caption, the catalogue's statements beside them, and the marks that filters use."""
    caption, music_score = row.get("caption") or "", row.get("music_score")
    found = compare(caption, row.get("evidence"), row)
    detail["spans"] = [
        [span.start, span.end, None if span.score is None else round(100 * span.score), VERDICTS.index(span.verdict)]
        for span in found.spans
    ]
    if found.values:
        detail["compared"] = [
            [HEADINGS[name], value[:MAX_CELL], found.claimed.get(name, ()), _index(found.verdicts.get(name))]
            for name, value in found.values.items()
        ]
    flags = [
        f"{HEADINGS[name].lower()} {FLAG_OF[verdict]}" for name, verdict in found.verdicts.items() if verdict in FLAG_OF
    ]
    flags += ["repeated words"] * bool(repeated_words(caption)) + ["<unk>"] * ("<unk>" in caption)
    flags += ["damaged file"] * (row.get("damage") is not None)
    flags += ["not music"] * (music_score is not None and music_score < MIN_MUSIC_SCORE)
    if flags:
        detail["flags"] = flags


def _index(verdict: Verdict | None) -> int:
    return VERDICTS.index(verdict or "unknown")


def _is_scalar(value: Any) -> bool:
    return isinstance(value, str | int | float | bool) and value != ""


def _facts(row: dict[str, Any]) -> dict[str, str]:
    """Return the names and values of the panel's facts."""
    facts = {"Audio": storage.redacted(row["uri"])}
    if row.get("sample_rate"):
        channels = {1: "mono", 2: "stereo"}.get(row.get("channels") or 0, f"{row.get('channels')} channels")
        facts["Signal"] = f"{row['sample_rate']:,} Hz, {channels}"
    if row.get(VERSIONS_COLUMN):
        facts["Versions"] = ", ".join(row[VERSIONS_COLUMN])
    decoding = row.get("decoding") or {}
    facts["Model"] = f"{row.get('model_id')}, beam {decoding.get('beam_size', '–')}"
    if row.get("created_at") is not None:
        facts["Written"] = f"{row['created_at']:%Y-%m-%d %H:%M:%S} UTC"
    facts["Run"] = row.get("run_id") or "–"
    for name in CAPTION_SCHEMA.names:
        if name not in _PLACED and _is_scalar(row.get(name)):
            facts[name.replace("_", " ").capitalize()] = str(row[name])[:MAX_CELL]
    return facts


def _segments(segments: Sequence[dict[str, Any]]) -> list[list[Any]]:
    """Return [start, end, caption] of each segment; neighbours with the same caption are merged."""
    merged: list[list[Any]] = []
    for segment in segments:
        if merged and merged[-1][2] == segment["caption"]:
            merged[-1][1] = _rounded(segment["end_s"]) or 0.0
        else:
            merged.append([_rounded(segment["start_s"]) or 0.0, _rounded(segment["end_s"]) or 0.0, segment["caption"]])
    return merged


def _rounded(value: float | None) -> float | None:
    return round(value, 4) if value is not None and math.isfinite(value) else None


def _attention(caption: str, weights: Sequence[Sequence[float]]) -> dict[str, Any] | None:
    """Return the weights as bytes and the names of their rows; None if they are not a rectangle.

    A row is scaled to its own peak, or to twice the weight of an even row if that is more, so that an even row is
    drawn pale. Rows are numbered if the caption has another number of words than the model decoded.
    """
    from muscaps.vocabulary import tokenize

    if len({len(row) for row in weights}) != 1 or not weights[0]:
        return None
    matrix = np.nan_to_num(np.asarray(weights, dtype=np.float64))
    rows, chunks = matrix.shape
    names = [*tokenize(caption), "(end)"]
    if rows not in (len(names), len(names) - 1):
        names = [*(f"word {n}" for n in range(1, rows)), "(end)"]
    peaks = matrix.max(axis=1)
    scaled = np.round(255 * matrix / np.maximum(peaks, 2 / chunks)[:, None]).clip(0, 255).astype(np.uint8)
    return {
        "words": names[:rows],
        "chunks": chunks,
        "peaks": [round(float(peak), 4) for peak in peaks],
        "data": base64.b64encode(scaled.tobytes()).decode(),
    }


def _add_spectrograms(rows: list[dict[str, Any]], details: dict[str, dict[str, Any]], most: int) -> None:
    """Decode the audio of at most `most` tracks; a track that cannot be read gets no spectrogram."""
    from muscaps.audio import AudioError, decode_audio  # imports torchaudio

    wanted = sorted(
        range(len(rows)),
        key=lambda n: ("attention" not in details[str(n)], "segments" not in details[str(n)], n),
    )[:most]
    unreadable = 0
    for n in wanted:
        try:
            with storage.open_for_reading(rows[n]["uri"]) as file:
                decoded = decode_audio(file, chunk_samples=48_000, max_chunks=MAX_COLUMNS, allow_silence=True)
        except (OSError, AudioError) as error:
            unreadable += 1
            logger.debug("no spectrogram of %s: %s", rows[n]["track_id"], error)
            if unreadable >= 3 and unreadable == wanted.index(n) + 1:
                logger.info("no spectrograms: the first %d tracks cannot be read from this machine", unreadable)
                return
            continue
        picture = spectrogram(decoded.pcm)
        details[str(n)]["spectrogram"] = {
            "bands": picture.shape[0],
            "columns": picture.shape[1],
            "data": base64.b64encode(picture.tobytes()).decode(),
        }
