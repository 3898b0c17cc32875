"""Files that an output holds under other ids: found, refused, counted as captioned, and reported by verify."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from pipeline.captioning.config import CaptioningConfig, MatchBy
from pipeline.captioning.plan import plan_run
from pipeline.catalogue import Catalogue, read_catalogue
from pipeline.output.same_files import same_files
from pipeline.output.verification import verify
from tests.committed_output import MODEL_ID, OPTIONS, commit_rows, result_rows


def catalogue_of(folder: Path, *rows: str) -> Catalogue:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "catalogue.csv").write_text("\n".join(["track_id,uri", *rows]) + "\n")
    return read_catalogue(str(folder / "catalogue.csv"))


def captions(*rows: tuple[str, str, str | None]) -> pa.Table:
    return pa.Table.from_pylist(
        [dict(zip(("track_id", "uri", "etag"), row, strict=True)) for row in rows],
        schema=pa.schema([(name, pa.string()) for name in ("track_id", "uri", "etag")]),
    )


def planned(catalogue: Catalogue, output: Path, match_by: MatchBy | None = None, model_id: str = MODEL_ID) -> int:
    config = CaptioningConfig(catalogue=catalogue.source, output=str(output), options=OPTIONS, match_by=match_by)
    return plan_run(catalogue, config, model_id).num_tracks


def write_record(output: Path, **config: str) -> None:
    options = {"beam_size": OPTIONS.beam_size, "max_words": OPTIONS.max_words}
    record = {"run_id": "run-1", "model_id": MODEL_ID, "config": {"options": options} | config}
    (output / "runs").mkdir(parents=True, exist_ok=True)
    (output / "runs" / "run-1.json").write_text(json.dumps(record))


@pytest.mark.parametrize("uri", ["/music/a.mp3", "../music/a.mp3", "file:///music/a.mp3"])
def test_a_file_is_found_however_its_path_is_written(uri: str, tmp_path: Path) -> None:
    folder = Path("/catalogues")
    rows = pa.table({"track_id": ["1"], "uri": [uri], "etag": pa.nulls(1, pa.string())})
    catalogue = Catalogue(source="c.csv", base=str(folder / "c.csv"), rows=rows)
    found = same_files(catalogue, captions(("a.mp3", "/music/a.mp3", "v1")))
    assert (found.num_tracks, found.example) == (1, ("a.mp3", "1"))


def test_another_version_of_a_file_is_another_file(tmp_path: Path) -> None:
    rows = pa.table({"track_id": ["1", "2"], "uri": ["/a.mp3", "/b.mp3"], "etag": ["v1", "v2"]})
    catalogue = Catalogue(source="c.csv", base="/c.csv", rows=rows)
    found = same_files(catalogue, captions(("a", "/a.mp3", "v1"), ("b", "/b.mp3", "v1")))
    np.testing.assert_array_equal(found.rows, [True, False])


def test_two_ids_of_one_file_in_the_catalogue_are_two_tracks(tmp_path: Path) -> None:
    catalogue = catalogue_of(tmp_path, "a,/music/a.mp3", "b,/music/a.mp3")
    assert same_files(catalogue, captions(("a", "/music/a.mp3", None))).num_tracks == 0


def test_a_run_that_would_caption_files_a_second_time_is_refused(tmp_path: Path) -> None:
    output = tmp_path / "out"
    commit_rows(output, result_rows("a", "b"))
    catalogue = catalogue_of(tmp_path, "1,/music/a.mp3", "2,/music/b.mp3", "3,/music/c.mp3")
    for model_id in (MODEL_ID, "another-model"):
        with pytest.raises(ValueError, match=r"2 files of .* under other track_ids \('a' there, '1' here\)") as caught:
            planned(catalogue, output, model_id=model_id)
        assert "--match-by uri" in str(caught.value)
    assert planned(catalogue, output, "uri") == 1
    assert planned(catalogue, output, "track_id") == 3
    assert planned(catalogue, tmp_path / "other") == 3


def test_captions_of_other_files_and_of_the_same_ids_refuse_nothing(tmp_path: Path) -> None:
    output = tmp_path / "out"
    commit_rows(output, result_rows("a", "x"))
    assert planned(catalogue_of(tmp_path, "a,/music/a.mp3", "c,/music/c.mp3"), output) == 1


def test_verify_reports_files_captioned_twice(tmp_path: Path) -> None:
    output = tmp_path / "out"
    commit_rows(output, result_rows("a", "b", "old"))
    write_record(output)
    catalogue = catalogue_of(tmp_path, "a,/music/a.mp3", "b,/music/b.mp3")
    found = verify(catalogue.source, str(output))
    assert found.is_complete
    assert (found.not_in_catalogue, found.not_in_catalogue_examples) == (1, ("old",))
    commit_rows(output, result_rows("1").set_column(1, "uri", pa.array(["/music/a.mp3"])), run_id="run-2")
    found = verify(catalogue.source, str(output))
    assert (found.captioned, found.not_in_catalogue, found.doubled_files) == (2, 2, 1)
    assert not found.is_complete


def test_verify_counts_files_under_other_ids_if_the_run_matched_by_uri(tmp_path: Path) -> None:
    output = tmp_path / "out"
    commit_rows(output, result_rows("a", "b"))
    write_record(output)
    catalogue = catalogue_of(tmp_path, "1,/music/a.mp3", "2,/music/b.mp3")
    found = verify(catalogue.source, str(output))
    assert (found.captioned, found.missing, found.missing_under_id) == (0, 2, 2)
    assert verify(catalogue.source, str(output), match_by="uri").is_complete
    write_record(output, match_by="uri")
    assert verify(catalogue.source, str(output)).captioned == 2
    assert verify(catalogue.source, str(output)).is_complete
