"""What must hold at every moment of a schedule, and after it.

- At most one process takes the lease for granted.
- A reader sees every row at most once, and every row that was there when it began.
- A row that can be seen does not vanish, except one of a run that had lost the lease before it wrote.
- No process that holds the lease ends with an error that no fault explains.
- Afterwards one undisturbed run and a compaction leave every track exactly once, and every decision.
"""

from collections import Counter
from collections.abc import Callable
from typing import Any

import pyarrow.parquet as pq

from pipeline.output.journal import TABLES
from pipeline.output.lease import LeaseHeldError, LeaseLostError
from pipeline.output.newest import OutputError
from pipeline.output.parts import part_files
from pipeline.storage.errors import StorageError
from tests.simulation.actors import OUTPUT, TRACKS
from tests.simulation.processes import Behaviour, Node
from tests.simulation.store import ROOT, Files, Operation, perform

_IDENTITY = {
    "captions": ("track_id",),
    "failures": ("track_id", "attempt"),
    "features": ("track_id",),
    "reviews": ("track_id", "created_at"),
}
"""Columns whose values occur once in a table; the catalogue has one version, and all runs have one model."""
_FOLDERS = tuple(f"output/{table}/" for table in TABLES)

FINISHING_TIME = 1e6
"""When the undisturbed run begins, in seconds: every lease is stale by then."""

View = dict[str, dict[tuple[Any, ...], str]]
"""Table -> identity of each visible row -> the file that has it."""


class BrokenError(Exception):
    """An invariant does not hold."""


