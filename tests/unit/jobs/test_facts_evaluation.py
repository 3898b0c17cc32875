"""`muscaps evaluate --facts`: table, JSON and wrong use."""

import json

import pytest
from typer.testing import CliRunner

from jobs.cli import app

CATALOGUE = """track_id,uri,instruments,feel,genre,bpm
a,a.mp3,"Piano, Strings","Dark, Eerie",Horror,70
b,b.mp3,"Synths, Kit",Bouncy,Electronica,140
"""
CAPTIONS = [
    {
        "track_id": "a",
        "caption": "Dark, slow horror theme for piano and piano",
        "tags": [{"facet": "mood", "tag": "dark", "score": 0.9}],
    },
    {"track_id": "b", "caption": "Fast electronica with synths and flute", "tags": []},
]


@pytest.fixture
def files(tmp_path):
    catalogue, captions = tmp_path / "catalogue.csv", tmp_path / "captions.jsonl"
    catalogue.write_text(CATALOGUE)
    captions.write_text("".join(json.dumps(row) + "\n" for row in CAPTIONS))
    return [str(catalogue), str(captions)]


def evaluate(*arguments):
    return CliRunner().invoke(app, ["evaluate", *arguments])


def test_json_holds_every_facet(files):
    result = evaluate("--facts", *files, "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert (found["num_tracks"], found["repeated_word_captions"]) == (2, 1)
    # Claimed: piano; synth (twice, by "electronica" and "synths") and woodwind.
    assert found["instrument_family"]["precision"] == pytest.approx(2 / 3)
    assert (found["mood"]["recall"], found["tempo"]["precision"]) == (0.5, 1.0)
    assert found["calibration"]["mood"]["expected_calibration_error"] == pytest.approx(0.1)


def test_the_table_names_facets_phrases_and_language(files):
    result = evaluate("--facts", *files)
    assert result.exit_code == 0, result.output
    assert "instrument families" in result.stdout
    assert "a content word twice: 1" in result.stdout
    assert "calibration error" in result.stdout


def test_captions_must_be_given(files):
    result = evaluate("--facts", files[0])
    assert result.exit_code == 2
    assert "--facts CATALOGUE needs CAPTIONS" in result.output


def test_a_missing_file_is_wrong_use(files, tmp_path):
    assert evaluate("--facts", files[0], str(tmp_path / "nothing.jsonl")).exit_code == 2
