"""What an output holds, the lease on it, and the commits that add to it (docs: design, Running).

Conventions:

- `OUTPUT/captions/`, `failures/` and `features/` hold Parquet files, each put whole under a name that no other
  write ever uses: `part-<run>-<number>.parquet`. What is done is read from them and from nothing else.
- One process, the run's driver, commits. It holds the lease `OUTPUT/lease.json` while it does, renews it
  every `HEARTBEAT_SECONDS` and commits nothing once it might have lost it.
- A lease is taken over at once when its holder was a process of this machine that is gone, else after
  `LEASE_SECONDS` without a sign of life.
- Features are committed before the captions of the same rows and under the same name, so a features file whose
  captions are missing is left over from a crash; the next run removes it.
- While files are being merged, `OUTPUT/compaction.json` says which of them count; `part_files` obeys it, so a
  reader sees every row once at any moment.
"""

import contextlib
import json
import logging
import os
import secrets
import socket
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset
import pyarrow.parquet as pq

from muscaps import __version__
from muscaps.config import DecodingOptions
from pipeline import storage
from pipeline.output.schema import CAPTION_SCHEMA, DECODING, FAILURE_SCHEMA, FEATURE_SCHEMA, TIMESTAMP

logger = logging.getLogger(__name__)

TableName = Literal["captions", "failures", "features"]

HEARTBEAT_SECONDS = 10.0
LEASE_SECONDS = 60.0
"""Silence after which a lease may be taken over. A successor also waits one and a half heartbeats to see that
nothing moves, so clocks that disagree cannot give an output to two runs."""
OUTAGE_SECONDS = 900.0
"""How long a commit is tried again while the store does not answer, in seconds."""

_KEYS = pa.schema(
    [CAPTION_SCHEMA.field(name).with_nullable(True) for name in ("track_id", "etag", "model_id", "decoding")]
)


class LeaseHeldError(RuntimeError):
    """Another run works on this output; the message names it."""


class LeaseLostError(RuntimeError):
    """Another run took this output over; nothing more may be committed."""


