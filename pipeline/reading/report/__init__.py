"""What an output holds, in numbers and as one self-contained page (docs: design, Command line).

Conventions: every count is over each track's newest caption and newest failure. A failure counts only while
its track has no caption. Times are UTC. The page shows up to `max_tracks` tracks, drawn evenly at random
where there are more; its figures are always over all of them. Everything a catalogue or a model wrote is
shown as text, never as markup.
"""

import base64
import hashlib
import json
import logging
import math
import os
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline import storage
from pipeline.output.tables import OutputError, Table, open_table

logger = logging.getLogger(__name__)

STOP_WORDS = frozenset(
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
        "are",
        "it",
        "its",
        "this",
        "that",
        "into",
        "over",
        "then",
        "some",
        "very",
        "piece",
        "track",
        "song",
        "music",
        "built",
        "led",
        "featuring",
        "pace",
        "tempo",
    )
)
"""Words that say nothing about a track, left out of the frequencies."""

_SPECTROGRAM_COLUMNS = 480
_SPECTROGRAM_BANDS = 72
_FFT = 1024  # 1024 / 16 000 Hz = 64 ms


@dataclass(frozen=True, kw_only=True)
class ReportConfig:
    """What the page shows."""

    output: str
    """Folder or bucket prefix of the run."""
    file: str
    """Page to write, a path or URI ending in .html."""
    title: str = "Captions of a music catalogue"
    """Heading of the page."""
    max_tracks: int = 5_000
    """Most tracks in the table."""
    max_spectrograms: int = 60
    """Most tracks whose audio is read again for a spectrogram; those with attention or segments first."""
    listen_hours: float | None = None
    """Sign links to s3:// audio that work for this many hours; None leaves such tracks silent."""
    colours: str = "system"
    """Colours the page opens with: system, light or dark."""

    def __post_init__(self) -> None:
        if not self.file.lower().endswith((".html", ".htm")):
            raise ValueError(f"{self.file} must end in .html")
        if not 0 <= self.max_tracks <= 100_000:
            raise ValueError(f"max_tracks must lie in 0 to 100000, not {self.max_tracks}")
        if self.max_spectrograms < 0:
            raise ValueError(f"max_spectrograms must not be negative: {self.max_spectrograms}")
        if self.listen_hours is not None and not 0 < self.listen_hours <= 168:
            raise ValueError(f"listen_hours must lie in 0 to 168 (S3 signs for a week), not {self.listen_hours}")
        if self.colours not in ("system", "light", "dark"):
            raise ValueError(f"colours must be system, light or dark, not {self.colours!r}")


@dataclass(frozen=True, kw_only=True)
class FailureReason:
    """Tracks that wait for the same reason."""

    stage: str
    """fetch, decode or caption."""
    error_type: str
    """The machine word of the failure."""
    count: int
    """Tracks."""
    retryable: int
    """Of them, those `muscaps retry` may cure without anyone changing anything."""
    examples: tuple[dict[str, Any], ...]
    """Up to five: track_id, message, attempt."""


