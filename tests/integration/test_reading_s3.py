"""Export, report and search on an output in a bucket, against the loopback S3 server.

Covers: reading tables from S3; files written whole to S3; the search index kept and read there; signed links that
really open; originals in a bucket left alone; reviews written, exported and read as pairs.
"""

import json
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from muscaps.captioner import Captioner
from pipeline import storage
from pipeline.reading.audio_tags import TagConfig, write_tags
from pipeline.reading.export import ExportConfig, export_captions
from pipeline.reading.report import ReportConfig, write_report
from pipeline.reading.search import SearchConfig, search
from pipeline.review.apply import apply_reviews
from pipeline.training.pair_files import read_pairs
from tests.conftest import tones
from tests.finished_output import caption_row, failure_row, review_line, write_captions, write_failures, write_features

pytestmark = pytest.mark.s3


def upload(folder: Path, uri: str) -> None:
    for path in folder.rglob("*.parquet"):
        storage.write_once(f"{uri}/{path.relative_to(folder)}", path.read_bytes())


@pytest.fixture
def output(s3_bucket: str, tmp_path: Path, tiny_checkpoint: Path) -> str:
    import soundfile

    soundfile.write(tmp_path / "tone.wav", tones(4.0, 1), 16_000)
    storage.write_once(f"{s3_bucket}/audio/tone.wav", (tmp_path / "tone.wav").read_bytes())
    model = Captioner.load(tiny_checkpoint)
    rows = [caption_row(n, uri=f"{s3_bucket}/audio/tone.wav", model_id=model.model_id) for n in range(9)]
    write_captions(tmp_path / "out", rows)
    write_failures(tmp_path / "out", [failure_row(1)])
    rng = np.random.default_rng(0)
    features = {row["track_id"]: rng.standard_normal((3, model.feature_dim)) for row in rows}
    write_features(tmp_path / "out", features, model_id=model.model_id)
    upload(tmp_path / "out", f"{s3_bucket}/out")
    return f"{s3_bucket}/out"


def test_exports_go_from_bucket_to_bucket_and_to_disk(output: str, s3_bucket: str, tmp_path: Path) -> None:
    for file in (f"{s3_bucket}/exports/all.parquet", str(tmp_path / "all.parquet")):
        assert export_captions(ExportConfig(output=output, file=file)).rows == 9
    filesystem, path = storage.filesystem(f"{s3_bucket}/exports/all.parquet")
    assert pq.read_table(path, filesystem=filesystem).equals(pq.read_table(tmp_path / "all.parquet"))
    package = json.loads(storage.read_bytes(f"{s3_bucket}/exports/all.parquet.datapackage.json"))
    assert package["resources"][0]["rows"] == 9


def test_reviews_are_written_to_the_bucket_and_exported(output: str, tmp_path: Path) -> None:
    file = tmp_path / "reviews.jsonl"
    file.write_text(json.dumps(review_line(1, "edited")))
    assert apply_reviews(output, str(file)).written == 1
    assert apply_reviews(output, str(file)).known == 1
    export_captions(ExportConfig(output=output, file=str(tmp_path / "x.parquet")))
    row = pq.read_table(tmp_path / "x.parquet").to_pylist()[1]
    assert (row["caption"], row["reviewed_by_human"]) == ("a better caption", True)
    assert read_pairs(output)[0].captions == ("a better caption",)


def test_the_page_has_pictures_of_audio_in_a_bucket_and_links_that_open(output: str, tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    summary = write_report(
        ReportConfig(output=output, file=str(file), max_spectrograms=1, listen_hours=1.0, max_tracks=2)
    )
    assert (summary.tracks, summary.failed) == (9, 1)
    text = file.read_text().split('id="data">')[1].split("</script>")[0]
    data = json.loads(text)
    assert sum("spectrogram" in detail for detail in data["details"].values()) == 1
    with urllib.request.urlopen(data["tracks"]["audio"][0], timeout=30) as answer:
        assert answer.read(4) == b"RIFF"
    with pytest.raises(urllib.error.HTTPError):
        urllib.request.urlopen(data["tracks"]["audio"][0].replace("tone.wav", "other.wav"), timeout=30)
    write_report(ReportConfig(output=output, file=f"{output}/report.html", max_spectrograms=0))
    assert storage.read_bytes(f"{output}/report.html").startswith(b"<!doctype html>")


def test_a_search_keeps_its_index_in_the_bucket(output: str, tiny_checkpoint: Path) -> None:
    config = SearchConfig(output=output, query="a slow piano tune", top=3, checkpoint=str(tiny_checkpoint))
    first = search(config)
    assert len(list(storage.list_files(f"{output}/search"))) == 1
    assert search(config).hits == first.hits
    assert all(hit.known["caption"] for hit in first.hits)


def test_originals_in_a_bucket_are_left_alone_and_copies_are_tagged(output: str, tmp_path: Path) -> None:
    refused = write_tags(TagConfig(output=output, folder=str(tmp_path / "log"), target="originals"))
    assert (refused.written, len(refused.failed)) == (0, 9)
    assert "remote originals are not rewritten" in refused.failed[0][1]
    copied = write_tags(TagConfig(output=output, folder=str(tmp_path / "copies"), target="copies"))
    assert (copied.written, copied.failed) == (9, ())
    mutagen = pytest.importorskip("mutagen")
    tags = mutagen.File(tmp_path / "copies" / "t000002.wav").tags
    assert str(tags["TXXX:MUSCAPS_CAPTION"]) == caption_row(2)["caption"]
