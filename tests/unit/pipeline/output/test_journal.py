"""The journal: files that do not count, changes by several processes, journals of earlier releases."""

import dataclasses
import json
from pathlib import Path

import pytest

from pipeline import storage
from pipeline.output.journal import Journal, change_journal, exclude_late_files, part_name, read_journal
from pipeline.output.lease import Lease
from pipeline.output.leftovers import remove_leftovers
from pipeline.output.parts import part_files
from tests.committed_output import commit_rows, part_names, result_rows


def visible(output: Path) -> list[str]:
    return [part_name(file.uri) for file in part_files(str(output), "captions")]


def test_a_change_is_repeated_if_another_process_was_faster(tmp_path: Path) -> None:
    output, seen = str(tmp_path), []

    def with_merge(journal: Journal) -> Journal:
        seen.append(journal)
        if len(seen) == 1:
            exclude_late_files(output, ["run-1"])
        return dataclasses.replace(journal, table="captions", new=("new",), old=("old",))

    change_journal(output, with_merge)
    journal, _ = read_journal(output)
    assert len(seen) == 2
    assert (journal.table, dict(journal.last_numbers)) == ("captions", {"run-1": {}})


def test_a_file_that_a_run_writes_after_it_lost_its_lease_does_not_count_and_is_removed(tmp_path: Path) -> None:
    commit_rows(tmp_path, result_rows("a", features=None, feature_dim=None))
    [early] = part_names(tmp_path, "captions")
    run_id = early.removeprefix("part-").rpartition("-")[0]
    exclude_late_files(str(tmp_path), [run_id])
    late = early.replace("-000000.", "-000001.")
    (tmp_path / "captions" / late).write_bytes((tmp_path / "captions" / early).read_bytes())
    assert visible(tmp_path) == [early]
    with Lease(str(tmp_path), "run-9") as lease:
        remove_leftovers(str(tmp_path), lease)
    assert part_names(tmp_path, "captions") == [early]


def test_a_run_that_lost_its_lease_before_its_first_file_has_no_valid_file(tmp_path: Path) -> None:
    exclude_late_files(str(tmp_path), ["run-1"])
    commit_rows(tmp_path, result_rows("a"))
    assert part_names(tmp_path, "captions") != []
    assert visible(tmp_path) == []


def test_a_merge_of_an_earlier_release_is_understood(tmp_path: Path) -> None:
    commit_rows(tmp_path, result_rows("a"))
    [old] = visible(tmp_path)
    merged = tmp_path / "captions" / "part-merged-x.parquet"
    (tmp_path / "compaction.json").write_text(json.dumps({"table": "captions", "new": [merged.name], "old": [old]}))
    assert visible(tmp_path) == [old]
    merged.write_bytes((tmp_path / "captions" / old).read_bytes())
    assert visible(tmp_path) == [merged.name]


def test_a_file_that_somebody_removed_during_a_merge_is_named_and_the_others_are_read(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    commit_rows(tmp_path, result_rows("a"))
    [present] = visible(tmp_path)
    change_journal(
        str(tmp_path), lambda journal: dataclasses.replace(journal, table="captions", new=("n",), old=(present, "gone"))
    )
    assert visible(tmp_path) == [present]
    assert "gone" in caplog.text


def test_an_unreadable_journal_is_named(tmp_path: Path) -> None:
    (tmp_path / "compaction.json").write_text('{"table": "capt')
    with pytest.raises(storage.StorageError, match=r"compaction\.json: cannot be read"):
        part_files(str(tmp_path), "captions")