@dataclass(kw_only=True)
class Summary:
    """An output in numbers."""

    output: str
    """Folder or bucket prefix."""
    tracks: int = 0
    """Captioned tracks."""
    distinct: int = 0
    """Different captions among them."""
    audio_s: float = 0.0
    """Length of all captioned tracks, in seconds."""
    partly_heard: int = 0
    """Tracks heard only in part."""
    failures: list[FailureReason] = field(default_factory=list)
    """Tracks without a caption, by reason, most frequent first."""
    models: Counter[str] = field(default_factory=Counter)
    """Captions by model_id."""
    words: Counter[str] = field(default_factory=Counter)
    """Captions that hold a word, stop words left out."""
    captions: Counter[str] = field(default_factory=Counter)
    """How often each caption was given."""
    word_counts: Counter[int] = field(default_factory=Counter)
    """Captions by number of words."""
    log_probs: np.ndarray = field(default_factory=lambda: np.zeros(0))
    """Log-probabilities of all captions, (tracks,)."""
    durations: np.ndarray = field(default_factory=lambda: np.zeros(0))
    """Lengths of all captioned tracks in seconds, (tracks,)."""
    minutes: dict[str, Counter[int]] = field(default_factory=dict)
    """Captions per run and second since 1970."""
    failed_at: dict[str, Counter[int]] = field(default_factory=dict)
    """Failed attempts per run and second since 1970."""
    runs: list[dict[str, Any]] = field(default_factory=list)
    """The records in `runs/`, newest first."""

    @property
    def failed(self) -> int:
        """Tracks that failed and have no caption."""
        return sum(reason.count for reason in self.failures)

    def as_json(self) -> dict[str, Any]:
        """The figures a machine may want."""
        return {
            "output": storage.redacted(self.output),
            "tracks": self.tracks,
            "failed": self.failed,
            "distinct_captions": self.distinct,
            "audio_seconds": round(self.audio_s, 3),
            "partly_heard": self.partly_heard,
            "mean_log_prob": float(self.log_probs.mean()) if self.log_probs.size else None,
            "failures": [
                {"stage": r.stage, "error_type": r.error_type, "count": r.count, "retryable": r.retryable}
                for r in self.failures
            ],
            "models": dict(self.models),
            "runs": [run.get("run_id") for run in self.runs],
        }


def write_report(config: ReportConfig) -> Summary:
    """Read the output once and write its page.

    Raises:
        OutputError: The output holds neither captions nor failures.
        StorageError: Reading the output or writing the page failed.
    """
    summary, shown = summarise(config.output, max_tracks=config.max_tracks)
    page = render(summary, shown, config)
    storage.write_once(config.file, page.encode("utf-8", "replace"))
    return summary


def summarise(output: str, *, max_tracks: int = 0) -> tuple[Summary, pa.Table]:
    """Count everything in an output, and draw the tracks to show.

    Args:
        output: Folder or bucket prefix of the run.
        max_tracks: Most tracks to draw.

    Returns:
        The figures over all tracks, and the drawn rows with all their columns, by track_id.

    Raises:
        OutputError: The output holds neither captions nor failures.
        StorageError: It could not be read.
    """
    summary = Summary(output=output, runs=_run_records(output))
    captions, failures = _optional(output, "captions"), _optional(output, "failures")
    if captions is None and failures is None:
        raise OutputError(f"{output} holds neither captions nor failures: run `muscaps caption` first")
    waiting = _newest_failures(failures, summary)
    shown = _count_captions(captions, summary, waiting, max_tracks) if captions else pa.table({"track_id": []})
    grouped: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in waiting.values():
        grouped.setdefault((row["stage"], row["error_type"]), []).append(row)
    summary.failures = sorted(
        (
            FailureReason(
                stage=stage,
                error_type=error_type,
                count=len(rows),
                retryable=sum(bool(row["retryable"]) for row in rows),
                examples=tuple({k: row[k] for k in ("track_id", "message", "attempt")} for row in rows[:5]),
            )
            for (stage, error_type), rows in grouped.items()
        ),
        key=lambda reason: (-reason.count, reason.stage, reason.error_type),
    )
    return summary, shown


def _optional(output: str, name: Any) -> Table | None:
    try:
        return open_table(output, name)
    except OutputError:
        return None


def _run_records(output: str) -> list[dict[str, Any]]:
    """The JSON records in `runs/`, newest first; a damaged one is left out with a warning."""
    records = []
    for file in storage.list_files(storage.join(output, "runs"), suffix=".json"):
        try:
            record = json.loads(storage.read_bytes(file.uri, max_bytes=1 << 24))
        except ValueError as error:
            logger.warning("%s is not JSON and was left out: %s", file.uri, error)
            continue
        if isinstance(record, dict):
            records.append(record)
    return sorted(records, key=lambda record: str(record.get("run_id", "")), reverse=True)


