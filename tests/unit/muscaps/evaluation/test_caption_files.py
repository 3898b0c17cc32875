"""Files of captions, read and scored by `muscaps evaluate --captions`. No Java needed."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from jobs.cli import app
from muscaps.evaluation import caption_metrics
from muscaps.evaluation.caption_files import read_captions


@pytest.fixture(autouse=True)
def _no_java(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caption_metrics, "find_java", lambda: None)


def write_lines(path: Path, *rows: object) -> Path:
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


def test_a_file_of_captions_is_scored_as_json(tmp_path: Path) -> None:
    path = write_lines(
        tmp_path / "captions.jsonl",
        {"prediction": "calm calm piano", "references": ["Calm piano.", "Soft piano"]},
        "",
        {"prediction": "loud rock", "references": ["loud rock"]},
    )
    training = write_lines(tmp_path / "training.txt", "Loud rock.")
    result = CliRunner().invoke(
        app,
        [
            *("evaluate", "--captions", str(path), "--json", "--training-captions", str(training)),
            *("--per-caption", str(tmp_path / "each.jsonl")),
        ],
    )
    assert result.exit_code == 0, result.output
    scores = json.loads(result.stdout)
    assert set(caption_metrics.METRICS) <= set(scores)
    assert scores["meteor"] is None
    assert "Java" in scores["missing"]["meteor"]
    assert scores["bleu_1"] == pytest.approx(4 / 5)
    assert scores["num_captions"] == 2
    assert scores["statistics"]["captions_with_repetition"] == 0.5
    assert scores["statistics"]["novel_captions"] == 0.5
    each = [json.loads(line) for line in (tmp_path / "each.jsonl").read_text().splitlines()]
    assert each[1]["rouge_l"] == 1
    assert each[1]["prediction"] == "loud rock"


def test_printed_tables_show_scores_times_100(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "captions.jsonl", {"prediction": "a b c d e", "references": ["a b c d e"]})
    result = CliRunner().invoke(app, ["evaluate", "--captions", str(path)])
    assert result.exit_code == 0
    assert "BLEU-4" in result.stdout
    assert "100.0" in result.stdout
    assert "METEOR missing: METEOR needs Java" in result.stdout


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("{oops", "line 2: not JSON"),
        ({"references": ["a"]}, 'line 2: needs "prediction"'),
        ({"prediction": "a", "references": []}, 'line 2: needs "references"'),
        ({"prediction": "a", "references": "a"}, 'line 2: needs "references"'),
        ([1], 'line 2: needs "prediction"'),
    ],
)
def test_an_unusable_line_is_named(tmp_path: Path, line: object, complaint: str) -> None:
    path = write_lines(tmp_path / "captions.jsonl", {"prediction": "a", "references": ["a"]}, line)
    with pytest.raises(ValueError, match=complaint):
        read_captions(path)
    result = CliRunner().invoke(app, ["evaluate", "--captions", str(path)])
    assert result.exit_code == 2
    assert complaint in result.stderr
    assert "Traceback" not in result.stderr


def test_a_line_separator_inside_a_caption_splits_nothing(tmp_path: Path) -> None:
    path = tmp_path / "captions.jsonl"
    path.write_text(
        json.dumps({"prediction": "a\u2028b", "references": ["a\x85b"]}, ensure_ascii=False) + "\n",
        encoding="utf-8",
    )
    assert read_captions(path) == (["a\u2028b"], [["a\x85b"]])


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "nothing to evaluate"),
        (["data"], "nothing to evaluate"),
        (["data", "model", "--captions", "x.jsonl"], "not both"),
        (["--captions", "absent.jsonl"], "absent.jsonl: No such file"),
        (["absent", "model"], "model"),
        (["data", "model", "--split", "dev"], "split must be one of"),
        (["data", "model", "--beam-size", "0"], "beam_size"),
        (["data", "model", "--convention", "coco"], "--convention"),
    ],
)
def test_bad_arguments_are_refused_in_one_line(arguments: list[str], complaint: str) -> None:
    result = CliRunner().invoke(app, ["evaluate", *arguments])
    assert result.exit_code == 2
    assert complaint in result.stderr
    assert result.stderr.count("\n") == 1
