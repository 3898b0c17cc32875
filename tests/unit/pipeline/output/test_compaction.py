"""Compaction: fewer files with the same rows, wherever it is interrupted."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from pipeline import storage
from pipeline.output import compaction
from pipeline.output.anti_join import captioned_tracks, failed_tracks
from pipeline.output.journal import read_journal
from pipeline.output.lease import Lease
from pipeline.output.leftovers import remove_leftovers
from pipeline.output.parts import part_files
from tests.committed_output import MODEL_ID, OPTIONS, commit_rows, part_names, result_rows


def many_parts(output: Path) -> list[str]:
    for number in range(4):
        commit_rows(output, result_rows(f"t{number}"), result_rows(f"f{number}", failed=True), run_id=f"run-{number}")
    return [f"t{number}" for number in range(4)]


def test_compaction_merges_every_table_and_keeps_every_row(tmp_path: Path) -> None:
    tracks = many_parts(tmp_path)
    before = failed_tracks(str(tmp_path)).sort_by("track_id")
    summary = compaction.compact(str(tmp_path))
    assert (summary.files_before, summary.files_after, summary.rows_dropped) == (12, 3, 0)
    assert sorted(pq.read_table(tmp_path / "captions")["track_id"].to_pylist()) == tracks
    assert failed_tracks(str(tmp_path)).sort_by("track_id").equals(before)
    with Lease(str(tmp_path), "run-9") as lease:
        remove_leftovers(str(tmp_path), lease)
    assert len(part_names(tmp_path, "features")) == 1
    assert not read_journal(str(tmp_path))[0].table
    assert compaction.compact(str(tmp_path)).files_after == 3


def test_compaction_keeps_features_whose_captions_were_merged_first(tmp_path: Path) -> None:
    many_parts(tmp_path)
    with Lease(str(tmp_path), "run-9") as lease:
        compaction._merge(str(tmp_path), lease, "captions", part_files(str(tmp_path), "captions"), 0)
        remove_leftovers(str(tmp_path), lease)
    assert len(part_names(tmp_path, "features")) == 4


def test_a_row_written_twice_is_merged_into_one(tmp_path: Path) -> None:
    commit_rows(tmp_path, result_rows("a"), run_id="run-1")
    commit_rows(tmp_path, result_rows("a", "b"), run_id="run-2")
    assert compaction.compact(str(tmp_path)).rows_dropped == 2  # the caption and its features
    assert sorted(pq.read_table(tmp_path / "captions")["track_id"].to_pylist()) == ["a", "b"]


def test_readers_see_each_row_once_wherever_a_merge_is_cut_short(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class CutError(Exception):
        pass

    for allowed in range(8):
        output = tmp_path / str(allowed)
        tracks = many_parts(output)
        left = allowed

        def counted(function):
            def call(uri: str, *rest: object) -> object:
                nonlocal left
                if not uri.endswith("lease.json"):
                    if left == 0:
                        raise CutError
                    left -= 1
                return function(uri, *rest)

            return call

        with Lease(str(output), "cut") as lease, monkeypatch.context() as patched:
            for name in ("create_exclusively", "replace_if_unchanged", "write_once", "delete"):
                patched.setattr(storage, name, counted(getattr(storage, name)))
            files = part_files(str(output), "captions")
            if allowed < 7:
                with pytest.raises(CutError):
                    compaction._merge(str(output), lease, "captions", files, 0)
            else:
                compaction._merge(str(output), lease, "captions", files, 0)

        def seen(output: Path = output) -> list[str]:
            return sorted(captioned_tracks(str(output), MODEL_ID, OPTIONS)["track_id"].to_pylist())

        assert seen() == tracks
        with Lease(str(output), "successor") as lease:
            compaction.finish(str(output), lease)
        assert seen() == tracks
        assert sorted(pq.read_table(output / "captions")["track_id"].to_pylist()) == tracks
        assert not read_journal(str(output))[0].table