class Invariants:
    """Checks states of the store; the answers for a state are kept."""

    def __init__(self, behaviour: Behaviour, finishing: Callable[[], Any]) -> None:
        """Prepare the checks; `finishing` is the program of the undisturbed run."""
        self._behaviour = behaviour
        self._finishing = behaviour.root(finishing, "z")
        self._rows: dict[tuple[str, str], list[tuple[Any, ...]]] = {}
        self._views: dict[frozenset[Any], View | str] = {}
        self._finished: dict[Any, str] = {}

    def view(self, files: Files) -> View:
        """Return the rows that a reader sees if nothing else happens meanwhile.

        Raises:
            BrokenError: A row is there twice.
        """
        names = {
            name: entry
            for name, entry in files.entries.items()
            if not name.startswith("output/runs/") and name != "output/lease.json"
        }
        key = frozenset(names.items())
        found = self._views.get(key)
        if found is None:
            found = self._views[key] = self._view(files)
        if isinstance(found, str):
            raise BrokenError(found)
        return found

    def check_change(self, before: Files, after: Files, late: frozenset[str]) -> None:
        """Check one operation that changed the files.

        Args:
            before: The files before the operation.
            after: The files after it.
            late: Files that were written by runs without the lease.

        Raises:
            BrokenError: A row is there twice, or has vanished.
        """
        now, earlier = self.view(after), self.view(before)
        for table in ("captions", "failures", "reviews"):
            for identity, name in earlier[table].items():
                if identity not in now[table] and name not in late:
                    raise BrokenError(f"row {identity} of {table}/ vanished; it was in {name}")

    def captioned(self, files: Files, late: frozenset[str]) -> frozenset[str]:
        """Return the captioned tracks, without rows of runs that had lost the lease."""
        return frozenset(key[0] for key, name in self.view(files)["captions"].items() if name not in late)

    def check_outcome(self, node: Node, visible_before: frozenset[str], faults: int, late: bool) -> None:
        """Check how a process ended.

        Args:
            node: The process.
            visible_before: Tracks that were there when it began.
            faults: Faults of the schedule so far.
            late: Whether it had lost its lease.

        Raises:
            BrokenError: A reader saw wrong rows, or the process failed without a reason.
        """
        outcome = node.outcome
        if isinstance(outcome, tuple):
            doubled = [name for name, count in Counter(outcome).items() if count > 1]
            if doubled:
                raise BrokenError(f"{node.name} read track {doubled[0]} twice")
            if missing := visible_before.difference(outcome):
                raise BrokenError(f"{node.name} did not read track {min(missing)}, which was there when it began")
        is_explained = isinstance(outcome, LeaseHeldError | LeaseLostError) or (
            isinstance(outcome, StorageError | OutputError) and (faults or late or not node.run_id)
        )
        if isinstance(outcome, Exception) and not is_explained:
            raise BrokenError(f"{node.name} ended with {type(outcome).__name__}: {outcome}") from outcome

    def check_end(self, files: Files) -> None:
        """Let one undisturbed run finish, and check what it leaves.

        Raises:
            BrokenError: It fails, or a track has no or several rows in the files.
        """
        # A run does not read the records of other runs, nor when a file was written; fewer states are different then.
        kept = {name: (entry[0], 0.0) for name, entry in files.entries.items() if "/runs/" not in name}
        files = Files(kept)
        key = files.key
        if key not in self._finished:
            self._finished[key] = self._finish(files)
        if self._finished[key]:
            raise BrokenError(self._finished[key])

    def _finish(self, files: Files) -> str:
        time = FINISHING_TIME
        before = self.view(files)
        node = self._finishing
        while node.pending:
            thread, request = min(node.pending.items(), key=lambda item: (item[1].until, item[0]))
            if request.operation is None:
                time = max(time, request.until)
                answer: Any = request.woken
            else:
                files, answer = perform(files, request.operation, time, page=self._behaviour.page)
            node = self._behaviour.after(node, thread, answer, time)
        if node.outcome is not True:
            return f"the run afterwards ended with {node.outcome!r}"
        for table in TABLES:
            names = sorted(name for name in files.entries if name.startswith(f"output/{table}/"))
            rows = Counter(row for name in names for row in self._read(table, files.entries[name][0]))
            if doubled := [row for row, count in rows.items() if count > 1]:
                return f"row {doubled[0]} of {table}/ is in two files in the end: {names}"
            if table == "reviews" and (lost := set(before[table]).difference(rows)):
                return f"decision {lost} is lost in the end"
            if table == "captions" and (lost := set(before[table]).difference(rows)):
                return f"the caption of {lost} is lost in the end"
        captioned = {row[0] for row in self._rows_of(files, "captions")}
        with_features = {row[0] for row in self._rows_of(files, "features")}
        if captioned != set(TRACKS[:-1]):
            return f"captioned in the end: {sorted(captioned)}"
        return "" if with_features <= captioned else f"features without captions: {sorted(with_features)}"

    def _rows_of(self, files: Files, table: str) -> list[tuple[Any, ...]]:
        names = [name for name in files.entries if name.startswith(f"output/{table}/")]
        return [row for name in names for row in self._read(table, files.entries[name][0])]

    def _view(self, files: Files) -> View | str:
        self._behaviour.direct = files
        seen: View = {}
        for table in TABLES:
            rows: dict[tuple[Any, ...], str] = {}
            for file in part_files(OUTPUT, table):
                name = file.uri.removeprefix(ROOT)
                for identity in self._read(table, file.etag):
                    if identity in rows and table != "features":
                        return f"row {identity} of {table}/ is visible twice: in {rows[identity]} and {name}"
                    rows[identity] = name
            seen[table] = rows
        return seen

    def _read(self, table: str, digest: str) -> list[tuple[Any, ...]]:
        key = table, digest
        if key not in self._rows:
            rows = pq.read_table(self._behaviour.contents.path(digest), columns=list(_IDENTITY[table])).to_pylist()
            self._rows[key] = [tuple(row[name] for name in _IDENTITY[table]) for row in rows]
        return self._rows[key]


def is_late(operation: Operation, run_id: str, holder: str) -> bool:
    """Return whether a run without the lease writes rows; a removal is no excuse for rows that vanish."""
    return operation.kind != "delete" and operation.name.startswith(_FOLDERS) and run_id != holder
