"""How a command ends: its exit status, and one line on stderr where it could not do what was asked."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer

DONE, FAILED, USAGE, FAILED_TRACKS, DRAINED = 0, 1, 2, 3, 75

_WRONG_PLACE = ("not_found", "no_bucket", "bad_uri", "unsupported")
"""Kinds of `StorageError` that the caller's arguments are to blame for."""


@contextmanager
def explained() -> Iterator[None]:
    """Turn a refusal into one line on stderr: exit 2 for a bad request, 1 for work that cannot go on."""
    try:
        yield
    except typer.Exit:  # a RuntimeError by descent
        raise
    except Exception as error:
        if _is_of_ray(error):
            request = _bad_request(error)
            raise (refused(_trouble_of_ray(error), FAILED) if request is None else refused(str(request))) from None
        if isinstance(error, ValueError | ImportError):
            raise refused(str(error)) from None
        if isinstance(error, OSError | RuntimeError):
            wrong_place = getattr(error, "error_type", None) in _WRONG_PLACE
            raise refused(str(error), USAGE if wrong_place else FAILED) from None
        raise


@contextmanager
def resumable() -> Iterator[None]:
    """Say after Ctrl-C that what is finished is kept; exit 75."""
    try:
        yield
    except KeyboardInterrupt:
        raise refused("interrupted; the same command goes on from what is finished", DRAINED) from None


def refused(message: str, status: int = USAGE) -> typer.Exit:
    """Say why on stderr; return what to raise."""
    typer.echo(f"muscaps: {message}", err=True)
    return typer.Exit(status)


def _is_of_ray(error: Exception) -> bool:
    """Whether Ray or Ray Train raised it; neither is imported to find out."""
    bases = (("ray.exceptions", "RayError"), ("ray.train", "TrainingFailedError"))
    known = [getattr(sys.modules.get(module), name, None) for module, name in bases]
    return isinstance(error, tuple(base for base in known if base is not None))


def _causes(error: Exception) -> Iterator[Exception]:
    """An error and what it came from: workers' failures, the controller's, Python's own chain."""
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
    """The ValueError that the workers stopped at, if that is what happened."""
    # A RayTaskError takes on the class of its cause, and its text is a stack trace.
    causes = (cause for cause in _causes(error) if isinstance(cause, ValueError) and not _is_of_ray(cause))
    return next(causes, None)


def _trouble_of_ray(error: Exception) -> str:
    """What happened, in one line: Ray's own messages run to pages."""
    *_, deepest = _causes(error)
    text = " ".join(str(deepest).split()) or type(deepest).__name__
    short = text if len(text) <= 300 else f"{text[:300]}..."
    return f"Ray could not go on: {short} The same command may be tried again."
