"""`--address`: what cannot work is refused at once, with the command to type instead."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from jobs.cli import app
from jobs.submission import prepare as prepare_submission

COMMANDS = {
    "caption": ["caption", "s3://b/my tracks.csv", "s3://b/out", "--beam-size", "3"],
    "retry": ["retry", "s3://b/tracks.csv", "s3://b/out"],
    "search": ["search", "s3://b/out", "dark pads"],
    "train": ["train", "data", "out", "--scratch"],
    "pretrain": ["pretrain", "data", "out"],
    "experiment": ["experiment", "data", "out"],
    "dataset prepare": ["dataset", "prepare", "pairs.csv", "out"],
    "bench": ["bench", "tracks.csv"],
}


def output_of(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, list(arguments))
    return done.exit_code, done.output


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_ray_client_is_refused_with_the_command_to_type(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    status, text = output_of(*command, "--address", "ray://head:10001")
    quoted = " ".join(f"'{word}'" if " " in word else word for word in command)
    assert status == 2
    assert text == (
        "muscaps: ray://head:10001: Ray Data does not run through Ray Client; type instead: "
        f"muscaps submit --address http://head:8265 -- {quoted}\n"
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("address", "server"),
    [
        ("ray://10.0.0.7:10001", "http://10.0.0.7:8265"),
        ("ray://[::1]:10001", "'http://[::1]:8265'"),
        ("ray://head", "http://head:8265"),
        ("ray://", "http://HOST:8265"),
        ("http://head:9000/", "http://head:9000"),
        ("https://ray.example.org", "https://ray.example.org"),
    ],
)
def test_the_job_server_is_that_of_the_address(address: str, server: str) -> None:
    for option in ([f"--address={address}"], ["--address", address]):
        status, text = output_of("caption", *option, "in", "out")
        assert status == 2
        assert text.endswith(f"; type instead: muscaps submit --address {server} -- caption in out\n")


def test_auto_is_refused_if_the_environment_names_ray_client(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "ray://head:10001")
    status, text = output_of("caption", "in", "out", "--address", "auto")
    assert status == 2
    assert text.endswith("type instead: muscaps submit --address http://head:8265 -- caption in out\n")


@pytest.mark.parametrize("address", ["head", "head:", "head:port", ":6379", "a head:6379", ""])
def test_an_address_without_host_or_port_is_wrong_usage(address: str) -> None:
    status, text = output_of("caption", "in", "out", "--address", address)
    assert (status, text) == (
        2,
        f"muscaps: {address} is not the address of a Ray cluster: write HOST:6379 or auto\n".replace(":  ", ": "),
    )


def test_a_submitted_command_needs_no_address() -> None:
    from typer.main import get_command

    with pytest.raises(ValueError, match="leave out --address"):
        prepare_submission(["caption", "s3://b/l.csv", "s3://b/o", "--address", "ray://head:10001"], get_command(app))
