"""The commands and programs of README and docs run as written.

Covers: every `muscaps` line of README's own catalogue and search sections and of docs/own-catalogue.md, in order, in
one folder that holds my-music/ and tracks.csv; `s3://library` is a bucket of the loopback server. README's Python
and SQL. Cluster addresses are left out: tests/integration/test_submission.py has a cluster.
"""

import re
import shlex
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import soundfile

from muscaps.checkpoint import BUNDLED
from pipeline import storage
from tests.conftest import tones
from tests.muscaps_command import ROOT, muscaps, muscaps_in_process

DEMO = ROOT / "jobs" / "demo_tracks"
pytestmark = pytest.mark.s3


def section(page: str, heading: str) -> str:
    """A page's text under a heading, down to the next of its level."""
    text = (ROOT / page).read_text()
    level = heading.split()[0]
    [found] = re.findall(rf"^{re.escape(heading)}\n(.*?)(?=^{level} |\Z)", text, re.MULTILINE | re.DOTALL)
    return str(found)


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def lines(text: str) -> list[list[str]]:
    """The words of each `muscaps` command."""
    commands = [shlex.split(line, comments=True) for block in blocks(text, "sh") for line in block.splitlines()]
    return [words for words in commands if words[:1] == ["muscaps"]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, s3_server: Any) -> Path:
    """Make the files that the pages use: my-music/, tracks.csv, checkpoint/, track.mp3 and a bucket."""
    folder = tmp_path_factory.mktemp("newcomer")
    (folder / "my-music").mkdir()
    bucket = s3_server.create_bucket()
    (folder / "bucket").write_text(bucket)
    for n in range(3):
        file = folder / "my-music" / f"{n}.wav"
        soundfile.write(file, tones(6.0, n), 16_000)
        storage.write_once(f"{bucket}/audio/{n}.wav", file.read_bytes())
    tracks = pd.DataFrame({"track_id": ["0.wav", "1.wav", "2.wav"], "uri": [f"my-music/{n}.wav" for n in range(3)]})
    tracks.to_csv(folder / "tracks.csv", index=False)
    tracks.assign(uri=[f"audio/{n}.wav" for n in range(3)]).to_parquet(folder / "tracks.parquet")
    storage.write_once(f"{bucket}/tracks.parquet", (folder / "tracks.parquet").read_bytes())
    (folder / "music-captions").symlink_to("captions")  # both pages caption my-music/: once is enough
    (folder / "checkpoint").symlink_to(BUNDLED)
    (folder / "track.mp3").symlink_to(next(DEMO.glob("*.opus")))
    return folder


def here(words: list[str], folder: Path) -> list[str]:
    """Return the arguments of a command for this machine and the bucket instead of `s3://library`."""
    if "--address" in words:
        at = words.index("--address")
        words = words[:at] + words[at + 2 :]
    bucket = (folder / "bucket").read_text()
    return [word.replace("s3://library", bucket) for word in words[1:]]


def test_the_readmes_commands_run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    catalogue = section("README.md", "## Your own catalogue")
    for words in lines(catalogue):
        muscaps(*here(words, folder), folder=folder)
    assert (folder / "captions.csv").read_text().count("\n") == 4
    assert "<html" in (folder / "report.html").read_text()
    monkeypatch.chdir(folder)
    scope: dict[str, Any] = {}
    reading, noting = blocks(catalogue, "python")
    exec(reading, scope)
    assert len(scope["captions"]) == 3
    exec(noting, scope)
    assert len(scope["caption"].alternatives) == 3
    duckdb = pytest.importorskip("duckdb")
    [query] = blocks(catalogue, "sql")
    assert len(duckdb.sql(query.replace("-- DuckDB\n", "")).fetchall()) == 3


def test_the_readmes_search_finds_tracks(folder: Path) -> None:
    caption, search = lines(section("README.md", "## Search"))
    muscaps(*here(caption, folder), folder=folder)
    found = muscaps(*here(search, folder), folder=folder)
    assert sum(f"{n}.wav" in found.stdout for n in range(3)) == 3


def test_the_commands_of_own_catalogue_and_export_run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In this process: the tracks are captioned, so no command starts Ray."""
    monkeypatch.chdir(folder)
    pages = [(ROOT / "docs" / name).read_text() for name in ("own-catalogue.md", "export.md")]
    for words in [words for page in pages for words in lines(page)]:
        muscaps_in_process(*here(words, folder))
    assert len(list((folder / "tagged").glob("*.wav"))) == 3
    assert len(list((folder / "sidecars").glob("*.caption.json"))) == 3
    assert (folder / "my-music" / "metadata.jsonl").read_text().count('"file_name"') == 3
