"""Files of interrupted runs: removed once no writer can need them."""

import os
from pathlib import Path

from pipeline.output.lease import Lease
from pipeline.output.leftovers import remove_leftovers
from tests.committed_output import commit_rows, part_names, result_rows


def test_features_without_captions_are_removed_by_the_next_run(tmp_path: Path) -> None:
    commit_rows(tmp_path, result_rows("a"), run_id="run-1")
    [part] = (tmp_path / "features").glob("*.parquet")
    left_over = part.with_name("part-run-0-000007.parquet")
    left_over.write_bytes(part.read_bytes())
    with Lease(str(tmp_path), "run-9") as lease:
        remove_leftovers(str(tmp_path), lease)
    assert part_names(tmp_path, "features") == [part.name]


def test_what_killed_writers_left_hidden_is_removed_once_they_cannot_live(tmp_path: Path) -> None:
    old, fresh = [], []
    for folder in (tmp_path, tmp_path / "captions", tmp_path / "runs"):
        folder.mkdir(exist_ok=True)
        old.append(folder / ".0123.part")
        fresh.append(folder / ".4567.part")
    for path in (*old, *fresh):
        path.write_bytes(b"PAR1")
    for path in old:
        os.utime(path, (0, 0))
    with Lease(str(tmp_path), "run-9") as lease:
        remove_leftovers(str(tmp_path), lease)
    assert not any(path.exists() for path in old)
    assert all(path.exists() for path in fresh)
