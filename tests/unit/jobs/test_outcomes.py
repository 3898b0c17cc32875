"""Errors end a command with one line on stderr and an exit status."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import ray.exceptions
import typer
from ray.train import ControllerError, WorkerGroupError
from typer.testing import CliRunner

from jobs.outcomes import explained, resumable
from jobs.program import Program
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


@pytest.fixture
def folder_of_reports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for temporary files of this test."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.mark.parametrize(
    "error",
    [KeyError("mine"), AttributeError("no\nsuch thing"), RuntimeError(), NotImplementedError("later"), MemoryError()],
    ids=repr,
)
def test_an_unexpected_error_is_one_line_that_names_the_file_of_its_stack_trace(
    error: Exception, folder_of_reports: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, text = outcome_of(error, capsys)
    [report] = folder_of_reports.iterdir()
    assert status == 1
    assert text.count("\n") == 1
    assert text.startswith(f"muscaps: unexpected {type(error).__name__}")
    assert f"its stack trace is in {report}. Please report it" in text
    assert "Traceback (most recent call last)" in report.read_text()
    assert "raise error" in report.read_text()
    assert "python: " in report.read_text()


def test_a_stack_trace_is_written_to_the_working_directory_if_there_is_no_temporary_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    _, text = outcome_of(KeyError("mine"), capsys)
    [report] = tmp_path.glob("muscaps-error-*.txt")
    assert str(report) in text


def test_a_message_of_several_lines_is_printed_in_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert outcome_of(RuntimeError("the worker\n  is gone\n"), capsys) == (1, "muscaps: the worker is gone\n")


class NativePanicError(BaseException):
    """What extensions in Rust raise."""


@pytest.mark.parametrize("error", [KeyError("mine"), NativePanicError("index out of range")], ids=repr)
def test_an_error_outside_of_a_command_s_own_handling_is_one_line(
    error: BaseException, folder_of_reports: Path
) -> None:
    done = CliRunner().invoke(program_that_raises(error), ["fail"])
    assert (done.exit_code, done.output.count("\n")) == (1, 1)
    assert done.output.startswith(f"muscaps: unexpected {type(error).__name__}: ")
    assert len(list(folder_of_reports.iterdir())) == 1


def test_ctrl_c_is_one_line_and_status_130() -> None:
    done = CliRunner().invoke(program_that_raises(KeyboardInterrupt()), ["fail"])
    assert (done.exit_code, done.output) == (130, "muscaps: interrupted\n")


def program_that_raises(error: BaseException) -> typer.Typer:
    """Return a command line with the command `fail`."""
    program = typer.Typer(cls=Program, pretty_exceptions_enable=False)

    def fail() -> None:
        raise error

    program.command()(fail)
    program.callback()(lambda: None)
    return program


PRINTING = """
import threading
from jobs import cli

def fill() -> None:
    for number in range({lines}):
        print("line", number)

def fail_in_thread() -> None:
    thread = threading.Thread(target=lambda: {{}}["mine"])
    thread.start()
    thread.join()

cli.app.command()(fill)
cli.app.command()(fail_in_thread)
cli.main()
"""


def run_program(
    command: str, stdout: int, *, lines: int = 1, unbuffered: bool = False
) -> subprocess.CompletedProcess[str]:
    """Run a command of the program that `PRINTING` extends."""
    program = [sys.executable, "-c", PRINTING.format(lines=lines), command]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[3]), "PYTHONUNBUFFERED": "1" * unbuffered}
    return subprocess.run(program, stdout=stdout, stderr=subprocess.PIPE, text=True, check=False, env=environment)


@pytest.mark.parametrize(
    ("lines", "unbuffered"),
    [(1, False), (100_000, False), (1, True)],
    ids=["written at exit", "written by the command", "unbuffered"],
)
def test_a_closed_pipe_ends_a_command_without_a_message(lines: int, unbuffered: bool) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = run_program("fill", writer, lines=lines, unbuffered=unbuffered)
    os.close(writer)
    assert (done.returncode, done.stderr) == (1, "")


def test_an_error_of_a_thread_is_one_line() -> None:
    done = run_program("fail-in-thread", subprocess.DEVNULL)
    assert done.stderr.startswith("muscaps: unexpected KeyError: 'mine'; its stack trace is in ")
    assert done.stderr.count("\n") == 1
    Path(done.stderr.partition("trace is in ")[2].partition(". Please")[0]).unlink()


def test_an_interrupted_command_prints_how_to_continue(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as ended, explained(), resumable():
        raise KeyboardInterrupt
    assert ended.value.exit_code == 75
    assert capsys.readouterr().err == "muscaps: interrupted; the same command continues from the finished work\n"
