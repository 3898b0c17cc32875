"""Progress of long commands on stderr: a bar on a terminal, else one line a minute."""

import contextlib
import logging
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from pipeline.captioning import Progress

COUNT_SECONDS = 10.0
"""Interval of the lines of `shown_count`."""
LINE_SECONDS = 60.0
"""Interval of progress lines without a terminal."""

logger = logging.getLogger(__name__)


def set_up_logging(*, quiet: bool = False) -> None:
    """Send the log of our packages to stderr; only warnings if a bar is shown or `quiet` is set."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%H:%M:%S"))
    level = logging.WARNING if quiet or sys.stderr.isatty() else logging.INFO
    for name in ("muscaps", "pipeline", "jobs"):
        ours = logging.getLogger(name)
        ours.setLevel(level)
        ours.handlers[:] = [handler]
        ours.propagate = False


@contextlib.contextmanager
def shown_progress(*, quiet: bool = False) -> "Iterator[Callable[[Progress], None]]":
    """Give a function that shows the progress of a run."""
    if quiet:
        yield lambda progress: None
    elif sys.stderr.isatty():
        with _bar() as show:
            yield show
    else:
        yield _lines()


def _lines() -> "Callable[[Progress], None]":
    """Return a function that logs one line a minute, and one at each new step."""
    started = last = time.monotonic()
    step = ""

    def show(progress: "Progress") -> None:
        nonlocal last, step
        now = time.monotonic()
        changed = bool(progress.step) and progress.step != step
        if not changed and now - last < LINE_SECONDS:
            return
        last, step = now, progress.step or step
        rate = (progress.captioned + progress.failed) / max(now - started, 1e-9)
        logger.info("%s%s", f"{progress.step}: " if progress.step else "", _counts(progress, rate))

    return show


def _counts(progress: "Progress", rate: float) -> str:
    done = progress.captioned + progress.failed
    text = f"{done:,} of {progress.total:,} tracks, {progress.failed:,} failed"
    if done and rate:
        text += f", {rate:.2g} tracks/s, {duration((progress.total - done) / rate)} left"
    return text


@contextlib.contextmanager
def _bar() -> "Iterator[Callable[[Progress], None]]":
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    # A duplicate of file descriptor 2, which is redirected while Ray starts.
    with os.fdopen(os.dup(2), "w") as terminal:
        columns: list[Any] = [
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[failed]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        ]
        with Bar(*columns, console=Console(file=terminal), transient=True) as bar:
            task = bar.add_task("reading", total=None, failed="")

            def show(progress: "Progress") -> None:
                failed = f"{progress.failed:,} failed" if progress.failed else ""
                bar.update(
                    task,
                    description=progress.step or "captioning",
                    total=progress.total,
                    completed=progress.captioned + progress.failed,
                    failed=failed,
                )

            yield show


def shown_count(what: str, *, quiet: bool = False) -> Callable[[int, int], None]:
    """Return a function of (done, total) that prints progress every 10 s; a lower count starts a new step."""
    first = seen = 0
    began = last = 0.0

    def show(done: int, total: int) -> None:
        nonlocal first, last, seen, began
        now = time.monotonic()
        if not began or done < seen:
            first, began, last = done, now, now
        seen = done
        if not quiet and done > first and now - last >= COUNT_SECONDS:
            last = now
            rate = (done - first) / (now - began)
            left = duration((total - done) / rate)
            print(f"{done:,} of {total:,} {what}, {rate:.2g} a second, {left} left", file=sys.stderr)

    return show


def duration(seconds: float) -> str:
    """Format a duration in at most two units: `42 s`, `3 min 20 s`, `5 h 12 min`, `3 d 4 h`."""
    seconds = round(seconds)
    for unit, name, below, part in ((86_400, "d", 3_600, "h"), (3_600, "h", 60, "min"), (60, "min", 1, "s")):
        if seconds >= unit:
            return f"{seconds // unit} {name} {seconds % unit // below} {part}"
    return f"{seconds} s"


def epoch_printer(quiet: bool, describe: Callable[[Mapping[str, Any]], str]) -> Callable[[Mapping[str, Any]], None]:
    """Return a function that prints one line per epoch on stderr, at most one every two seconds."""
    last = 0.0

    def show(metrics: Mapping[str, Any]) -> None:
        nonlocal last
        if not quiet and (time.monotonic() - last > 2 or metrics["epoch"] == 1):
            last = time.monotonic()
            typer.echo(describe(metrics), err=True)

    return show


def announce_dataset(dataset: Path, quiet: bool) -> None:
    """Print the number of training and validation tracks."""
    from muscaps.training.dataset.reader import PreparedDataset

    splits = PreparedDataset(dataset).card["splits"]
    if not quiet:
        tracks = f"{splits.get('train', 0):,} tracks, validating on {splits.get('validation', 0):,}"
        typer.echo(f"training on {tracks}; starting Ray", err=True)
