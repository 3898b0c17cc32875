"""Captions and failures of an output in a temporary DuckDB database, where sorting and grouping can use the disk.

Conventions: a failure counts only while its track has no caption, and only the newest failure of a track counts.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

MEMORY_LIMIT = "512MB"
"""Memory of DuckDB; what does not fit is written to the temporary folder."""

FAILURE_COLUMNS = ("track_id", "stage", "error_type", "message", "retryable", "attempt", "created_at")

_NEWEST_FAILURES = """
CREATE TEMP VIEW waiting AS
SELECT * FROM failures ANTI JOIN captions USING (track_id)
QUALIFY row_number() OVER (PARTITION BY track_id ORDER BY created_at DESC NULLS LAST, rowid DESC) = 1
"""
_REASONS = """
SELECT stage, error_type, count(*) AS tracks, count(*) FILTER (retryable) AS retryable
FROM waiting GROUP BY stage, error_type ORDER BY tracks DESC, stage, error_type
"""
_EXAMPLES = """
SELECT track_id, message, attempt FROM waiting
WHERE stage IS NOT DISTINCT FROM ? AND error_type IS NOT DISTINCT FROM ? ORDER BY created_at, track_id LIMIT 5
"""


@dataclass(frozen=True, kw_only=True)
class FailureReason:
    """Tracks without a caption that failed for the same reason."""

    stage: str
    """fetch, decode or caption."""
    error_type: str
    """Short name of the error."""
    count: int
    """Number of tracks."""
    retryable: int
    """Tracks of them that `muscaps retry` may caption without a change to the catalogue or the storage."""
    examples: tuple[dict[str, Any], ...]
    """Up to five: track_id, message, attempt."""


class ResultTables:
    """The captions and failures that a report counts.

    Args:
        folder: Existing empty folder for the database.
    """

    def __init__(self, folder: Path) -> None:
        import duckdb  # slow to import

        self._database: Any = duckdb.connect(str(folder / "report.duckdb"))
        self._database.execute(f"SET memory_limit = '{MEMORY_LIMIT}'; SET temp_directory = '{folder / 'spill'}'")
        self._database.execute("CREATE TABLE captions (track_id VARCHAR, caption VARCHAR)")
        self._database.execute("CREATE TABLE versions (track_id VARCHAR, shared_from VARCHAR)")
        self._database.execute(
            "CREATE TABLE failures (track_id VARCHAR, stage VARCHAR, error_type VARCHAR, message VARCHAR, "
            "retryable BOOLEAN, attempt BIGINT, created_at TIMESTAMPTZ)"
        )

    def add_captions(self, batch: pa.RecordBatch) -> None:
        """Add the newest captions of some tracks; the batch has columns track_id and caption."""
        rows = pa.table(batch).select(["track_id", "caption"])  # noqa: F841 - DuckDB reads the variable
        self._database.execute("INSERT INTO captions SELECT * FROM rows")

    def add_versions(self, batch: pa.RecordBatch) -> None:
        """Add tracks that share a caption; the batch has columns track_id and shared_from."""
        rows = pa.table(batch).select(["track_id", "shared_from"])  # noqa: F841 - DuckDB reads the variable
        self._database.execute("INSERT INTO versions SELECT * FROM rows")
        self._database.execute("INSERT INTO captions SELECT track_id, NULL FROM rows")

    def versions_of(self, track_ids: pa.ChunkedArray, limit: int) -> list[list[str]]:
        """Return the first versions of each track that share its caption."""
        wanted = pa.table({"track_id": track_ids})  # noqa: F841 - DuckDB reads the variable
        found = self._database.execute(
            "SELECT shared_from, list(track_id ORDER BY track_id)[:?] FROM versions "
            "WHERE shared_from IN (SELECT track_id FROM wanted) GROUP BY shared_from",
            [limit],
        )
        versions = dict(found.fetchall())
        return [versions.get(track_id, []) for track_id in track_ids.to_pylist()]

    def add_failures(self, batch: pa.RecordBatch) -> None:
        """Add failed attempts; the batch has the columns of FAILURE_COLUMNS."""
        rows = pa.table(batch).select(list(FAILURE_COLUMNS))  # noqa: F841 - DuckDB reads the variable
        self._database.execute("INSERT INTO failures SELECT * FROM rows")

    def distinct_captions(self) -> int:
        """Count the different captions."""
        [(count,)] = self._database.execute("SELECT count(DISTINCT caption) FROM captions").fetchall()
        return int(count)

    def repeated_captions(self, limit: int) -> list[tuple[str, int]]:
        """Return the most frequent captions of more than one track, with their number of tracks."""
        query = (
            "SELECT caption, count(*) AS tracks FROM captions WHERE caption IS NOT NULL "
            "GROUP BY caption HAVING tracks > 1 "
            "ORDER BY tracks DESC, caption LIMIT ?"
        )
        return [(text, int(tracks)) for text, tracks in self._database.execute(query, [limit]).fetchall()]

    def failure_reasons(self) -> list[FailureReason]:
        """Group the tracks without a caption by the reason of their newest failure, most frequent first."""
        self._database.execute(_NEWEST_FAILURES)
        reasons = []
        for stage, error_type, tracks, retryable in self._database.execute(_REASONS).fetchall():
            examples = self._database.execute(_EXAMPLES, [stage, error_type]).fetchall()
            reasons.append(
                FailureReason(
                    stage=stage,
                    error_type=error_type,
                    count=int(tracks),
                    retryable=int(retryable),
                    examples=tuple(dict(zip(("track_id", "message", "attempt"), row, strict=True)) for row in examples),
                )
            )
        return reasons

    def close(self) -> None:
        """Close the database."""
        self._database.close()


@contextmanager
def result_tables() -> Iterator[ResultTables]:
    """Give empty tables in a temporary folder."""
    with tempfile.TemporaryDirectory(prefix="muscaps-report-") as folder:
        tables = ResultTables(Path(folder))
        try:
            yield tables
        finally:
            tables.close()