def _newest_failures(failures: Table | None, summary: Summary) -> dict[str, dict[str, Any]]:
    """Each track's newest failed attempt, by track_id; counts all attempts per run and second."""
    newest: dict[str, dict[str, Any]] = {}
    if failures is None:
        return newest
    for _, batch in failures.batches():
        for row in batch.to_pylist():
            _count_second(summary.failed_at, row)
            known = newest.get(row["track_id"])
            if known is None or row["created_at"] >= known["created_at"]:
                newest[row["track_id"]] = row
    return newest


def _count_second(seconds: dict[str, Counter[int]], row: dict[str, Any]) -> None:
    if row["created_at"] is not None:
        seconds.setdefault(row["run_id"] or "", Counter())[int(row["created_at"].timestamp())] += 1


def _count_captions(captions: Table, summary: Summary, waiting: dict[str, dict[str, Any]], max_tracks: int) -> pa.Table:
    """Add every track's newest caption to the figures; drop its failure; return the drawn rows."""
    rng = np.random.default_rng(0)
    drawn: pa.Table | None = None
    keys = np.zeros(0)
    log_probs, durations = [], []
    for batch in captions.newest():
        rows = pa.table(batch)
        summary.tracks += batch.num_rows
        for track_id in rows["track_id"].to_pylist():
            waiting.pop(track_id, None)
        log_probs.append(_floats(batch, "log_prob"))
        durations.append(_floats(batch, "duration_s"))
        summary.partly_heard += pc.sum(pc.less(batch["coverage"], 0.9995)).as_py() or 0
        summary.models.update(batch["model_id"].to_pylist())
        for text in batch["caption"].to_pylist():
            words = re.findall(r"[\w'’-]+", (text or "").lower())
            summary.captions[text or ""] += 1
            summary.word_counts[len(words)] += 1
            summary.words.update({word for word in words if word not in STOP_WORDS})
        for row in rows.select(["run_id", "created_at"]).to_pylist():
            _count_second(summary.minutes, row)
        fresh = rng.random(batch.num_rows)
        drawn = rows if drawn is None else pa.concat_tables([drawn, rows])
        keys = np.concatenate([keys, fresh])
        if len(keys) > max_tracks:  # the rows with the smallest keys are an even draw of all seen so far
            kept = np.sort(np.argpartition(keys, max_tracks)[:max_tracks]) if max_tracks else np.zeros(0, np.int64)
            drawn, keys = drawn.take(pa.array(kept)), keys[kept]
    summary.distinct = len(summary.captions)
    summary.log_probs = np.concatenate(log_probs) if log_probs else np.zeros(0)
    summary.durations = np.concatenate(durations) if durations else np.zeros(0)
    summary.audio_s = float(np.nansum(summary.durations))
    return drawn.sort_by("track_id") if drawn is not None else pa.table({"track_id": []})


def _floats(batch: pa.RecordBatch, name: str) -> np.ndarray:
    return np.asarray(batch[name].to_numpy(zero_copy_only=False), dtype=np.float64)


# The page.


def render(summary: Summary, shown: pa.Table, config: ReportConfig) -> str:
    """Build the page.

    Args:
        summary: The figures.
        shown: Rows of `captions/` for the table.
        config: What to show and where it goes, so that links to local audio can be relative.

    Returns:
        HTML that needs nothing else, except the audio it links to.
    """
    import jinja2
    from markupsafe import Markup

    folder = files("pipeline.reading.report") / "page"
    script = (folder / "report.js").read_text("utf-8")
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    template = environment.from_string((folder / "report.html").read_text("utf-8"))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return template.render(
        page=_page(summary, shown.num_rows, config),
        data=Markup(_script_safe(_tracks(shown, summary.runs, config))),
        style=Markup((folder / "report.css").read_text("utf-8")),
        script=Markup(script),
        script_hash=Markup(f"sha256-{digest}"),
    )


