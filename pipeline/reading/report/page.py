"""The report page: one HTML file that needs nothing else, except the audio it links to."""

import base64
import hashlib
import json
from datetime import UTC, datetime
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any

import pyarrow as pa

from pipeline import storage
from pipeline.output.newest import OutputError
from pipeline.reading.report.charts import (
    caption_length_chart,
    histogram,
    throughput_charts,
    word_bars,
)
from pipeline.reading.report.config import ReportConfig
from pipeline.reading.report.formatting import clock_time, percentage, readable_duration
from pipeline.reading.report.input_notes import damaged_files, left_out_of_listing
from pipeline.reading.report.result_tables import FailureReason
from pipeline.reading.report.run_table import RUN_COLUMNS, known_runs, record_number, run_row, wall_seconds
from pipeline.reading.report.sampling import TrackSample, by_certainty
from pipeline.reading.report.statistics import Summary, summarise
from pipeline.reading.report.track_details import track_data
from pipeline.review.reviewed_captions import ReviewedCaptions

SCRIPTS = (
    "elements",
    "colours",
    "tooltips",
    "review",
    "filters",
    "table",
    "track",
    "review_controls",
    "figure",
    "keyboard",
    "start",
)
"""Files of the page's script, in the order in which they run."""


def write_report(config: ReportConfig) -> Summary:
    """Read an output and write its page.

    Raises:
        OutputError: The output holds neither captions nor failures, or no track is left for a sample.
        StorageError: Reading the output or writing the page failed.
    """
    reviews = ReviewedCaptions(config.output)
    summary, shown = summarise(config.output, sample=_sample(config, reviews))
    if config.sample is not None and summary.tracks and not shown.num_rows:
        raise OutputError(f"every captioned track of {config.output} has been reviewed; `muscaps review score` counts")
    page = render(summary, shown, config, reviews)
    storage.write_once(config.file, page.encode("utf-8", "replace"))
    return summary


def _sample(config: ReportConfig, reviews: ReviewedCaptions) -> TrackSample:
    """Return what draws the tracks of the page."""
    if config.sample is None:
        return TrackSample(config.max_tracks)
    keys = by_certainty if config.sample == "least_certain" else None
    reviewed = {review["track_id"] for review in reviews}
    return TrackSample(config.max_tracks, keys=keys, seed=config.seed, without=reviewed)


def render(summary: Summary, shown: pa.Table, config: ReportConfig, reviews: ReviewedCaptions | None = None) -> str:
    """Build the page.

    Args:
        summary: The figures.
        shown: Rows of `captions/` for the table.
        config: What to show and where it goes, so that links to local audio can be relative.
        reviews: Decisions that the output holds; None for none.

    Returns:
        HTML that needs nothing else, except the audio it links to.
    """
    import jinja2
    from markupsafe import Markup

    folder = files("pipeline.reading.report") / "assets"
    script = _script(folder / "scripts")
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    template = environment.from_string((folder / "report.html").read_text("utf-8"))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return template.render(
        page=_page(summary, shown.num_rows, config),
        data=Markup(_script_safe(track_data(shown, summary.runs, config, reviews))),
        style=Markup((folder / "report.css").read_text("utf-8")),
        script=Markup(script),
        script_hash=Markup(f"sha256-{digest}"),
    )


def _script(folder: Traversable) -> str:
    """Join the script files to one function: they share their names, and the page has one script with one hash."""
    parts = "\n".join((folder / f"{name}.js").read_text("utf-8") for name in SCRIPTS)
    return f'"use strict";\n(() => {{\n{parts}}})();\n'


