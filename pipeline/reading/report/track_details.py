"""The tracks of the page: table columns, and the details of a chosen track."""

import base64
import logging
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline import storage
from pipeline.reading.report.config import ReportConfig
from pipeline.reading.report.run_table import record_part
from pipeline.reading.report.spectrograms import MAX_COLUMNS, spectrogram
from pipeline.reading.report.url_signing import audio_linker

logger = logging.getLogger(__name__)


_OWN_COLUMNS = frozenset(
    (
        "track_id uri caption log_prob alternatives segments attention duration_s coverage title artist decoding "
        "sample_rate channels model_id created_at run_id etag code_version num_chunks"
    ).split()
)
"""Columns with a place of their own on the page; all other columns are listed as facts."""


def track_data(shown: pa.Table, runs: Sequence[dict[str, Any]], config: ReportConfig) -> dict[str, Any]:
    """Build the data of the tracks: table columns, and the details of each."""
    rows = shown.to_pylist()
    options = {run.get("run_id"): record_part(record_part(run, "config"), "options") for run in runs}
    for row in rows:
        for name in ("duration_s", "log_prob", "coverage"):
            value = row.get(name)
            row[name] = float(value) if value is not None and math.isfinite(value) else None
    details: dict[str, dict[str, Any]] = {}
    for n, row in enumerate(rows):
        details[str(n)] = _detail(row, attention_requested=bool(options.get(row.get("run_id"), {}).get("attention")))
    _add_spectrograms(rows, details, config.max_spectrograms)
    link = audio_linker(config)
    return {
        "colours": config.colours,
        "tracks": {
            "track_id": [row["track_id"] for row in rows],
            "title": [row.get("title") for row in rows],
            "artist": [row.get("artist") for row in rows],
            "caption": [row.get("caption") or "" for row in rows],
            "log_prob": [None if row["log_prob"] is None else round(row["log_prob"], 4) for row in rows],
            "duration_s": [None if row["duration_s"] is None else round(row["duration_s"], 2) for row in rows],
            "coverage": [None if row["coverage"] is None else round(row["coverage"], 4) for row in rows],
            "audio": [link(row["uri"]) for row in rows],
        },
        "details": details,
    }


def _detail(row: dict[str, Any], *, attention_requested: bool) -> dict[str, Any]:
    """Build what the panel of a track shows in addition to its table row."""
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
    detail["facts"] = _facts(row)
    return detail


def _facts(row: dict[str, Any]) -> dict[str, str]:
    """Return the names and values of the panel's facts."""
    facts = {"Audio": storage.redacted(row["uri"])}
    if row.get("sample_rate"):
        channels = {1: "mono", 2: "stereo"}.get(row.get("channels") or 0, f"{row.get('channels')} channels")
        facts["Signal"] = f"{row['sample_rate']:,} Hz, {channels}"
    decoding = row.get("decoding") or {}
    facts["Model"] = f"{row.get('model_id')}, beam {decoding.get('beam_size', '–')}"
    if row.get("created_at") is not None:
        facts["Written"] = f"{row['created_at']:%Y-%m-%d %H:%M:%S} UTC"
    facts["Run"] = row.get("run_id") or "–"
    for name, value in row.items():
        if name not in _OWN_COLUMNS and isinstance(value, str | int | float | bool) and value != "":
            facts[name.replace("_", " ").capitalize()] = str(value)[:500]
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
    return round(value, 3) if value is not None and math.isfinite(value) else None


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
