"""Files that other systems import: their columns, tags as text, nothing that deletes data."""

import csv
from datetime import timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from pipeline.output.newest import OutputError
from pipeline.reading.export import ExportConfig, ExportSummary, export_captions
from pipeline.reading.profiles import PROFILES
from tests.finished_output import STARTED, caption_row, write_captions

JAZZ = [
    {"facet": "genre", "tag": "jazz", "score": 0.9},
    {"facet": "genre", "tag": "pop", "score": 0.2},
    {"facet": "mood", "tag": "calm", "score": 0.6},
    {"facet": "tempo", "tag": "slow", "score": 0.7},
    {"facet": "vocals", "tag": "none", "score": 0.9},
]
TITLE = 'Müller\'s "=1+1", take 2'


@pytest.fixture
def output(tmp_path: Path) -> Path:
    folder = tmp_path / "output"
    rows = [
        caption_row(0, tags=JAZZ, has_vocals=False, title=TITLE, bpm="98", uri="https://host/a%20b.mp3?key=1"),
        caption_row(1, tags=JAZZ[:1], has_vocals=None, title="=SUM(A1)", bpm=""),
    ]
    write_captions(folder, rows)
    return folder


def export(output: Path, name: str, **options: Any) -> ExportSummary:
    return export_captions(ExportConfig(output=str(output), file=str(output.parent / name), **options))


def rows_of(file: Path, delimiter: str = ",") -> list[dict[str, str]]:
    with file.open(newline="", encoding="utf-8") as lines:
        return list(csv.DictReader(lines, delimiter=delimiter))


def test_columns_that_are_empty_for_some_tracks_get_files_of_their_own_for_sourceaudio(output: Path) -> None:
    summary = export(output, "sa.csv", profile="sourceaudio")
    rows = rows_of(output.parent / "sa.csv")
    assert list(rows[0]) == ["Filename", "Title", "Description", "Genres"]
    assert rows[0]["Filename"] == "a b.mp3"
    names = [Path(more.file).name for more in summary.more_files]
    assert names == ["sa-mood.csv", "sa-tempos.csv", "sa-bpm.csv", "sa-has-vocal.csv"]
    assert [(more.column, more.rows) for more in summary.more_files][2] == ("Bpm", 1)
    assert rows_of(output.parent / "sa-bpm.csv") == [{"Filename": "a b.mp3", "Bpm": "98"}]


@pytest.mark.parametrize(
    ("profile", "separator", "title", "description"),
    [
        ("sourceaudio", ",", "Title", "Description"),
        ("soundminer", ",", "TrackTitle", "Description"),
        ("harvest", "\t", "TRACK: Title", "TRACK: Description"),
    ],
)
def test_text_is_unchanged_in_files_for_another_system(
    tmp_path: Path, profile: str, separator: str, title: str, description: str
) -> None:
    texts = [TITLE, "=1+1", "+x", "@x", "-x", "a, b; c", "emoji 🎷", " blank ", "007", "1e5", "NULL", "'quoted"]
    write_captions(tmp_path / "output", [caption_row(n, title=text, caption=text) for n, text in enumerate(texts)])
    file = tmp_path / f"export{PROFILES[profile].suffix}"
    export(tmp_path / "output", file.name, profile=profile)
    found = pd.read_csv(file, sep=separator, dtype=str, keep_default_na=False)
    assert (found[title].tolist(), found[description].tolist()) == (texts, texts)


@pytest.mark.parametrize(
    ("name", "profile"), [("sa.csv", "sourceaudio"), ("sm.csv", "soundminer"), ("h.txt", "harvest")]
)
def test_formulas_in_files_for_another_system_are_counted(output: Path, name: str, profile: str) -> None:
    summary = export(output, name, profile=profile)
    assert (summary.formulas, summary.escaped) == (1, 0)
    assert "=SUM(A1)" in (output.parent / name).read_text()


def test_an_apostrophe_in_front_of_formulas_can_be_chosen_for_another_system(output: Path) -> None:
    summary = export(output, "sm.csv", profile="soundminer", spreadsheet_safe=True)
    assert (summary.formulas, summary.escaped) == (0, 1)
    assert rows_of(output.parent / "sm.csv")[1]["TrackTitle"] == "'=SUM(A1)"


