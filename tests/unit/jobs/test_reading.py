"""The commands that read an output: output, errors and exit statuses."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from jobs.cli import app
from tests.finished_output import caption_row, failure_row, write_captions, write_failures, write_run


def muscaps(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def output(tmp_path: Path) -> Path:
    write_captions(tmp_path / "output", [caption_row(n) for n in range(7)])
    return tmp_path / "output"


def test_export_prints_the_number_of_tracks(output: Path, tmp_path: Path) -> None:
    file = tmp_path / "captions.jsonl"
    result = muscaps("export", output, file, "--json", "--columns", "track_id, caption", "--max-chars", 10)
    assert result.exit_code == 0
    assert json.loads(result.stdout)["rows"] == 7
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    assert list(rows[0]) == [
        "track_id",
        "caption",
        "reviewed_by_human",
        "description_ai_generated",
        "description_model",
    ]
    assert all(row["caption"] is None for row in rows)  # no sentence is that short


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["x.xlsx"], "must end in .csv, .jsonl or .parquet"),
        (["x.csv", "--columns", "nonsense"], "no column 'nonsense'"),
        (["x.csv", "--model", "nobody"], "no rows of model 'nobody'"),
        (["folder", "--tags", "everything"], "sidecars, copies or originals"),
        (["folder", "--tags", "copies", "--audiofolder"], "leave out --audiofolder"),
    ],
)
def test_an_invalid_export_is_one_line_and_exit_2(
    output: Path, tmp_path: Path, arguments: list[str], message: str
) -> None:
    result = muscaps("export", output, tmp_path / arguments[0], *arguments[1:])
    assert result.exit_code == 2
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_an_output_without_captions_names_the_command_that_makes_them(tmp_path: Path) -> None:
    result = muscaps("export", tmp_path, tmp_path / "x.csv")
    assert result.exit_code == 2
    assert "run `muscaps caption CATALOGUE OUTPUT` first" in result.stderr


def test_tracks_without_audio_are_named_and_exit_3(output: Path, tmp_path: Path) -> None:
    write_captions(output, [caption_row(9, uri=str(tmp_path / "gone.mp3"))], "part-b.parquet")
    result = muscaps("export", output, tmp_path / "log", "--tags", "originals", "--json")
    assert result.exit_code == 3
    assert json.loads(result.stdout)["written"] == 0
    assert "t000009" in result.stderr


def test_the_report_is_in_the_output_and_failures_are_printed(output: Path) -> None:
    write_failures(output, [failure_row(1)])
    result = muscaps("report", output, "--spectrograms", 0)
    assert result.exit_code == 0
    assert "7 captioned, 1 without a caption" in result.stdout
    assert "fetch/forbidden" in result.stdout
    assert (output / "report.html").exists()
    figures = json.loads(muscaps("report", output, "--spectrograms", 0, "--json").stdout)
    assert (figures["tracks"], figures["failed"]) == (7, 1)


def test_a_report_of_a_folder_without_a_run_is_rejected(tmp_path: Path) -> None:
    result = muscaps("report", tmp_path)
    assert result.exit_code == 2
    assert "neither captions nor failures" in result.stderr


def test_status_prints_reasons_and_cost(output: Path) -> None:
    write_run(
        output, status="finished", to_do=80, captioned=72, failed=8, left=0, startup_seconds=20.0, wall_seconds=100.0,
        ended_at="2026-11-22T21:32:00+00:00", failures_by_reason={"decode/not_audio": 8},
    )  # fmt: skip
    found = json.loads(muscaps("status", output, "--hourly-price", 3.6, "--json").stdout)
    assert found["tracks_per_second"] == 0.8
    assert found["cost_per_1000_tracks"] == 1.25  # 1,250 s of a cluster at 0.001 a second, start-up included
    shown = muscaps("status", output, "--hourly-price", 3.6).stdout
    assert "8 x decode/not_audio" in shown
    assert "0.1 in all at 3.6 an hour, start-up included: 1.25 for 1,000 tracks" in shown


def test_status_counts_tracks_that_are_hardly_music(output: Path) -> None:
    write_run(
        output, status="done", to_do=80, captioned=80, failed=0, left=0, startup_seconds=20.0, wall_seconds=100.0,
        ended_at="2026-11-22T21:32:00+00:00", not_music=3,
    )  # fmt: skip
    assert "3 probably speech or noise, not music" in muscaps("status", output).stdout


def test_status_names_damaged_files(output: Path) -> None:
    tracks = [{"track_id": f"t{number}", "damage": "the file ends early"} for number in range(12)]
    write_run(
        output, status="done", to_do=80, captioned=80, failed=0, left=0, startup_seconds=20.0, wall_seconds=100.0,
        ended_at="2026-11-22T21:32:00+00:00", damaged=12, damaged_tracks=tracks,
    )  # fmt: skip
    shown = muscaps("status", output).stdout
    assert "12 captioned from damaged files" in shown
    assert shown.count("the file ends early") == 10
    assert json.loads(muscaps("status", output, "--json").stdout)["damaged_tracks"] == tracks
