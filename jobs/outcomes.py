"""Exit statuses, and errors as one line on stderr."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer

DONE, FAILED, USAGE, FAILED_TRACKS, DRAINED = 0, 1, 2, 3, 75

_WRONG_PLACE = ("not_found", "no_bucket", "bad_uri", "unsupported")
"""Types of `StorageError` that a wrong argument causes."""


@contextmanager
def explained() -> Iterator[None]:
    """Turn an expected error into one line on stderr: exit 2 for wrong usage, 1 for a failed job."""
    try:
        yield
    except typer.Exit:  # a subclass of RuntimeError
        raise
    except Exception as error:
        if _is_ray_error(error):
            request = _bad_request(error)
            raise (refused(_ray_error_line(error), FAILED) if request is None else refused(str(request))) from None
        if isinstance(error, ValueError | ImportError):
            raise refused(str(error)) from None
        if isinstance(error, OSError | RuntimeError):
            wrong_place = getattr(error, "error_type", None) in _WRONG_PLACE
            raise refused(str(error), USAGE if wrong_place else FAILED) from None
        raise


@contextmanager
def resumable() -> Iterator[None]:
    """After Ctrl-C, report that finished work is kept; exit 75."""
    try:
        yield
    except KeyboardInterrupt:
        raise refused("interrupted; the same command continues from the finished work", DRAINED) from None


def refused(message: str, status: int = USAGE) -> typer.Exit:
    """Print the message on stderr; return the exception to raise."""
    typer.echo(f"muscaps: {message}", err=True)
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
    text = " ".join(str(deepest).split()) or type(deepest).__name__
    short = text if len(text) <= 300 else f"{text[:300]}..."
    return f"Ray failed: {short} The same command can be repeated."
