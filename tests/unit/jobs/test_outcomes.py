"""Errors end a command with one line on stderr and an exit status."""

import pytest
import ray.exceptions
import typer
from ray.train import ControllerError, WorkerGroupError

from jobs.outcomes import explained, resumable
from pipeline.storage import StorageError


def outcome_of(error: Exception, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    with pytest.raises(typer.Exit) as ended, explained():
        raise error
    return ended.value.exit_code, capsys.readouterr().err


def in_a_task(cause: Exception) -> Exception:
    """Return the error that a caller gets from a Ray task that raised `cause`."""
    error: Exception = ray.exceptions.RayTaskError("f", "Traceback: line 1\nline 2\n", cause).as_instanceof_cause()
    return error


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (ValueError("beam_size=0"), 2, "beam_size=0"),
        (ModuleNotFoundError("no symusic"), 2, "no symusic"),
        (StorageError("s3://b: no such bucket", "no_bucket"), 2, "s3://b: no such bucket"),
        (StorageError("s3://b: slow down", "throttled"), 1, "s3://b: slow down"),
        (PermissionError("out: not ours"), 1, "out: not ours"),
        (RuntimeError("another run holds it"), 1, "another run holds it"),
        (in_a_task(ValueError("num_clips=0")), 2, "num_clips=0"),
        (WorkerGroupError("rank 0:\nTraceback\n", {0: in_a_task(ValueError("no pairs"))}), 2, "no pairs"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
def test_an_expected_error_is_one_line_with_its_message(
    error: Exception, status: int, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert outcome_of(error, capsys) == (status, f"muscaps: {line}\n")


@pytest.mark.parametrize(
    "error",
    [
        ray.exceptions.ActorUnavailableError("The actor 17\nis unavailable", b"0" * 16),
        ray.exceptions.RaySystemError("The actor 17\nis unavailable"),
        ControllerError(RuntimeError("The actor 17\nis unavailable")),
        WorkerGroupError("rank 0:\nTraceback\n", {0: in_a_task(OSError("The actor 17\nis unavailable"))}),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_of_ray_is_one_line_and_status_1(error: Exception, capsys: pytest.CaptureFixture[str]) -> None:
    status, text = outcome_of(error, capsys)
    assert status == 1
    assert text.startswith("muscaps: Ray failed: ")
    assert "The actor 17 is unavailable" in text
    assert text.count("\n") == 1


def test_a_programming_error_keeps_its_stack_trace() -> None:
    with pytest.raises(KeyError), explained():
        raise KeyError("mine")


def test_an_interrupted_command_prints_how_to_continue(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as ended, explained(), resumable():
        raise KeyboardInterrupt
    assert ended.value.exit_code == 75
    assert capsys.readouterr().err == "muscaps: interrupted; the same command continues from the finished work\n"