def new_run_id() -> str:
    """Name a run: its start in UTC and six random hex digits, e.g. `20261122T213000Z-ab12cd`."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"


# What is there


def part_files(output: str, table: TableName) -> list[storage.StoredFile]:
    """List a table's Parquet files that count, sorted by URI.

    Args:
        output: Folder or bucket prefix of the output.
        table: captions, failures or features.

    Raises:
        StorageError: The output cannot be listed.
    """
    journal = read_compaction(output)  # before the listing: afterwards its files are there for certain
    files = list(storage.list_files(storage.join(output, table), suffix=".parquet"))
    return list(_that_count(files, journal, table))


@dataclass(frozen=True, kw_only=True)
class Compaction:
    """A merge of part files under way: as soon as all new files are there, they replace the old ones."""

    table: str
    """captions, failures or features."""
    new: tuple[str, ...]
    """Names of the merged files."""
    old: tuple[str, ...]
    """Names of the files they replace."""


def read_compaction(output: str) -> Compaction | None:
    """Read `compaction.json`; None where no merge is under way."""
    try:
        record = json.loads(storage.read_bytes(compaction_uri(output), max_bytes=2**28))
    except storage.StorageError as error:
        if error.error_type not in ("not_found", "no_bucket"):
            raise
        return None
    return Compaction(table=record["table"], new=tuple(record["new"]), old=tuple(record["old"]))


def compaction_uri(output: str) -> str:
    """Where a merge under way is noted."""
    return storage.join(output, "compaction.json")


def _that_count(
    files: Iterable[storage.StoredFile], journal: Compaction | None, table: str
) -> Iterator[storage.StoredFile]:
    files = list(files)
    names = {part_name(file.uri) for file in files}
    ignored: set[str] = set()
    if journal is not None and journal.table == table:
        ignored = set(journal.old if names.issuperset(journal.new) else journal.new)
    return (file for file in files if part_name(file.uri) not in ignored)


def part_name(uri: str) -> str:
    """The file name at the end of a URI."""
    return uri.rpartition("/")[2]


def read_parts(
    files: Sequence[storage.StoredFile], schema: pa.Schema, condition: pyarrow.dataset.Expression | None = None
) -> pa.Table:
    """Read some columns of part files, many files at a time; a column a file lacks reads as null.

    Raises:
        StorageError: A file cannot be read.
    """
    if not files:
        return schema.empty_table()
    filesystem, _ = storage.filesystem(files[0].uri)
    paths = [storage.filesystem(file.uri)[1] for file in files]
    try:
        parts = pyarrow.dataset.dataset(paths, schema=schema, format="parquet", filesystem=filesystem)
        return parts.to_table(columns=schema.names, filter=condition)
    except storage.StorageError:
        raise
    except (OSError, pa.ArrowInvalid) as error:
        message = f"{files[0].uri.rpartition('/')[0]}: a Parquet file cannot be read: {error}"
        raise storage.StorageError(message, "unreadable") from error


def captioned_tracks(output: str, model_id: str, options: DecodingOptions) -> pa.Table:
    """List the tracks that have a caption by this model and decoding.

    Returns:
        `track_id` and `etag`, one row a caption row.

    Raises:
        StorageError: The output cannot be read.
    """
    field = pyarrow.dataset.field
    condition = (
        (field("model_id") == model_id)
        & (field("decoding", "beam_size") == options.beam_size)
        & (field("decoding", "max_words") == options.max_words)
    )
    return read_parts(part_files(output, "captions"), _KEYS, condition).select(["track_id", "etag"])


def failed_tracks(output: str) -> pa.Table:
    """List the tracks that have failed, each with its last failure.

    Returns:
        `FAILURE_SCHEMA`, one row a track; `attempt` counts all its attempts.

    Raises:
        StorageError: The output cannot be read.
    """
    rows = read_parts(part_files(output, "failures"), FAILURE_SCHEMA)
    others = [name for name in FAILURE_SCHEMA.names if name not in ("track_id", "attempt")]
    ordered = rows.sort_by([("created_at", "ascending"), ("attempt", "ascending")])
    last = ordered.group_by("track_id", use_threads=False).aggregate(
        [("attempt", "max"), *((name, "last") for name in others)]
    )
    last = last.rename_columns([name.removesuffix("_last").removesuffix("_max") for name in last.column_names])
    return last.select(FAILURE_SCHEMA.names)


def remove_leftovers(output: str) -> None:
    """Remove features whose captions were never committed, and writes cut short. Only for the holder of the lease.

    Raises:
        StorageError: The output cannot be listed, or a file not removed.
    """
    for folder in (output, *(storage.join(output, name) for name in ("captions", "failures", "features", "runs"))):
        storage.remove_partial_writes(folder, older_than_s=LEASE_SECONDS)
    features = list(storage.list_files(storage.join(output, "features"), suffix=".parquet"))
    if not features:
        return
    captions = list(storage.list_files(storage.join(output, "captions"), suffix=".parquet"))
    names = {part_name(file.uri) for file in captions}
    for file in features:
        name = part_name(file.uri)
        if name in names or not name.startswith("part-") or _is_captioned(file, captions):
            continue
        logger.info("removing %s, left over from a run that was cut short", file.uri)
        storage.delete(file.uri)


def _is_captioned(features: storage.StoredFile, captions: Sequence[storage.StoredFile]) -> bool:
    """Whether the captions that belong to a features file were committed, wherever they have been merged to."""
    run_id = part_name(features.uri).removeprefix("part-").rpartition("-")[0]
    written = read_parts([features], pa.schema([FEATURE_SCHEMA.field("track_id")]))
    by_run = pyarrow.dataset.field("run_id") == run_id
    schema = pa.schema([CAPTION_SCHEMA.field(name) for name in ("track_id", "run_id")])
    known = read_parts(captions, schema, by_run)["track_id"].combine_chunks()
    return bool(pc.any(pc.is_in(written["track_id"], value_set=known)).as_py())


def last_run(output: str) -> dict[str, Any] | None:
    """Read the record of the newest run that had work to do, or of the newest of all; None without any.

    Raises:
        StorageError: The output cannot be read.
    """
    files = sorted(storage.list_files(storage.join(output, "runs"), suffix=".json"), key=lambda file: file.uri)
    newest: dict[str, Any] | None = None
    for file in reversed(files[-20:]):
        record: dict[str, Any] = json.loads(storage.read_bytes(file.uri))
        newest = newest or record
        if record.get("status") != "nothing_to_do":
            return record
    return newest


# The lease


@dataclass(frozen=True, kw_only=True)
class Holder:
    """Who works on an output."""

    run_id: str
    host: str
    pid: int
    process: str
    """Tells the process from others that had or will have its number: machine, boot, namespace, start time."""
    started_at: str
    heartbeat_at: str

    @property
    def silent_seconds(self) -> float:
        """Seconds since the last sign of life, by this machine's clock."""
        return (datetime.now(UTC) - datetime.fromisoformat(self.heartbeat_at)).total_seconds()

    def is_gone(self) -> bool:
        """Whether this was a process of this machine that no longer runs."""
        machine = self.process.rpartition("/")[0]
        return machine == _machine() and _process(self.pid) != self.process

    def __str__(self) -> str:
        """For a message."""
        return f"run {self.run_id} (process {self.pid} on {self.host}, since {self.started_at[:19]}Z)"