def _script_safe(data: Any) -> str:
    """JSON that cannot end its script element, whatever the strings in it say."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character in ("<", ">", "&", "\u2028", "\u2029"):
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _page(summary: Summary, shown: int, config: ReportConfig) -> dict[str, Any]:
    """Everything the template prints."""
    spans = [(run, min(seconds), max(seconds)) for run, seconds in summary.minutes.items() if len(seconds) and run]
    wall = sum(_wall_seconds(summary, run, first, last) for run, first, last in spans)
    models = ", ".join(model for model, _ in summary.models.most_common(3)) or "no captions yet"
    attempted = summary.tracks + summary.failed
    distinct_share = summary.distinct / summary.tracks if summary.tracks else 0.0
    tiles = [
        _tile("Captioned", f"{summary.tracks:,}", f"of {attempted:,} tracks tried"),
        _tile(
            "Without caption",
            f"{summary.failed:,}",
            _share(summary.failed, attempted) + " failed",
            bad=summary.failed > 0,
        ),
        _tile("Audio", _hours(summary.audio_s), f"{summary.partly_heard:,} tracks heard in part"),
        _tile("Time taken", _hours(wall), f"over {len(spans) or 'no'} run{'s' if len(spans) != 1 else ''}"),
        _tile(
            "Speed",
            f"{summary.tracks / wall * 60:,.0f}/min" if wall else "–",
            f"{summary.audio_s / wall:,.0f}× real time" if wall else "no times recorded",
        ),
        _tile(
            "Distinct captions", f"{distinct_share:.0%}" if summary.tracks else "–", f"{summary.distinct:,} different"
        ),
    ]
    repeats = [(text, count) for text, count in summary.captions.most_common(7) if count > 1]
    return {
        "title": config.title,
        "subtitle": f"{storage.redacted(summary.output)} · {models}",
        "tiles": tiles,
        "throughput": _throughput(summary),
        "histograms": [
            _caption_lengths(summary.word_counts),
            _histogram("Log-probability", summary.log_probs, "given the audio", "{:.1f}"),
            _histogram("Track length", summary.durations, "min:s", None),
        ],
        "words": _word_bars(summary),
        "repeats": [{"caption": text or "(empty)", "count": f"{count:,}"} for text, count in repeats],
        "repeats_note": f"{summary.tracks - summary.distinct:,} captions repeat another",
        "failures": [_reason(reason, summary.failures[0].count) for reason in summary.failures],
        "failures_note": "tracks without a caption; the last attempt counts",
        "run_columns": _RUN_COLUMNS,
        "runs": [_run_row(summary, record) for record in _known_runs(summary)],
        "sample_note": (
            f"{shown:,} of {summary.tracks:,} tracks are shown, drawn evenly; the figures above are over all."
            if shown < summary.tracks
            else ""
        ),
        "footer": (
            f"Written by muscaps report on {datetime.now(UTC):%Y-%m-%d %H:%M} UTC. Captions are AI-generated "
            "from the audio alone and may be wrong."
        ),
    }


def _tile(label: str, value: str, note: str, *, bad: bool = False) -> dict[str, Any]:
    return {"label": label, "value": value, "note": note, "bad": bad}


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else "0%"


def _hours(seconds: float) -> str:
    """A duration a person can take in: 48 s, 12 min, 3.4 h, 1,204 h."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:,.1f} h" if seconds < 360_000 else f"{seconds / 3600:,.0f} h"


def _clock(seconds: float) -> str:
    whole = round(seconds)
    return f"{whole // 60}:{whole % 60:02d}"


def _wall_seconds(summary: Summary, run: str, first: int, last: int) -> float:
    """A run's wall time: its record's, else from its first to its last caption."""
    for record in summary.runs:
        if record.get("run_id") == run and _number(record, "wall_seconds") > 0:
            return _number(record, "wall_seconds")
    return float(max(1, last - first))


