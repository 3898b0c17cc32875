"""Exit statuses, and errors as one line on stderr: no exception is shown as a stack trace."""

import os
import select
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import typer

from jobs.error_report import report_unexpected, shortened

DONE, FAILED, USAGE, FAILED_TRACKS, DRAINED, INTERRUPTED = 0, 1, 2, 3, 75, 130

_CLICK_ERROR: Any = typer.BadParameter.__mro__[2]  # ClickException, of click or of the copy of it in Typer
_HANDLED_BY_TYPER = (typer.Exit, typer.Abort, _CLICK_ERROR)

_ALWAYS_UNEXPECTED = (NotImplementedError, RecursionError)
"""Subclasses of expected errors that only a mistake in a program raises."""
_WRONG_PLACE = ("not_found", "no_bucket", "bad_uri", "unsupported")
"""Types of `StorageError` that a wrong argument causes."""


@contextmanager
def explained() -> Iterator[None]:
    """Turn an error into one line on stderr: exit 2 for wrong usage, 1 for a failed job or an unexpected error."""
    try:
        yield
    except _HANDLED_BY_TYPER:
        raise
    except Exception as error:
        if is_closed_output(error):
            raise
        if _is_ray_error(error):
            request = _bad_request(error)
            raise (refused(_ray_error_line(error), FAILED) if request is None else refused(str(request))) from None
        if not isinstance(error, _ALWAYS_UNEXPECTED) and str(error):
            if isinstance(error, ValueError | ImportError):
                raise refused(str(error)) from None
            if isinstance(error, OSError | RuntimeError):
                wrong_place = getattr(error, "error_type", None) in _WRONG_PLACE
                raise refused(str(error), USAGE if wrong_place else FAILED) from None
        raise refused(report_unexpected(error), FAILED) from None


@contextmanager
def without_stack_trace() -> Iterator[None]:
    """Handle what leaves a command: as `explained` does, and Ctrl-C, a closed pipe, and panics of native code."""
    try:
        with explained():
            yield
    except KeyboardInterrupt:
        raise refused("interrupted", INTERRUPTED) from None
    except BaseException as error:
        if is_closed_output(error):
            _discard_output()
            raise typer.Exit(FAILED) from None
        if isinstance(error, (*_HANDLED_BY_TYPER, SystemExit)):
            raise
        raise refused(report_unexpected(error), FAILED) from None


def is_closed_output(error: BaseException) -> bool:
    """Whether an error means that the reader of stdout has ended, as in `muscaps status out/ | head -1`."""
    if not isinstance(error, BrokenPipeError):
        return False
    poll = select.poll()
    try:
        poll.register(sys.stdout.fileno(), 0)
    except (OSError, ValueError):  # stdout is no file
        return False
    return bool(poll.poll(0))  # POLLERR or POLLHUP


def flush_output() -> int | None:
    """Write what stdout has buffered; return an exit status if that fails."""
    try:
        sys.stdout.flush()
    except OSError as error:
        closed = isinstance(error, BrokenPipeError)
        _discard_output()
        if not closed:
            refused(f"stdout: {error}", FAILED)
        return FAILED
    except ValueError:  # closed already
        pass
    return None


def report_thread_error(arguments: threading.ExceptHookArgs) -> None:
    """Report an exception that ended a thread in one line; for `threading.excepthook`."""
    if arguments.exc_value is not None and not isinstance(arguments.exc_value, SystemExit):
        refused(report_unexpected(arguments.exc_value), FAILED)


def _discard_output() -> None:
    """Connect stdout to the null device, so that nothing fails when Python flushes it at exit."""
    with suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)


@contextmanager
def resumable() -> Iterator[None]:
    """After Ctrl-C, report that finished work is kept; exit 75."""
    try:
        yield
    except KeyboardInterrupt:
        raise refused("interrupted; the same command continues from the finished work", DRAINED) from None


def refused(message: str, status: int = USAGE) -> typer.Exit:
    """Print the message in one line on stderr; return the exception to raise."""
    line = " ".join(part.strip() for part in message.splitlines() if part.strip())
    with suppress(OSError):  # stderr is closed
        typer.echo(f"muscaps: {line}", err=True)
    return typer.Exit(status)


def _is_ray_error(error: Exception) -> bool:
    """Return whether Ray or Ray Train raised the error, without importing them."""
    bases = (("ray.exceptions", "RayError"), ("ray.train", "TrainingFailedError"))
    known = [getattr(sys.modules.get(module), name, None) for module, name in bases]
    return isinstance(error, tuple(base for base in known if base is not None))


def _causes(error: Exception) -> Iterator[Exception]:
    """Yield an error and its causes: failures of workers and controller, Python's exception chain."""
    pending: list[Any] = [error]
    seen: set[int] = set()
    while pending:
        current = pending.pop(0)
        if not isinstance(current, Exception) or id(current) in seen:
            continue
        seen.add(id(current))
        yield current
        pending += getattr(current, "worker_failures", {}).values()
        names = ("controller_failure", "health_check_failure", "cause", "_base_exc", "__cause__")
        pending += [getattr(current, name, None) for name in names]


def _bad_request(error: Exception) -> ValueError | None:
    """Return the ValueError that stopped the workers, else None."""
    # A RayTaskError has the class of its cause, and its text is a stack trace.
    causes = (cause for cause in _causes(error) if isinstance(cause, ValueError) and not _is_ray_error(cause))
    return next(causes, None)


def _ray_error_line(error: Exception) -> str:
    """Return the deepest cause in one line; Ray's own messages are several pages long."""
    *_, deepest = _causes(error)
    return f"Ray failed: {shortened(str(deepest)) or type(deepest).__name__} The same command can be repeated."
