"""Documented commands exist with their options and are run by a test or marked; queries run; links exist."""

import re
import shlex
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import typer

from jobs.cli import app
from muscaps.checkpoint import BUNDLED, load_checkpoint
from pipeline.output.schema import CAPTION_SCHEMA, FAILURE_SCHEMA, FEATURE_SCHEMA, REVIEW_SCHEMA
from pipeline.reading.search.query_text import parse_query
from pipeline.reading.search.terms import search_terms
from tests.finished_output import caption_row, failure_row, write_captions, write_failures, write_features

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(page: Path, language: str) -> list[tuple[str, bool]]:
    """(text, marked as not run) of every fenced block in a language."""
    pattern = rf"(<!-- not run: [^>]+ -->\n)?^```{language}\n(.*?)^```$"
    return [(text, bool(mark)) for mark, text in re.findall(pattern, page.read_text(), re.MULTILINE | re.DOTALL)]


def commands() -> list[tuple[str, str, bool]]:
    """(page, command, marked as not run) of each `muscaps` line, what follows `submit --` as one of its own."""
    found = []
    for page in PAGES:
        for text, marked in blocks(page, "sh"):
            for line in text.replace("\\\n", " ").splitlines():
                words = line.split("#")[0].strip()
                whole, _, inner = words.partition(" -- ")
                for one in (whole, f"muscaps {inner}" if inner else ""):
                    if one.startswith("muscaps "):
                        found.append((page.name, one, marked))
    return found


@pytest.mark.parametrize(("page", "line"), [(page, line) for page, line, _ in commands()])
def test_a_documented_command_exists_with_its_options(page: str, line: str) -> None:
    arguments = shlex.split(line)[1:]
    command: Any = typer.main.get_command(app)
    while hasattr(command, "commands"):
        assert arguments[0] in command.commands, f"{page}: {line}"
        command, arguments = command.commands[arguments[0]], arguments[1:]
    if command.name == "submit":
        arguments = [*arguments, "verify"]
    command.make_context("muscaps", arguments)  # raises on an unknown option or a missing argument


RUN_BY = {
    "caption": "integration/test_documented_commands.py",
    "verify": "integration/test_documented_commands.py",
    "status": "integration/test_documented_commands.py",
    "retry": "integration/test_documented_commands.py",
    "compact": "integration/test_documented_commands.py",
    "export": "integration/test_documented_commands.py",
    "report": "integration/test_documented_commands.py",
    "search": "integration/test_documented_commands.py",
    "review sample": "integration/test_review_page.py",
    "review apply": "integration/test_review_page.py",
    "review score": "integration/test_review_page.py",
    "submit": "integration/test_submission.py",
    "job list": "integration/test_submission.py",
    "job logs": "integration/test_submission.py",
    "job stop": "integration/test_submission.py",
    "bench": "integration/test_benchmark.py",
    "experiment": "integration/test_experiment.py",
    "corpus render": "integration/test_training_commands.py",
    "dataset prepare": "integration/test_training_commands.py",
    "pretrain": "integration/test_training_commands.py",
    "train": "integration/test_training_commands.py",
    "evaluate": "unit/muscaps/evaluation/test_split_evaluation.py",
    "checkpoint import": "unit/muscaps/test_checkpoint.py",
    "checkpoint show": "unit/muscaps/test_checkpoint.py",
}
"""The test that runs a documented command: test_documented_commands.py as written, the others on small inputs."""


def test_every_documented_command_is_run_by_a_test_or_marked() -> None:
    for page, line, marked in commands():
        if not marked:
            words = shlex.split(line)[1:]
            name = next((known for known in (" ".join(words[:2]), words[0]) if known in RUN_BY), None)
            assert name, f"{page}: no test is known to run {line!r}"
            test = (ROOT / "tests" / RUN_BY[name]).read_text()
            assert f'"{name.split()[-1]}"' in test or "def lines(" in test, f"{RUN_BY[name]} does not run {name}"
    for page in PAGES:
        for text, marked in blocks(page, "sh"):
            others = [line for line in text.splitlines() if line and not line.startswith(("muscaps ", "make ", "#"))]
            assert marked or not others, f"{page.name}: mark why no test runs {others}"