def _script_safe(data: Any) -> str:
    """Return JSON that cannot end its script element, whatever its strings hold."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character in ("<", ">", "&", "\u2028", "\u2029"):
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _page(summary: Summary, shown: int, config: ReportConfig) -> dict[str, Any]:
    """Build everything that the template prints."""
    models = ", ".join(model for model, _ in summary.models.most_common(3)) or "no captions yet"
    return {
        "title": config.title,
        "subtitle": f"{storage.redacted(summary.output)} · {models}",
        "summary": _summary_line(summary),
        "tiles": _tiles(summary),
        "throughput": throughput_charts(summary),
        "histograms": [
            caption_length_chart(summary.caption_lengths),
            histogram("Log-probability", summary.log_probs, "given the audio", "{:.1f}".format),
            histogram("Track length", summary.durations, "min:s", clock_time),
        ],
        "words": word_bars(summary),
        "repeats": [{"caption": text or "(empty)", "count": f"{count:,}"} for text, count in summary.repeated],
        "repeats_note": f"{summary.tracks - summary.distinct:,} captions are repeats of another",
        "failures": [_reason(reason, summary.failures[0].count) for reason in summary.failures],
        "failures_note": "tracks without a caption; the newest attempt counts",
        "damaged": damaged_files(summary),
        "left_out": left_out_of_listing(summary.runs),
        "run_columns": RUN_COLUMNS,
        "runs": [run_row(summary, record) for record in known_runs(summary)],
        "sample_note": _sample_note(shown, summary.tracks, config),
        "footer": (
            f"Written by muscaps report on {datetime.now(UTC):%Y-%m-%d %H:%M} UTC. Captions are AI-written "
            "descriptions of the audio and may be wrong."
        ),
    }


def _summary_line(summary: Summary) -> str:
    """Return the key figures in one line."""
    audio = f"{readable_duration(summary.audio_seconds)} of audio"
    shared = f"{summary.shared:,} share a caption · " if summary.shared else ""
    return f"{summary.tracks:,} captioned · {shared}{summary.failed:,} without a caption · {audio}"


def _sample_note(shown: int, tracks: int, config: ReportConfig) -> str:
    """Return which tracks the page shows; nothing where it shows all."""
    if shown == tracks:
        return ""
    which = "the least certain" if config.sample == "least_certain" else "drawn evenly at random"
    reviewed = ", of those without a review" if config.sample else ""
    return f"{shown:,} of {tracks:,} tracks are shown, {which}{reviewed}. The figures below are over all."


def _tiles(summary: Summary) -> list[dict[str, Any]]:
    """Build the key figures at the top of the page."""
    spans = [(run, min(seconds), max(seconds)) for run, seconds in summary.captioned_at.items() if seconds and run]
    wall = sum(wall_seconds(summary, run, first, last) for run, first, last in spans)
    attempted = summary.tracks + summary.failed
    saved = sum(record_number(record, "saved_seconds") for record in summary.runs)
    runs = f"in {len(spans) or 'no'} run{'s' if len(spans) != 1 else ''}"
    speed, factor = "–", "no times recorded"
    if wall:
        speed = f"{summary.tracks / wall * 60:,.0f}/min"
        factor = f"{summary.audio_seconds / wall:,.0f}× real time"
    distinct = f"{summary.distinct / summary.tracks:.0%}" if summary.tracks else "–"
    return [
        _tile("Captioned", f"{summary.tracks:,}", f"of {attempted:,} tracks attempted"),
        *(
            [_tile("Versions", f"{summary.shared:,}", f"share a caption; {readable_duration(saved)} saved")]
            if summary.shared
            else []
        ),
        _tile(
            "Without caption",
            f"{summary.failed:,}",
            percentage(summary.failed, attempted) + " failed",
            bad=summary.failed > 0,
        ),
        _tile("Audio", readable_duration(summary.audio_seconds), f"{summary.partly_processed:,} tracks in part"),
        _tile("Duration", readable_duration(wall), runs),
        _tile("Speed", speed, factor),
        _tile("Distinct captions", distinct, f"{summary.distinct:,} different"),
    ]


def _tile(label: str, value: str, note: str, *, bad: bool = False) -> dict[str, Any]:
    return {"label": label, "value": value, "note": note, "bad": bad}


def _reason(reason: FailureReason, most: int) -> dict[str, Any]:
    if reason.retryable == reason.count:
        advice = "`muscaps retry` may solve it"
    elif reason.retryable:
        advice = f"`muscaps retry` may solve {reason.retryable:,}"
    else:
        advice = "needs a change to the catalogue or the storage"
    return {
        "stage": reason.stage,
        "error_type": reason.error_type,
        "count": f"{reason.count:,}",
        "width": round(100 * reason.count / most, 1),
        "advice": advice,
        "examples": reason.examples,
    }