def test_text_separated_by_tabs_has_one_line_a_track(tmp_path: Path) -> None:
    write_captions(tmp_path / "output", [caption_row(0, title="two\r\nlines\tand a tab")])
    export(tmp_path / "output", "h.txt", profile="harvest")
    assert rows_of(tmp_path / "h.txt", "\t")[0]["TRACK: Title"] == "two lines and a tab"
    assert len((tmp_path / "h.txt").read_text().splitlines()) == 2


def test_soundminer_has_its_lengths_and_the_model_in_its_notes(output: Path) -> None:
    later = STARTED + timedelta(days=1)
    row = caption_row(
        0, caption="Piano music" + " with drums" * 200 + ".", title="t" * 200, tags=JAZZ, created_at=later
    )
    write_captions(output, [row], "b.parquet")
    export(output, "sm.csv", profile="soundminer")
    row = rows_of(output.parent / "sm.csv")[-1]
    assert (len(row["Description"]), len(row["TrackTitle"])) == (11 + 89 * 11 + 1, 128)
    assert row["Category"] == "jazz"
    assert row["Notes"] == "AI-written description (default-0123456789ab); may be wrong"


def test_harvest_is_separated_by_tabs_and_has_keywords(output: Path) -> None:
    export(output, "harvest.txt", profile="harvest")
    row = rows_of(output.parent / "harvest.txt", "\t")[0]
    assert row["TRACK: Genre"] == "jazz"
    assert row["TRACK: Keywords"] == "jazz, calm, slow tempo, instrumental"


def test_the_customers_words_are_written_parents_first(output: Path) -> None:
    taxonomy = output.parent / "words.yaml"
    taxonomy.write_text("genre: {jazz: {term: Swing, parent: Jazz & Blues, synonyms: [big band]}}")
    export(output, "plain.csv", profile="plain", taxonomy=str(taxonomy))
    row = rows_of(output.parent / "plain.csv")[0]
    assert row["genre"] == "Jazz & Blues, Swing"
    assert row["keywords"].startswith("Jazz & Blues, Swing, big band, calm")
    assert (row["vocals"], row["description_ai_generated"]) == ("No", "true")


def test_the_score_from_which_a_tag_counts_can_be_set(output: Path) -> None:
    export(output, "all.csv", columns=("track_id", "tags_genre"), min_tag_score=0.1)
    assert [row["tags_genre"] for row in rows_of(output.parent / "all.csv")] == ["jazz, pop", "jazz"]


def test_columns_are_renamed(output: Path) -> None:
    export(output, "r.csv", columns=("track_id", "caption"), rename={"caption": "Description"})
    assert list(rows_of(output.parent / "r.csv")[0])[:2] == ["track_id", "Description"]
    with pytest.raises(OutputError, match="no column 'capt'"):
        export(output, "r.csv", rename={"capt": "Description"})
    with pytest.raises(OutputError, match="two columns would be 'uri'"):
        export(output, "r.csv", rename={"caption": "uri"})


def test_without_tags_a_profile_has_the_columns_that_it_can_fill(tmp_path: Path) -> None:
    write_captions(tmp_path / "output", [caption_row(0)])
    export(tmp_path / "output", "sa.csv", profile="sourceaudio")
    assert list(rows_of(tmp_path / "sa.csv")[0]) == ["Filename", "Title", "Description"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "x.csv", "profile": "disco"}, "no public document lists the columns"),
        ({"name": "x.csv", "profile": "other"}, "must be one of sourceaudio, soundminer"),
        ({"name": "x.csv", "profile": "harvest"}, "harvest is a .txt file"),
        ({"name": "x.csv", "profile": "plain", "columns": ("uri",)}, "leave out --columns"),
        ({"name": "x.csv", "min_tag_score": 2}, "min_tag_score must lie in 0 to 1"),
    ],
)
def test_wrong_options_are_named(output: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        export(output, **options)