class Lease:
    """The right to write to an output, held while the context lasts.

    Raises:
        LeaseHeldError: On entering: another run holds it and shows signs of life.
        StorageError: The output cannot be written.
    """

    def __init__(
        self,
        output: str,
        run_id: str,
        *,
        heartbeat_seconds: float = HEARTBEAT_SECONDS,
        lease_seconds: float = LEASE_SECONDS,
    ) -> None:
        """Prepare a lease on `output` for `run_id`."""
        self.uri = storage.join(output, "lease.json")
        self.run_id = run_id
        self._output = output
        self._heartbeat_seconds, self._lease_seconds = heartbeat_seconds, lease_seconds
        self._started_at = datetime.now(UTC).isoformat()
        self._etag = ""
        self._lost = False
        self._renewed = 0.0
        self._released = threading.Event()
        self._renewal = threading.Condition()
        self._thread = threading.Thread(target=self._keep, name="muscaps-lease", daemon=True)

    def __enter__(self) -> "Lease":
        while not self._taken():
            pass
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._released.set()
        self._thread.join(timeout=2 * self._heartbeat_seconds)
        with contextlib.suppress(storage.StorageError):
            if not self._lost and _holder(storage.read_bytes(self.uri)).run_id == self.run_id:
                storage.delete(self.uri)

    def ensure_held(self) -> None:
        """Return while the lease is surely held; wait for the next renewal where that is in doubt.

        Raises:
            LeaseLostError: Another run has it, or the store has not answered for `OUTAGE_SECONDS`.
        """
        deadline = time.monotonic() + OUTAGE_SECONDS
        with self._renewal:
            while not self._lost and time.monotonic() - self._renewed > 0.75 * self._lease_seconds:
                if time.monotonic() > deadline:
                    raise LeaseLostError(f"{self.uri}: could not be renewed for {OUTAGE_SECONDS:.0f} s")
                self._renewal.wait(timeout=1.0)
            if self._lost:
                raise LeaseLostError(f"{self._output}: another run took this output over; stopping here")

    def _taken(self) -> bool:
        """Try once to get the lease; False where it changed hands in between."""
        mine = self._record()
        started = time.monotonic()
        if storage.create_exclusively(self.uri, mine):
            return self._mine(storage.read_versioned(self.uri)[1], started)
        try:
            data, etag = storage.read_versioned(self.uri)
        except storage.StorageError as error:
            if error.error_type == "not_found":
                return False
            raise
        self._refuse_the_living(_holder(data), etag)
        started = time.monotonic()
        if not storage.replace_if_unchanged(self.uri, mine, etag):
            return False
        logger.warning("taking over from %s, which ended without saying so", _holder(data))
        return self._mine(storage.read_versioned(self.uri)[1], started)

    def _refuse_the_living(self, holder: Holder, etag: str) -> None:
        if holder.is_gone():
            return
        left = self._lease_seconds - holder.silent_seconds
        if left > 0:
            raise LeaseHeldError(
                f"{self._output} is being written by {holder}, last heard of {max(0, holder.silent_seconds):.0f} s "
                f"ago. Wait for it to end; if it is dead, it can be replaced in {left:.0f} s"
            )
        time.sleep(1.5 * self._heartbeat_seconds)
        with contextlib.suppress(storage.StorageError):
            if storage.read_versioned(self.uri)[1] != etag:
                raise LeaseHeldError(
                    f"{self._output} is being written by {holder}, whose clock differs from this machine's by "
                    f"{holder.silent_seconds:.0f} s. Wait for it to end"
                )

    def _keep(self) -> None:
        """Renew the lease until it is released or lost."""
        while not self._released.wait(self._heartbeat_seconds):
            started = time.monotonic()
            try:
                kept = storage.replace_if_unchanged(self.uri, self._record(), self._etag)
                etag = storage.read_versioned(self.uri)[1] if kept else ""
            except storage.StorageError as error:
                logger.warning("the lease could not be renewed: %s", error)
                continue
            with self._renewal:
                if not kept:
                    self._lost = True
                    logger.error("%s: another run took this output over", self._output)
                else:
                    self._mine(etag, started)
                self._renewal.notify_all()
            if not kept:
                return

    def _mine(self, etag: str, since: float) -> bool:
        self._etag, self._renewed = etag, since
        return True

    def _record(self) -> bytes:
        holder = Holder(
            run_id=self.run_id,
            host=socket.gethostname(),
            pid=os.getpid(),
            process=_process(os.getpid()) or _machine(),
            started_at=self._started_at,
            heartbeat_at=datetime.now(UTC).isoformat(),
        )
        return json.dumps(asdict(holder), indent=2).encode()