def test_the_bundled_model_understands_every_documented_search() -> None:
    checkpoint = load_checkpoint(BUNDLED)
    assert checkpoint.tagger is not None
    queries = [(page, shlex.split(line)[3]) for page, line, _ in commands() if line.startswith("muscaps search ")]
    assert len(queries) > 3
    for page, query in queries:
        if not query.startswith("--"):
            found = search_terms(parse_query(query, ()), checkpoint.vocabulary, checkpoint.tagger.names)
            assert not found.unknown, f"{page}: {query}"


def test_the_pages_have_commands() -> None:
    assert len(commands()) > 25


@pytest.fixture
def output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """captions/ in the working folder, named as in the pages: 12 tracks, one captioned twice, one failed."""
    import numpy as np

    folder = tmp_path / "captions"
    segments = [{"start_s": 0.0, "end_s": 30.0, "caption": "sparse piano", "log_prob": -3.0}]
    alternatives = [{"caption": "another", "log_prob": -9.0}]
    evidence = [{"word": "cello", "tag": "strings", "score": 0.4}, {"word": "dark", "tag": "dark", "score": 0.7}]
    columns = {"segments": segments, "alternatives": alternatives, "evidence": evidence}
    write_captions(folder, [caption_row(n, **columns) for n in range(12)], "a.parquet")
    newer = caption_row(3, caption="the newer one", created_at=caption_row(99)["created_at"])
    write_captions(folder, [newer], "b.parquet")
    write_failures(folder, [failure_row(n) for n in range(5)])
    write_features(folder, {"t000001": np.ones((4, 753))})
    monkeypatch.chdir(tmp_path)
    return folder


def test_documented_python_runs_and_takes_the_newest(output: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scope: dict[str, Any] = {}
    ran = 0
    for text, marked in blocks(ROOT / "docs" / "reading-the-output.md", "python"):
        if not marked:
            exec(text, scope)
            ran += 1
    assert ran == 4
    newest = scope["newest"].set_index("track_id")
    assert len(newest) == 12
    assert newest.loc["t000003", "caption"] == "the newer one"
    assert scope["segments"]["caption"].tolist() == ["sparse piano"] * 11
    assert sorted(scope["claims"]["score"]) == [0.4] * 11 + [0.7] * 11
    assert scope["array"].shape == (4, 753)


def test_documented_sql_runs_and_takes_the_newest(output: Path) -> None:
    duckdb = pytest.importorskip("duckdb")
    queries = [text for text, _ in blocks(ROOT / "docs" / "reading-the-output.md", "sql")]
    newest, failures, alternatives = (duckdb.sql(query).df() for query in queries)
    assert len(newest) == 12
    assert newest.set_index("track_id").loc["t000003", "caption"] == "the newer one"
    assert failures["attempts"].sum() == 5
    assert (alternatives["caption"] == "another").sum() == 12


def test_the_output_has_types_that_spark_reads(output: Path) -> None:
    table = pq.read_table(output / "captions", schema=pa.schema([*CAPTION_SCHEMA]))
    assert table.schema.field("created_at").type == pa.timestamp("us", tz="UTC")
    file = pq.ParquetFile(output / "captions" / "a.parquet")
    times = file.schema.column(file.schema.names.index("created_at"))
    assert not any(pa.types.is_float16(getattr(kind, "value_type", kind)) for kind in table.schema.types)
    assert times.physical_type == "INT64"  # microseconds; Spark cannot read nanoseconds
    assert pd.read_parquet(output / "captions").shape[0] == 13


def test_links_exist() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
        for target in re.findall(r"`((?:infra|docs|muscaps|pipeline|jobs|tests)/[\w/.-]+\.\w+)`", page.read_text()):
            assert (ROOT / target).exists(), f"{page.name}: {target}"


def test_the_glossary_has_every_output_column() -> None:
    text = (ROOT / "docs" / "glossary.md").read_text()
    columns = {
        name for schema in (CAPTION_SCHEMA, FAILURE_SCHEMA, FEATURE_SCHEMA, REVIEW_SCHEMA) for name in schema.names
    }
    assert [name for name in sorted(columns) if f"`{name}`" not in text] == []


def test_every_page_is_listed_by_reader() -> None:
    text = (ROOT / "docs" / "README.md").read_text()
    assert [page.name for page in PAGES if page.parent.name == "docs" and f"({page.name}" not in text] == ["README.md"]