_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 28_800, 86_400)


def _throughput(summary: Summary) -> list[dict[str, Any]]:
    """Bars per run, newest first: tracks that ended in each stretch of time."""
    charts = []
    runs = sorted(
        (run for run in summary.minutes if run),
        key=lambda run: max(summary.minutes[run]),
        reverse=True,
    )
    for run in runs[:12]:
        done, failed = summary.minutes[run], summary.failed_at.get(run, Counter())
        start, end = min([*done, *failed]), max([*done, *failed])
        width = next((step for step in _STEPS if (end - start) / step <= 96), 7 * 86_400)
        count = (end - start) // width + 1
        good, bad = np.zeros(count, int), np.zeros(count, int)
        for second, number in done.items():
            good[(second - start) // width] += number
        for second, number in failed.items():
            bad[(second - start) // width] += number
        top = int((good + bad).max())
        bars = []
        for n in range(count):
            total = int(good[n] + bad[n])
            at = datetime.fromtimestamp(start + n * width, UTC)
            tip = f"{at:%H:%M:%S}  {good[n]:,} captioned" + (f", {bad[n]:,} failed" if bad[n] else "")
            bars.append(
                {
                    "height": round(100 * total / top, 2),
                    "failed": round(100 * int(bad[n]) / total, 1) if bad[n] else 0,
                    "tip": tip,
                }
            )
        wall = _wall_seconds(summary, run, start, end)
        first, last = datetime.fromtimestamp(start, UTC), datetime.fromtimestamp(end, UTC)
        rate = sum(done.values()) / wall * 60
        charts.append(
            {
                "name": run,
                "note": f"Tracks ended per {_hours(width)}; {rate:,.1f} captions a minute on average; red: failed.",
                "spoken": (
                    f"Throughput of run {run}: {sum(done.values())} captions and {sum(failed.values())} failures "
                    f"from {first:%H:%M} to {last:%H:%M} UTC, at most {top} in {_hours(width)}"
                ),
                "top": f"{top:,}",
                "middle": f"{top // 2:,}" if top % 2 == 0 else f"{top / 2:,.1f}",
                "bars": bars,
                "start": f"{first:%Y-%m-%d %H:%M:%S}",
                "end": f"{last:%Y-%m-%d %H:%M:%S} UTC",
            }
        )
    return charts


def _caption_lengths(counts: Counter[int]) -> dict[str, Any]:
    if not counts:
        return {"title": "Caption length", "note": "words", "bars": [], "axis": [], "spoken": "no captions"}
    low, high, total = min(counts), max(counts), counts.total()
    mean = sum(words * count for words, count in counts.items()) / total
    top = max(counts.values())
    return {
        "title": "Caption length",
        "note": f"words; {mean:.1f} on average",
        "spoken": f"Caption length: {low} to {high} words, {mean:.1f} on average",
        "bars": [
            {"height": round(100 * counts[n] / top, 2), "tip": f"{n} words: {counts[n]:,} captions"}
            for n in range(low, high + 1)
        ],
        "axis": [str(low), str((low + high) // 2), str(high)] if high - low > 1 else [str(low), str(high)],
    }


def _histogram(title: str, values: np.ndarray, note: str, form: str | None, bins: int = 32) -> dict[str, Any]:
    """Bars of a distribution, its rarest 0.5 percent at either end gathered into the outermost bars."""

    def say(value: float) -> str:
        return _clock(value) if form is None else form.format(value)

    values = values[np.isfinite(values)]
    if not values.size:
        return {"title": title, "note": note, "bars": [], "axis": [], "spoken": f"{title}: nothing"}
    low, high = (float(v) for v in np.percentile(values, [0.5, 99.5]))
    if high <= low:
        low, high = low - 0.5, low + 0.5
    counts, edges = np.histogram(np.clip(values, low, high), bins=bins, range=(low, high))
    median = float(np.median(values))
    return {
        "title": title,
        "note": f"{note}; median {say(median)}",
        "spoken": f"{title}: from {say(float(values.min()))} to {say(float(values.max()))}, median {say(median)}",
        "bars": [
            {
                "height": round(100 * int(count) / int(counts.max()), 2),
                "tip": f"{say(edges[n])} to {say(edges[n + 1])}: {int(count):,} tracks",
            }
            for n, count in enumerate(counts)
        ],
        "axis": [say(low), say((low + high) / 2), say(high)],
    }


def _word_bars(summary: Summary) -> list[dict[str, Any]]:
    common = summary.words.most_common(24)
    return [
        {
            "text": word,
            "width": round(100 * count / common[0][1], 1),
            "share": f"{count / summary.tracks:.0%}" if count / summary.tracks >= 0.01 else f"{count:,}×",
        }
        for word, count in common
    ]


def _reason(reason: FailureReason, most: int) -> dict[str, Any]:
    if reason.retryable == reason.count:
        advice = "muscaps retry may cure it"
    elif reason.retryable:
        advice = f"{reason.retryable:,} may be cured by muscaps retry"
    else:
        advice = "needs someone to look"
    return {
        "stage": reason.stage,
        "error_type": reason.error_type,
        "count": f"{reason.count:,}",
        "width": round(100 * reason.count / most, 1),
        "advice": advice,
        "examples": reason.examples,
    }


_RUN_COLUMNS = ("Run", "Started", "Ended as", "Took", "Captioned", "Failed", "Left", "Speed", "Beam", "Version")


def _known_runs(summary: Summary) -> list[dict[str, Any]]:
    """Run records, newest first, with a bare one for a run that left none."""
    known = {record.get("run_id") for record in summary.runs}
    bare: Iterable[dict[str, Any]] = ({"run_id": run} for run in summary.minutes if run and run not in known)
    return sorted([*summary.runs, *bare], key=lambda r: str(r.get("run_id", "")), reverse=True)[:20]


def _run_row(summary: Summary, record: dict[str, Any]) -> dict[str, Any]:
    """One row of the table of runs, from its record where it has one, else from the captions."""
    run = str(record.get("run_id", ""))
    done = summary.minutes.get(run, Counter())
    wall = _number(record, "wall_seconds") or (_wall_seconds(summary, run, min(done), max(done)) if done else 0.0)
    captioned = _number(record, "captioned", done.total())
    failed = _number(record, "failed", summary.failed_at.get(run, Counter()).total())
    audio = _number(record, "audio_seconds")
    start = record.get("started_at") or (datetime.fromtimestamp(min(done), UTC).isoformat() if done else "–")
    options = _part(_part(record, "config"), "options")
    cells = (
        run,
        str(start)[:16].replace("T", " "),
        str(record.get("status", "–")),
        _hours(wall) if wall else "–",
        f"{captioned:,.0f}",
        f"{failed:,.0f}",
        f"{_number(record, 'left'):,.0f}" if "left" in record else "–",
        f"{audio / wall:,.0f}× real time" if audio and wall else "–",
        str(options.get("beam_size", "–")),
        str(_part(record, "versions").get("muscaps", "–")),
    )
    rest = {key: value for key, value in record.items() if key != "run_id"}
    return {
        "name": run,
        "cells": cells,
        "reason": str(record.get("reason") or ""),
        "stages": _stage_shares(_part(record, "stage_seconds")),
        "details": json.dumps(rest, indent=2, ensure_ascii=False, default=str) if rest else "",
    }


def _stage_shares(seconds: dict[str, Any]) -> list[dict[str, str]]:
    """What each stage took, most first; stages work side by side, so they add up to more than the wall time."""
    known = {str(name): _number(seconds, name) for name in seconds}
    total = sum(known.values())
    return [
        {"name": name, "width": f"{100 * value / total:.1f}", "took": _hours(value)}
        for name, value in sorted(known.items(), key=lambda item: -item[1])
        if value > 0
    ]


def _number(record: dict[str, Any], key: str, otherwise: float = 0.0) -> float:
    value = record.get(key)
    known = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if known and value is not None else otherwise


def _part(record: dict[str, Any], key: str) -> dict[str, Any]:
    value = record.get(key)
    return value if isinstance(value, dict) else {}


# The tracks on it.

_OWN_COLUMNS = frozenset(
    (
        "track_id",
        "uri",
        "caption",
        "log_prob",
        "alternatives",
        "segments",
        "attention",
        "duration_s",
        "coverage",
        "title",
        "artist",
        "decoding",
        "sample_rate",
        "channels",
        "model_id",
        "created_at",
        "run_id",
        "etag",
        "code_version",
        "num_chunks",
    )
)
"""Shown in their own places; the catalogue's other columns are listed as facts."""


def _tracks(shown: pa.Table, runs: Sequence[dict[str, Any]], config: ReportConfig) -> dict[str, Any]:
    """The tracks as columns, and what only the chosen one shows."""
    rows = shown.to_pylist()
    asked = {run.get("run_id") for run in runs if _part(_part(run, "config"), "options").get("attention")}
    for row in rows:
        for name in ("duration_s", "log_prob", "coverage"):
            value = row.get(name)
            row[name] = float(value) if value is not None and math.isfinite(value) else None
    details: dict[str, dict[str, Any]] = {}
    for n, row in enumerate(rows):
        details[str(n)] = _detail(row, attention_asked=row.get("run_id") in asked)
    _add_spectrograms(rows, details, config.max_spectrograms)
    link = _linker(config)
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


def _detail(row: dict[str, Any], *, attention_asked: bool) -> dict[str, Any]:
    """What the panel of a track shows beyond its table row."""
    detail: dict[str, Any] = {}
    if row.get("alternatives"):
        detail["alternatives"] = [[a["caption"], _rounded(a["log_prob"])] for a in row["alternatives"]]
    if row.get("segments"):
        detail["segments"] = _segments(row["segments"])
    if row.get("attention"):
        attention = _attention(row["caption"] or "", row["attention"])
        if attention is not None:
            detail["attention"] = attention
    elif attention_asked:
        detail["no_attention"] = True  # the model has none
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
    detail["facts"] = facts
    return detail


def _segments(segments: Sequence[dict[str, Any]]) -> list[list[Any]]:
    """[start, end, caption] of each stretch, neighbours of one caption as one."""
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
    """Weights as bytes, and what each row is called; None where they are not a rectangle.

    A row is scaled to its own peak, or to twice an even row's weights where that is more: a word that listened
    everywhere alike stays pale. Rows are numbered where the caption shows fewer words than the model said.
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
    """Decode the audio of up to `most` tracks again; audio that cannot be read gets no picture."""
    from muscaps.audio import AudioError, decode_audio

    wanted = sorted(
        range(len(rows)),
        key=lambda n: ("attention" not in details[str(n)], "segments" not in details[str(n)], n),
    )[:most]
    unreadable = 0
    for n in wanted:
        try:
            with storage.open_for_reading(rows[n]["uri"]) as file:
                decoded = decode_audio(file, chunk_samples=48_000, max_chunks=_SPECTROGRAM_COLUMNS, allow_silence=True)
        except (OSError, AudioError) as error:
            unreadable += 1
            logger.debug("no spectrogram of %s: %s", rows[n]["track_id"], error)
            if unreadable >= 3 and unreadable == wanted.index(n) + 1:
                logger.info("spectrograms left out: the first %d tracks cannot be read from here", unreadable)
                return
            continue
        picture = spectrogram(decoded.pcm)
        details[str(n)]["spectrogram"] = {
            "bands": picture.shape[0],
            "columns": picture.shape[1],
            "data": base64.b64encode(picture.tobytes()).decode(),
        }


def spectrogram(pcm: np.ndarray) -> np.ndarray:
    """Draw a track as loudness over time and pitch.

    Args:
        pcm: Mono signal at 16 kHz, int16, (samples,).

    Returns:
        uint8, (bands, columns), lowest band first: 72 bands from 30 Hz to 8 kHz, evenly spaced in mels, at
        most 480 columns; 255 is the loudest, 0 is 70 dB below it.
    """
    frames = max(1, len(pcm) // _FFT)
    columns = min(_SPECTROGRAM_COLUMNS, frames)
    padded = np.zeros(frames * _FFT, dtype=np.int16)
    padded[: min(len(pcm), len(padded))] = pcm[: len(padded)]
    window = np.hanning(_FFT).astype(np.float32)
    filters = _mel_filters()
    bands = np.zeros((_SPECTROGRAM_BANDS, columns))
    edges = np.linspace(0, frames, columns + 1).round().astype(int)
    for column in range(columns):
        part = padded[edges[column] * _FFT : edges[column + 1] * _FFT].reshape(-1, _FFT)
        power = np.abs(np.fft.rfft(part * window, axis=1)) ** 2
        bands[:, column] = filters @ power.mean(axis=0)
    decibels = 10 * np.log10(bands + 1e-6)
    loudest = decibels.max()
    if bands.max() <= 0:
        return np.zeros((_SPECTROGRAM_BANDS, columns), dtype=np.uint8)
    return np.asarray(255 * np.clip((decibels - loudest) / 70 + 1, 0, 1), dtype=np.uint8)


def _mel_filters() -> np.ndarray:
    """Triangles evenly spaced in mels, (bands, 513), each summing to 1."""

    def mel(hertz: float) -> float:
        return 2595 * math.log10(1 + hertz / 700)

    points = 700 * (10 ** (np.linspace(mel(30), mel(8000), _SPECTROGRAM_BANDS + 2) / 2595) - 1)
    bins = np.fft.rfftfreq(_FFT, 1 / 16_000)
    rising = (bins[None] - points[:-2, None]) / np.diff(points)[:-1, None]
    falling = (points[2:, None] - bins[None]) / np.diff(points)[1:, None]
    filters: np.ndarray = np.clip(np.minimum(rising, falling), 0, None)
    nearest = np.abs(bins[None] - points[1:-1, None]).argmin(axis=1)  # narrow bands may fall between two bins
    empty = filters.sum(axis=1) == 0
    filters[empty, nearest[empty]] = 1
    return np.asarray(filters / filters.sum(axis=1, keepdims=True))


def _linker(config: ReportConfig) -> Any:
    """A function from a track's URI to what an `<audio>` can play, or None.

    Local files are linked relative to the page, so that the two may move together.
    """
    page = None if storage.is_remote(config.file) else Path(config.file).absolute().parent
    sign = _signer(config.listen_hours) if config.listen_hours is not None else None

    def link(uri: str) -> str | None:
        if uri.startswith(("http://", "https://")):
            return storage.redacted(uri) if storage.redacted(uri) == uri else None
        if uri.startswith("s3://"):
            return sign(uri) if sign is not None else None
        if storage.is_remote(uri) or page is None:
            return None
        path = Path(uri.removeprefix("file://")).absolute()
        return quote(os.path.relpath(path, page)) if path.exists() else None

    return link


def _signer(hours: float) -> Any:
    """A function that signs s3:// links with the endpoint and credentials of this environment."""
    import boto3

    client = boto3.client("s3")

    def sign(uri: str) -> str:
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        url: str = client.generate_presigned_url(
            "get_object", Params={"Bucket": bucket, "Key": key}, ExpiresIn=round(hours * 3600)
        )
        return url

    return sign
