"""A cluster that cannot be reached is reported at once."""

import socket

import pytest
from typer.testing import CliRunner

from jobs.cli import app


@pytest.fixture
def unused_address() -> str:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{server.getsockname()[1]}"


def test_a_cluster_that_does_not_answer_is_one_line_and_status_1(tmp_path, unused_address):
    (tmp_path / "pairs.csv").write_text("uri,caption\na.wav,a slow tune for harp\n")
    command = ["dataset", "prepare", str(tmp_path / "pairs.csv"), str(tmp_path / "out"), "--address", unused_address]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 1
    assert done.output.startswith(f"muscaps: no Ray cluster answers at {unused_address}: ")
    assert done.output.count("\n") == 1
