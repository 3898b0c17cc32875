"""Deliberate mistakes in the output protocol, which the simulation must find."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from pipeline import storage
from pipeline.captioning import plan
from pipeline.output import anti_join, commit, compaction, lease, newest
from pipeline.output.journal import part_name, read_journal
from pipeline.output.lease import Lease
from pipeline.review import apply
from tests.committed_output import MODEL_ID, OPTIONS
from tests.simulation.actors import OUTPUT
from tests.simulation.processes import _running

Mistake = Callable[[pytest.MonkeyPatch], None]


def lease_without_its_check(patch: pytest.MonkeyPatch) -> None:
    """Nothing asks whether the lease is still held."""
    patch.setattr(Lease, "ensure_held", lambda self: None)


def renewal_ignores_a_lost_lease(patch: pytest.MonkeyPatch) -> None:
    """A renewal takes the lease back from a successor."""

    def renew(self: Lease) -> bool:
        started, record = lease.clock.monotonic(), self._record()
        storage.write_once(self.uri, record)
        return self._has_written(record, started)

    patch.setattr(Lease, "_renew", renew)


def late_files_count(patch: pytest.MonkeyPatch) -> None:
    """A successor does not exclude what its predecessor still writes."""
    patch.setattr(lease, "exclude_late_files", lambda output, run_ids: None)


def commit_in_two_writes(patch: pytest.MonkeyPatch) -> None:
    """A part is written under a temporary name first, which readers see too."""
    put = commit.CaptionSink._put

    def put_twice(self: Any, table: Any, name: str, rows: Any) -> None:
        temporary = name.replace("-00000", "-90000")
        put(self, table, temporary, rows)
        put(self, table, name, rows)
        storage.delete(storage.join(self._output, table, temporary))

    patch.setattr(commit.CaptionSink, "_put", put_twice)


def compaction_deletes_first(patch: pytest.MonkeyPatch) -> None:
    """The old files are removed before the merged one is written."""
    write = storage.write_once

    def delete_and_write(uri: str, data: bytes) -> None:
        if "/merged-" in uri:
            output, table, _ = uri.rsplit("/", 2)
            for name in read_journal(output)[0].old:
                storage.delete(storage.join(output, table, name))
        write(uri, data)

    patch.setattr(storage, "write_once", delete_and_write)


def compaction_without_journal(patch: pytest.MonkeyPatch) -> None:
    """The merged file counts at once, beside the old ones."""
    change = compaction.change_journal
    patch.setattr(
        compaction,
        "change_journal",
        lambda output, with_merge: change(
            output, lambda journal: with_merge(journal) and dataclasses.replace(journal, table=None, new=(), old=())
        ),
    )


def journal_read_once(patch: pytest.MonkeyPatch) -> None:
    """A reader reads the journal before the listing, but not again after it."""

    def part_files(output: str, table: Any) -> Sequence[storage.StoredFile]:
        journal, _ = read_journal(output)
        listed = storage.list_files(storage.join(output, table), ".parquet")
        files = {part_name(file.uri): file for file in listed}
        return [files[name] for name in journal.counted(table, files)]

    for module in (anti_join, newest):
        patch.setattr(module, "part_files", part_files)


def reviews_overwritten(patch: pytest.MonkeyPatch) -> None:
    """Every file of decisions has the same name."""
    patch.setattr(apply, "new_run_id", lambda: "reviews")


def plan_before_the_lease(patch: pytest.MonkeyPatch) -> None:
    """The anti-join reads the output before the lease is taken."""
    enter, read = Lease.__enter__, anti_join.captioned_tracks

    def enter_late(self: Lease) -> Lease:
        _running().early_rows = read(OUTPUT, MODEL_ID, OPTIONS)  # type: ignore[attr-defined]
        return enter(self)

    patch.setattr(Lease, "__enter__", enter_late)
    patch.setattr(plan, "captioned_tracks", lambda *_, **__: _running().early_rows)  # type: ignore[attr-defined]
