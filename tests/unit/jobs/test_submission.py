"""Submitted commands: their uploads and entrypoint, and what is rejected without a cluster."""

import os
import shlex
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from unittest.mock import patch

import pytest
import typer
from typer.testing import CliRunner

from jobs import submission as submission_module
from jobs.cli import app
from jobs.job_server import job_environment
from jobs.submission import Submission


@pytest.fixture(autouse=True)
def _unchanged_environment() -> Iterator[None]:
    """Undo what a connection to a job server sets: RAY_AUTH_MODE would apply to every Ray started later."""
    with patch.dict(os.environ):
        yield


def prepare(arguments: list[str], **options: bool) -> Submission:
    return submission_module.prepare(arguments, typer.main.get_command(app), **options)


def words(entrypoint: str) -> list[str]:
    assert entrypoint.startswith("exec ")
    return shlex.split(entrypoint)[1:]


def test_a_command_on_buckets_is_unchanged_and_joins_the_cluster() -> None:
    submission = prepare(["caption", "s3://b/list.csv", "s3://b/out put", "--beam-size", "3"])
    assert words(submission.entrypoint) == [
        "muscaps", "caption", "--address", "auto", "s3://b/list.csv", "s3://b/out put", "--beam-size", "3",
    ]  # fmt: skip
    assert submission.uploads == {}


def test_a_given_address_is_the_only_one() -> None:
    submission = prepare(["caption", "s3://b/list.csv", "s3://b/out", "--address", "head:6379"])
    assert words(submission.entrypoint).count("--address") == 1


def test_local_inputs_are_uploaded(tmp_path: Path) -> None:
    catalogue, checkpoint = tmp_path / "my list.csv", tmp_path / "model"
    catalogue.write_text("uri\ns3://b/a.mp3\n")
    checkpoint.mkdir()
    (checkpoint / "model_card.json").write_text("{}")
    submission = prepare(["caption", str(catalogue), "s3://b/out", "--checkpoint", str(checkpoint)])
    command = words(submission.entrypoint)
    assert {Path(name).name: path for name, path in submission.uploads.items()} == {
        "my list.csv": catalogue, "model": checkpoint,
    }  # fmt: skip
    assert set(submission.uploads) <= set(command)
    assert str(tmp_path) not in submission.entrypoint


def test_a_path_after_an_equals_sign_is_uploaded(tmp_path: Path) -> None:
    checkpoint = tmp_path / "model"
    checkpoint.mkdir()
    submission = prepare(["caption", "s3://b/l.csv", "s3://b/out", f"--checkpoint={checkpoint}", "--json"])
    assert words(submission.entrypoint)[-2:] == ["--checkpoint=inputs/0/model", "--json"]


def test_a_command_of_two_words_joins_the_cluster_after_both(tmp_path: Path) -> None:
    pairs = tmp_path / "pairs.csv"
    pairs.write_text("uri,caption\n")
    submission = prepare(["dataset", "prepare", str(pairs), "data"], paths_are_shared=True)
    assert words(submission.entrypoint)[:5] == ["muscaps", "dataset", "prepare", "--address", "auto"]


def test_shared_paths_become_absolute_and_nothing_is_uploaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "list.csv").write_text("uri\n")
    submission = prepare(["caption", "list.csv", "out"], paths_are_shared=True)
    assert submission.uploads == {}
    assert words(submission.entrypoint)[-2:] == [str(tmp_path / "list.csv"), str(tmp_path / "out")]


def test_this_machines_code_can_be_uploaded() -> None:
    submission = prepare(["verify", "s3://b/list.csv", "s3://b/out"], with_code=True)
    assert set(submission.uploads) == {"muscaps", "pipeline", "jobs"}
    assert words(submission.entrypoint)[:3] == ["python", "-c", "from jobs.cli import main; main()"]


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["capton", "a", "b"], "capton is not a command for a cluster; write one of these after --: bench, caption"),
        (["submit", "--", "caption"], "submit is not a command for a cluster"),
        (["demo"], "demo is not a command for a cluster"),
        (["checkpoint", "nothing"], "checkpoint nothing is not a command"),
        (["caption", "s3://b/list.csv"], "caption: Missing argument 'OUTPUT'"),
        (["caption", "s3://b/l.csv", "s3://b/o", "--beam", "5"], "No such option: --beam"),
        (["caption", "s3://b/l.csv", "s3://b/o", "--beam-size", "five"], "caption: Invalid value for '--beam-size'"),
        (["caption", "s3://b/l.csv", "here"], "here is a folder of this machine, which the cluster cannot write"),
        (["caption", "--help"], "help is printed without a cluster"),
    ],
)
def test_an_invalid_command_is_rejected_without_a_cluster(command: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        prepare(command)
    result = CliRunner().invoke(app, ["submit", "--address", "http://127.0.0.1:1", "--", *command])
    assert result.exit_code == 2
    assert len(result.stderr.splitlines()) == 1


def test_a_folder_of_audio_is_not_uploaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobs.submission.MAX_UPLOAD_BYTES", 1000)
    (tmp_path / "a.wav").write_bytes(bytes(2000))
    with pytest.raises(ValueError, match="copy it to a bucket"):
        prepare(["caption", str(tmp_path), "s3://b/out"])


def test_an_address_without_a_job_server_is_one_line() -> None:
    result = CliRunner().invoke(
        app, ["submit", "--address", "http://127.0.0.1:1", "--", "verify", "s3://b/l.csv", "s3://b/o"]
    )
    assert result.exit_code == 1
    assert "no job server answers at http://127.0.0.1:1" in result.stderr
    assert len(result.stderr.splitlines()) == 1
    result = CliRunner().invoke(app, ["job", "list", "--address", "head:8265"])
    assert result.exit_code == 2
    assert "write http://HOST:8265" in result.stderr


def test_environment_variables_come_from_this_machine_or_the_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUSCAPS_TEST_VARIABLE", "x=1")
    assert job_environment(["MUSCAPS_TEST_VARIABLE", "OTHER=a=b", "EMPTY="]) == {
        "RAY_JOB_STOP_WAIT_TIME_S": "600", "MUSCAPS_TEST_VARIABLE": "x=1", "OTHER": "a=b", "EMPTY": "",
    }  # fmt: skip
    with pytest.raises(ValueError, match="is not set on this machine"):
        job_environment(["MUSCAPS_UNSET_VARIABLE"])


def test_the_given_job_server_is_used_whatever_the_environment_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", "http://127.0.0.1:2")
    monkeypatch.setenv("RAY_ADDRESS", "ray://127.0.0.1:3")
    with jobs_server() as (url, requests):
        CliRunner().invoke(app, ["job", "list", "--address", url])
    assert requests


@contextmanager
def jobs_server() -> Iterator[tuple[str, list[str]]]:
    """Serve 404 to every request; give the URL and the list of requested paths."""
    requests: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            requests.append(self.path)
            self.send_error(404)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", requests
        server.shutdown()
        thread.join()
