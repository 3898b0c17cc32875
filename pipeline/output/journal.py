"""`OUTPUT/compaction.json`: which files of an output do not count.

It records two things: a merge of part files in progress, and the last files of runs that lost their lease. A process
that was stopped for longer than its lease may still have one request on the way. The file that this request writes does
not count, because the successor has not seen it and captions its tracks again.

Conventions: the object is changed only by conditional writes and is never removed. Each content has an id of its own,
so that a reader notices every change. Names of files end in a number that grows: `part-<run>-<number>.parquet`,
`merged-<run>-<number>.parquet`.
"""

import dataclasses
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pipeline import storage
from pipeline.output import clock

TableName = Literal["captions", "failures", "features", "reviews"]
TABLES: tuple[TableName, ...] = ("captions", "failures", "features", "reviews")


@dataclass(frozen=True, kw_only=True)
class Journal:
    """Which files do not count. While files are merged, the new ones replace the old ones as soon as all exist."""

    table: TableName | None = None
    """Table whose files are merged; None if none are."""
    new: tuple[str, ...] = ()
    """Names of the merged files."""
    old: tuple[str, ...] = ()
    """Names of the files that are replaced."""
    last_numbers: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """Of runs that lost their lease: `table/part-<run>` -> number of its last file; higher ones do not count."""
    id: str = ""
    """Unique for each content."""

    def counted(self, table: str, names: Iterable[str]) -> list[str]:
        """Return the names of a table's files that hold rows of this output, from a complete listing."""
        present = [name for name in names if not self._is_late(table, name)]
        if not self._merges(table):
            return present
        superseded = set(self.old if set(self.new) <= set(present) else self.new)
        return [name for name in present if name not in superseded]

    def missing(self, table: str, names: Iterable[str]) -> list[str]:
        """Return old files of a merge that a listing lacks although it lacks the new ones, too.

        The listing was then made while files were replaced. If it is repeated with the same result, they were removed
        by somebody else.
        """
        present = set(names)
        if not self._merges(table) or present.issuperset(self.new):
            return []
        return [name for name in self.old if name not in present]

    def _merges(self, table: str) -> bool:
        """Whether files of this table are being merged, by a run that has the lease."""
        return table == self.table and not any(self._is_late(table, name) for name in self.new)

    def _is_late(self, table: str, name: str) -> bool:
        stem, run_id, number = _split(name)
        last = self.last_numbers.get(run_id)
        return last is not None and int(number) > last.get(f"{table}/{stem}", -1)


def read_journal(output: str) -> tuple[Journal, str]:
    """Return the journal and its etag; an empty one and no etag if there is none.

    Raises:
        StorageError: It cannot be read.
    """
    try:
        data, etag = storage.read_versioned(journal_uri(output))
    except storage.StorageError as error:
        if error.error_type not in ("not_found", "no_bucket"):
            raise
        return Journal(), ""
    return _parsed(data, journal_uri(output)), etag


def change_journal(output: str, change: Callable[[Journal], Journal | None]) -> None:
    """Change the journal, also if others do at the same time.

    Args:
        output: Folder or bucket prefix of the output.
        change: Returns the new journal, or None to leave it; called again if another process was faster.

    Raises:
        StorageError: It cannot be read or written.
    """
    while True:
        journal, etag = read_journal(output)
        changed = change(journal)
        if changed is None:
            return
        record = dataclasses.asdict(dataclasses.replace(changed, id=clock.random_hex(8)))
        data, uri = json.dumps(record).encode(), journal_uri(output)
        if storage.replace_if_unchanged(uri, data, etag) if etag else storage.create_exclusively(uri, data):
            return


def exclude_late_files(output: str, run_ids: Iterable[str]) -> None:
    """Record the last files of runs that lost their lease, so that files which they still write do not count.

    Only the holder of the lease may call it, before it reads anything else.

    Raises:
        StorageError: The output cannot be listed, or the journal not be written.
    """
    names = {
        table: [part_name(file.uri) for file in storage.list_files(storage.join(output, table), ".parquet")]
        for table in TABLES
    }

    def with_runs(journal: Journal) -> Journal | None:
        unknown = [run_id for run_id in run_ids if run_id not in journal.last_numbers]
        if not unknown:
            return None
        found = {run_id: _last_numbers(names, run_id) for run_id in unknown}
        return dataclasses.replace(journal, last_numbers={**journal.last_numbers, **found})

    change_journal(output, with_runs)


def _parsed(data: bytes, uri: str) -> Journal:
    """Read a journal; one of an earlier release has only table, new and old."""
    try:
        record: dict[str, Any] = json.loads(data)
        return Journal(
            table=record["table"],
            new=tuple(record["new"]),
            old=tuple(record["old"]),
            last_numbers=record.get("last_numbers", {}),
            id=record.get("id", ""),
        )
    except (ValueError, KeyError, TypeError) as error:
        message = f"{uri}: cannot be read, so that merged rows might be read twice; restore it from a backup: {error!r}"
        raise storage.StorageError(message, "unreadable") from error


def journal_uri(output: str) -> str:
    """Return the URI of the journal."""
    return storage.join(output, "compaction.json")


def part_name(uri: str) -> str:
    """Return the file name at the end of a URI."""
    return uri.rpartition("/")[2]


def _split(name: str) -> tuple[str, str, str]:
    """Split `part-<run>-<number>.parquet` into `part-<run>`, the run and the number; other names have no run."""
    stem, _, number = name.removesuffix(".parquet").rpartition("-")
    return stem, stem.partition("-")[2], number


def _last_numbers(names: Mapping[TableName, list[str]], run_id: str) -> dict[str, int]:
    """Return the greatest number of each kind of file of a run."""
    last: dict[str, int] = {}
    for table, present in names.items():
        for name in present:
            stem, writer, number = _split(name)
            if writer == run_id:
                last[f"{table}/{stem}"] = max(last.get(f"{table}/{stem}", -1), int(number))
    return last
