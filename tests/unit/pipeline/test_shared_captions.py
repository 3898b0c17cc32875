"""Versions that share a caption, in every reader of an output."""

import json
from pathlib import Path

import pandas as pd
import pyarrow as pa

from pipeline.output.newest import open_table
from pipeline.reading.audio_tags import TagConfig, write_tags
from pipeline.reading.comment_tags import Comment
from pipeline.reading.export import ExportConfig, export_captions
from pipeline.reading.report import ReportConfig, summarise, write_report
from pipeline.reading.search.similar import similar_tracks
from pipeline.review.apply import apply_reviews
from tests.finished_output import caption_row, review_line, write_captions

MASTER, VERSION = caption_row(1)["track_id"], "edit"
SHARED = {"track_id": VERSION, "etag": "e", "shared_from": MASTER, "shared_from_etag": caption_row(1)["etag"]}
UNKNOWN = dict.fromkeys(("duration_s", "sample_rate", "channels", "num_chunks", "coverage", "has_vocals"))


def write_output(folder: Path) -> str:
    """Write two captioned tracks and a version of the first."""
    write_captions(folder, [caption_row(1), caption_row(2), caption_row(1, **SHARED, **UNKNOWN)])
    return str(folder)


def exported(folder: Path, **settings: str) -> pd.DataFrame:
    file = folder / "captions.csv"
    export_captions(ExportConfig(output=str(folder), file=str(file), **settings))
    return pd.read_csv(file).set_index("track_id" if "profile" not in settings else "Filename", drop=False)


def review(folder: Path, *lines: dict[str, object]) -> None:
    file = folder / "reviews.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    apply_reviews(str(folder), str(file))


def test_an_export_names_the_track_whose_caption_is_shared(tmp_path: Path) -> None:
    write_output(tmp_path)
    rows = exported(tmp_path)
    assert rows.loc[VERSION, "shared_from"] == MASTER
    assert rows["shared_from"].isna().sum() == 2
    notes = exported(tmp_path, profile="soundminer")["Notes"].tolist()
    assert sum(f"description of the master {MASTER} (" in note for note in notes) == 1


def test_versions_follow_the_decision_about_their_master(tmp_path: Path) -> None:
    write_output(tmp_path)
    review(tmp_path, review_line(1, "edited"))
    rows = exported(tmp_path)
    assert rows.loc[VERSION, "caption"] == "a better caption"
    assert rows.loc[VERSION, "reviewed_by_human"]


def test_a_decision_about_a_version_itself_counts_more(tmp_path: Path) -> None:
    write_output(tmp_path)
    own = review_line(1, "edited", track_id=VERSION, caption="drums only", etag="e")
    review(tmp_path, review_line(1, "edited"), own)
    assert exported(tmp_path)["caption"].to_dict()[VERSION] == "drums only"


def test_a_decision_about_other_audio_of_the_master_is_not_followed(tmp_path: Path) -> None:
    write_output(tmp_path)
    review(tmp_path, review_line(1, "edited", etag="old audio"))
    assert not exported(tmp_path).loc[VERSION, "reviewed_by_human"]


def test_the_report_shows_versions_with_their_master(tmp_path: Path) -> None:
    output = write_output(tmp_path)
    summary, shown = summarise(output, max_tracks=10)
    assert (summary.tracks, summary.shared, summary.repeated) == (2, 1, [])
    assert shown["track_id"].to_pylist() == [MASTER, caption_row(2)["track_id"]]
    page = tmp_path / "report.html"
    write_report(ReportConfig(output=output, file=str(page), max_spectrograms=0))
    assert f'"Versions":"{VERSION}"' in page.read_text()


def test_a_version_sounds_like_the_tracks_that_its_master_sounds_like(tmp_path: Path) -> None:
    rows = [caption_row(number, embedding=[float(number), 1.0]) for number in (1, 2)]
    write_captions(tmp_path, [*rows, caption_row(1, **SHARED, embedding=None)])
    found = similar_tracks(open_table(str(tmp_path), "captions"), VERSION)
    assert found.track_ids == pa.array([caption_row(2)["track_id"]])


def test_comments_and_sidecars_say_whose_caption_it_is(tmp_path: Path) -> None:
    assert Comment(caption="Calm.", model_id="m", shared_from="A1").text.endswith("Calm. (caption of the master A1)")
    write_tags(TagConfig(output=write_output(tmp_path), folder=str(tmp_path / "sidecars"), target="sidecars"))
    sidecar = json.loads((tmp_path / "sidecars" / f"{VERSION}.caption.json").read_text())
    assert sidecar["shared_from"] == MASTER
