"""Commands name the packages that they need and that are not installed, before they start."""

from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest
from typer.testing import CliRunner

from jobs import extras
from jobs.cli import app
from tests.finished_output import caption_row, write_captions


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """An installation without extras."""

    def found(name: str) -> object:
        if name in ("mutagen", "pycocoevalcap", "matplotlib", "scipy", "symusic"):
            raise PackageNotFoundError(name)
        return distribution(name)

    monkeypatch.setattr(extras, "distribution", found)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["corpus", "render", "OUT"], "corpus render needs packages that are not installed (extra 'corpus')"),
        (["evaluate", "--captions", "none.jsonl"], "pip install 'matplotlib>=3.9' 'pycocoevalcap==1.2'"),
        (["experiment", "none", "OUT"], "extra 'evaluate'"),
        (["export", "OUTPUT", "OUT", "--tags", "copies"], "pip install 'mutagen>=1.47'"),
    ],
)  # fmt: skip
def test_a_command_without_its_extra_ends_before_it_starts(
    bare: None, tmp_path: Path, arguments: list[str], message: str
) -> None:
    write_captions(tmp_path / "captions", [caption_row(1)])
    paths = {"OUT": str(tmp_path / "out"), "OUTPUT": str(tmp_path / "captions")}
    result = CliRunner().invoke(app, [paths.get(word, word) for word in arguments])
    assert result.exit_code == 2
    assert message in result.stderr
    assert not (tmp_path / "out").exists()


def test_sidecars_need_no_extra(bare: None, tmp_path: Path) -> None:
    write_captions(tmp_path, [caption_row(1)])
    result = CliRunner().invoke(app, ["export", str(tmp_path), str(tmp_path / "s"), "--tags", "sidecars"])
    assert result.exit_code == 0


def test_installed_extras_are_found() -> None:
    for extra in ("corpus", "evaluate", "tags"):
        extras.require_extra(extra, "a command")  # type: ignore[arg-type]
