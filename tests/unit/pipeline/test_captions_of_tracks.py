"""Captions beside their catalogue rows: from JSON lines, Parquet and an output; what cannot be read is refused."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.reading.captions_of_tracks import captions_with_facts
from tests.finished_output import caption_row, write_captions

TAG = {"facet": "instrument", "tag": "piano", "score": 0.75}


@pytest.fixture
def catalogue(tmp_path):
    path = tmp_path / "catalogue.csv"
    path.write_text('track_id,uri,Instruments,bpm\na,a.mp3,"Piano, Bass",90\nb,b.mp3,,0\nc,c.mp3,Harp,70\n')
    return str(path)


def lines(path, *rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def test_json_lines_meet_their_rows_in_the_catalogues_order(catalogue, tmp_path):
    rows = [{"track_id": "b", "caption": None}, {"track_id": "a", "caption": "Piano.", "tags": [TAG]}]
    other = {"track_id": "elsewhere", "caption": "Drums."}
    one, two = captions_with_facts(catalogue, lines(tmp_path / "captions.jsonl", *rows, other))
    assert (one.track_id, one.caption, one.tags) == ("a", "Piano.", (("instrument", "piano", 0.75),))
    assert (one.row["instruments"], one.row["bpm"]) == ("Piano, Bass", "90")
    assert (two.track_id, two.caption, two.tags) == ("b", "", None)


def test_a_parquet_file_gives_captions_and_tags(catalogue, tmp_path):
    path = tmp_path / "captions.parquet"
    pq.write_table(pa.table({"track_id": ["c"], "caption": ["Harp."], "tags": [[TAG]], "other": [1]}), path)
    [track] = captions_with_facts(catalogue, str(path))
    assert (track.caption, track.tags) == ("Harp.", (("instrument", "piano", 0.75),))


def test_an_output_gives_the_newest_caption_of_each_track(catalogue, tmp_path):
    output = tmp_path / "output"
    write_captions(output, [caption_row(0, track_id="a", caption="Old"), caption_row(1, track_id="c")])
    write_captions(output, [caption_row(9, track_id="a", caption="New")], "part-001.parquet")
    found = {track.track_id: track.caption for track in captions_with_facts(catalogue, str(output))}
    assert found["a"] == "New"
    assert set(found) == {"a", "c"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "captions.jsonl, line 1: not JSON"),
        ('{"track_id": "a", "caption": "x"}\n{"track_id": 3, "caption": "x"}', 'line 2: needs "track_id", a string'),
        ('{"track_id": "a", "caption": "x", "tags": ["piano"]}', "tags must be a list of facet, tag and score"),
        ('{"track_id": "z", "caption": "x"}', "no track of .*captions.jsonl is in .*catalogue.csv.* 'z'"),
    ],
)
def test_captions_that_cannot_be_read_are_refused(catalogue, tmp_path, content, message):
    path = tmp_path / "captions.jsonl"
    path.write_text(content)
    with pytest.raises(ValueError, match=message):
        captions_with_facts(catalogue, str(path))


def test_a_parquet_file_without_captions_is_refused(catalogue, tmp_path):
    pq.write_table(pa.table({"track_id": ["a"]}), tmp_path / "captions.parquet")
    with pytest.raises(ValueError, match="no column caption"):
        captions_with_facts(catalogue, str(tmp_path / "captions.parquet"))