def current_holder(output: str) -> Holder | None:
    """Who holds the lease on an output, dead or alive; None where nobody does."""
    try:
        return _holder(storage.read_bytes(storage.join(output, "lease.json")))
    except storage.StorageError as error:
        if error.error_type not in ("not_found", "no_bucket"):
            raise
        return None


def _holder(data: bytes) -> Holder:
    """Read a lease; one that does not read counts as left by nobody, long ago."""
    try:
        fields = json.loads(data)
        return Holder(**{name: fields[name] for name in Holder.__dataclass_fields__})
    except (ValueError, KeyError, TypeError):
        long_ago = datetime.fromtimestamp(0, UTC).isoformat()
        return Holder(run_id="?", host="?", pid=0, process="", started_at=long_ago, heartbeat_at=long_ago)


def _machine() -> str:
    """This boot of this machine, as seen from this process's namespace: where process numbers mean the same."""
    boot = namespace = ""
    with contextlib.suppress(OSError):
        with open("/proc/sys/kernel/random/boot_id") as file:
            boot = file.read().strip()
        namespace = os.readlink("/proc/self/ns/pid")
    return f"{socket.gethostname()}/{boot}/{namespace}"


def _process(pid: int) -> str:
    """A running process, told from any other of the same number; empty where there is none."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
        if fields[0] in "ZX":  # killed, but not yet buried by its parent
            return ""
        return f"{_machine()}/{pid}-{fields[19]}"
    except OSError:
        pass
    if os.path.exists("/proc/self/stat"):
        return ""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return ""
    except PermissionError:
        pass
    return f"{_machine()}/{pid}-"


# Commits


@dataclass(kw_only=True)
class Counts:
    """What a run has committed."""

    captioned: int = 0
    failed: int = 0
    retryable: int = 0
    audio_seconds: float = 0.0
    damaged: int = 0

    @property
    def attempted(self) -> int:
        """Tracks that came out one way or the other."""
        return self.captioned + self.failed


class CaptionSink:
    """Collects result rows and commits them, one Parquet object per table and write.

    Rows wait until there are `max_rows` of them, `max_bytes`, or the oldest has waited `max_seconds`; a crash loses
    at most those. A track that comes out twice is taken once.
    """

    def __init__(
        self,
        output: str,
        lease: Lease,
        *,
        model_id: str,
        options: DecodingOptions,
        extra_columns: pa.Schema,
        max_rows: int = 10_000,
        max_bytes: int = 64 * 2**20,
        max_seconds: float = 30.0,
    ) -> None:
        """Prepare commits by the lease's run.

        Args:
            output: Folder or bucket prefix.
            lease: Held by this process.
            model_id: Of the checkpoint that captions.
            options: How it searches.
            extra_columns: The catalogue's own columns, which follow ours.
            max_rows: Rows at which a part is written.
            max_bytes: Bytes at which a part is written.
            max_seconds: Age at which rows are written, however few.
        """
        self._output, self._lease, self._run_id = output, lease, lease.run_id
        self._model_id = model_id
        self._decoding = {"beam_size": options.beam_size, "max_words": options.max_words}
        self._caption_schema = pa.schema([*CAPTION_SCHEMA, *extra_columns])
        self._max_rows, self._max_bytes, self._max_seconds = max_rows, max_bytes, max_seconds
        self._waiting: list[pa.Table] = []
        self._waiting_rows = self._waiting_bytes = 0
        self._oldest = 0.0
        self._number = 0
        self._answered: set[str] = set()
        self._failing: set[str] = set()
        self.counts = Counts()
        self.parts: list[str] = []

    @property
    def failed_tracks(self) -> int:
        """Tracks, rather than attempts, that failed and have not been captioned since."""
        return len(self._failing)

    def start_round(self) -> None:
        """Expect tracks anew: those of the last round may come out again, as another attempt."""
        self._answered.clear()

    def add(self, rows: pa.Table) -> pa.Table:
        """Take result rows, see `stages.RESULT`, and commit when it is time.

        Returns:
            Those of them that were not there before.

        Raises:
            LeaseLostError: Another run took over.
            StorageError: The store failed for longer than `OUTAGE_SECONDS`, or refuses to be written.
        """
        rows = rows.combine_chunks()  # they come in as many pieces as tracks, which makes every step below slow
        fresh = []
        for track_id in rows["track_id"].to_pylist():
            fresh.append(track_id not in self._answered)
            self._answered.add(track_id)
        if not all(fresh):
            rows = rows.filter(pa.array(fresh))
        if rows.num_rows:
            self._oldest = self._oldest if self._waiting else time.monotonic()
            self._waiting.append(rows)
            self._waiting_rows += rows.num_rows
            self._waiting_bytes += rows.nbytes
            self._count(rows)
        self.commit_if_due()
        return rows

    def commit_if_due(self) -> None:
        """Commit what waits if it is enough or old enough."""
        if not self._waiting:
            return
        old = time.monotonic() - self._oldest >= self._max_seconds
        if self._waiting_rows >= self._max_rows or self._waiting_bytes >= self._max_bytes or old:
            self.commit()

    def commit(self) -> None:
        """Write everything that waits; on return it is safe.

        Raises:
            LeaseLostError: Another run took over.
            StorageError: The store failed for longer than `OUTAGE_SECONDS`, or refuses to be written.
        """
        if not self._waiting:
            return
        rows = pa.concat_tables(self._waiting)
        captioned = rows["caption"].is_valid()
        done, failed = rows.filter(captioned), rows.filter(pc.invert(captioned))
        name = f"part-{self._run_id}-{self._number:06d}.parquet"
        if done.num_rows:
            with_features = done.filter(done["features"].is_valid())
            if with_features.num_rows:
                self._put("features", name, self._feature_rows(with_features))
            self._put("captions", name, self._caption_rows(done))
        if failed.num_rows:
            self._put("failures", name, self._failure_rows(failed))
        self._number += 1
        self._waiting, self._waiting_rows, self._waiting_bytes = [], 0, 0

    def _put(self, table: TableName, name: str, rows: pa.Table) -> None:
        uri = storage.join(self._output, table, name)
        data = parquet_bytes(rows)
        deadline = time.monotonic() + OUTAGE_SECONDS
        while True:
            self._lease.ensure_held()
            try:
                storage.write_once(uri, data)
            except storage.StorageError as error:
                if not error.retryable or time.monotonic() > deadline:
                    raise
                logger.warning("%s; %d rows wait to be written", error, rows.num_rows)
                time.sleep(5.0)
            else:
                self.parts.append(f"{table}/{name}")
                return

    def _count(self, rows: pa.Table) -> None:
        captioned = rows["caption"].is_valid()
        done = rows.filter(captioned)
        self.counts.captioned += done.num_rows
        self.counts.failed += rows.num_rows - done.num_rows
        self._failing.update(rows["track_id"].filter(pc.invert(captioned)).to_pylist())
        self._failing.difference_update(done["track_id"].to_pylist() if self._failing else ())
        self.counts.retryable += pc.sum(rows["retryable"].cast(pa.int64())).as_py() or 0
        self.counts.audio_seconds += pc.sum(done["heard_duration_s"]).as_py() or 0.0
        self.counts.damaged += done.num_rows - done["damaged"].null_count

    def _caption_rows(self, rows: pa.Table) -> pa.Table:
        """Rows of `captions/`: ours, then the catalogue's."""
        values = {
            "duration_s": rows["heard_duration_s"],
            "model_id": self._model_id,
            "decoding": pa.scalar(self._decoding, DECODING),
            "code_version": __version__,
            "run_id": self._run_id,
            "created_at": _times(rows),
        }
        return _conformed(rows, self._caption_schema, values)

    def _failure_rows(self, rows: pa.Table) -> pa.Table:
        values = {"run_id": self._run_id, "created_at": _times(rows), "model_id": self._model_id}
        return _conformed(rows, FAILURE_SCHEMA, values)

    def _feature_rows(self, rows: pa.Table) -> pa.Table:
        return _conformed(rows, FEATURE_SCHEMA, {"model_id": self._model_id})


def parquet_bytes(rows: pa.Table) -> bytes:
    """Rows as one Parquet file."""
    sink = pa.BufferOutputStream()
    pq.write_table(rows, sink, compression="zstd")
    return bytes(sink.getvalue())


def _conformed(rows: pa.Table, schema: pa.Schema, values: Mapping[str, Any]) -> pa.Table:
    """Rows with just the schema's columns: from `values`, a column or one value for all, else from the rows."""
    columns = []
    for column in schema:
        value = values.get(column.name, rows[column.name] if column.name in rows.column_names else None)
        if not isinstance(value, pa.ChunkedArray | pa.Array):
            scalar = value if isinstance(value, pa.Scalar) else pa.scalar(value, column.type)
            value = pa.repeat(scalar, rows.num_rows)
        columns.append(value.cast(column.type))
    return pa.table(columns, schema=schema)


def _times(rows: pa.Table) -> pa.ChunkedArray:
    """When each row came about; a failure's time is now."""
    return pc.coalesce(rows["created_at"].cast(TIMESTAMP), pa.scalar(datetime.now(UTC), TIMESTAMP))
