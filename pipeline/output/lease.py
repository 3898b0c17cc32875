"""The lease on an output: at most one run writes to it at a time.

Conventions:

- Only the driver of a run commits. It holds the lease `OUTPUT/lease.json`, and a thread of the driver
  (`Lease._renew_until_released`) renews it every `HEARTBEAT_SECONDS`. While the lease might be lost, nothing is
  committed.
- A lease is taken over at once if its holder was a process of this machine that has ended, otherwise after
  `LEASE_SECONDS` without a heartbeat.
- The object is changed only by conditional writes. A released lease stays, marked as released, because a removal could
  remove the lease of a successor.
- A process that was stopped for longer than its lease may still have one request on the way. The successor therefore
  excludes late files of the runs before it (`journal.exclude_late_files`) before it reads anything.
- Clocks may disagree. Before a takeover the successor waits one and a half heartbeats and gives up if the lease
  changes. Two runs therefore never hold one output.
"""

import contextlib
import json
import logging
import os
import socket
from dataclasses import MISSING, asdict, dataclass, fields
from datetime import UTC, datetime
from types import TracebackType

from pipeline import storage
from pipeline.output import clock
from pipeline.output.journal import exclude_late_files
from pipeline.output.process_identity import machine_identity, process_identity

logger = logging.getLogger(__name__)

HEARTBEAT_SECONDS = 10.0
"""Time between two renewals of a lease."""
LEASE_SECONDS = 60.0
"""Time without a heartbeat after which a lease may be taken over."""
SAFE_FRACTION = 0.75
"""Fraction of `LEASE_SECONDS` after a renewal in which the holder may commit without a further renewal."""
OUTAGE_SECONDS = 900.0
"""How long a commit is retried while the store does not answer, in seconds."""


class LeaseHeldError(RuntimeError):
    """Another run writes to this output; the message names the run."""


class LeaseLostError(RuntimeError):
    """Another run has taken over this output; nothing more may be committed."""


@dataclass(frozen=True, kw_only=True)
class Holder:
    """The run that writes to an output, as `lease.json` records it."""

    run_id: str
    host: str
    pid: int
    process: str
    """See `process_identity`."""
    started_at: str
    heartbeat_at: str
    released: bool = False
    """Whether the run has ended in order."""
    unexcluded: tuple[str, ...] = ()
    """Runs that lost the lease, and whose late files are not excluded yet."""

    @property
    def silent_seconds(self) -> float:
        """Seconds since the last heartbeat, by this machine's clock."""
        return (clock.now() - datetime.fromisoformat(self.heartbeat_at)).total_seconds()

    def has_ended(self) -> bool:
        """Whether the holder was a process of this machine that no longer runs."""
        machine = self.process.rpartition("/")[0]
        return machine == machine_identity() and process_identity(self.pid) != self.process

    def __str__(self) -> str:
        """For a message."""
        return f"run {self.run_id} (process {self.pid} on {self.host}, since {self.started_at[:19]}Z)"


class Lease:
    """The right to write to an output, held while the context is open.

    Raises:
        LeaseHeldError: On entering: another run holds the lease and may still run.
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
        self.uri = _lease_uri(output)
        self.run_id = run_id
        self._output = output
        self._heartbeat_seconds, self._lease_seconds = heartbeat_seconds, lease_seconds
        self._started_at = clock.now().isoformat()
        self._etag = ""
        self._unexcluded: tuple[str, ...] = ()
        self._lost = False
        self._renewed = 0.0
        self._released = False
        self._renewal = clock.current().condition()
        self._thread = clock.current().thread(self._renew_until_released, "muscaps-lease")

    def __enter__(self) -> "Lease":
        while not self._try_to_take():
            pass
        self._thread.start()
        if self._unexcluded:
            try:
                exclude_late_files(self._output, self._unexcluded)
            except BaseException:
                self._release()
                raise
            self._unexcluded = ()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._release()

    def _release(self) -> None:
        """End the renewals and mark the lease as released, if it is still held."""
        with self._renewal:
            self._released = True
            self._renewal.notify_all()
        self._thread.join(timeout=2 * self._heartbeat_seconds)
        with contextlib.suppress(storage.StorageError):
            data, etag = storage.read_versioned(self.uri)
            if not self._lost and _parse_holder(data).run_id == self.run_id:
                storage.replace_if_unchanged(self.uri, self._record(released=True), etag)

    def ensure_held(self) -> None:
        """Return if the lease is certainly held; otherwise wait for the next renewal.

        Raises:
            LeaseLostError: Another run holds the lease, or the store has not answered for `OUTAGE_SECONDS`.
        """
        deadline = clock.monotonic() + OUTAGE_SECONDS
        with self._renewal:
            while not self._lost and clock.monotonic() - self._renewed > SAFE_FRACTION * self._lease_seconds:
                if clock.monotonic() > deadline:
                    raise LeaseLostError(f"{self.uri}: could not be renewed for {OUTAGE_SECONDS:.0f} s")
                self._renewal.wait(timeout=1.0)
            if self._lost:
                raise LeaseLostError(f"{self._output}: another run has taken over this output; stopping")

    def _try_to_take(self) -> bool:
        """Try once to get the lease; False if another run changed it in between."""
        record = self._record()
        started = clock.monotonic()
        if storage.create_exclusively(self.uri, record):
            return self._has_written(record, started)
        try:
            data, etag = storage.read_versioned(self.uri)
        except storage.StorageError as error:
            if error.error_type == "not_found":
                return False
            raise
        holder = _parse_holder(data)
        self._raise_if_held(holder, etag)
        self._unexcluded = holder.unexcluded if holder.released else (*holder.unexcluded, holder.run_id)
        record = self._record()
        started = clock.monotonic()
        if not storage.replace_if_unchanged(self.uri, record, etag):
            return False
        if not holder.released:
            logger.warning("taking over the lease of %s, which ended without releasing it", holder)
        return self._has_written(record, started)

    def _has_written(self, record: bytes, since: float) -> bool:
        """Note the version of a record that was just written; False if another run has replaced it."""
        data, etag = storage.read_versioned(self.uri)
        if data == record:
            self._etag, self._renewed = etag, since
        return data == record

    def _raise_if_held(self, holder: Holder, etag: str) -> None:
        """Raise LeaseHeldError unless the holder has ended, or has sent no heartbeat for `lease_seconds`."""
        if holder.released or holder.has_ended():
            return
        remaining = self._lease_seconds - holder.silent_seconds
        if remaining > 0:
            raise LeaseHeldError(
                f"{self._output} is being written by {holder}, last heartbeat {max(0, holder.silent_seconds):.0f} s "
                f"ago. Wait for it to end; if it no longer runs, its lease expires in {remaining:.0f} s"
            )
        clock.sleep(1.5 * self._heartbeat_seconds)
        with contextlib.suppress(storage.StorageError):
            if storage.read_versioned(self.uri)[1] != etag:
                raise LeaseHeldError(
                    f"{self._output} is being written by {holder}, whose clock differs from this machine's by "
                    f"{holder.silent_seconds:.0f} s. Wait for it to end"
                )

    def _renew_until_released(self) -> None:
        """Renew the lease every heartbeat until it is released or lost."""
        while not self._is_released_within(self._heartbeat_seconds):
            try:
                kept = self._renew()
            except storage.StorageError as error:
                logger.warning("the lease could not be renewed: %s", error)
                continue
            with self._renewal:
                if not kept:
                    self._lost = True
                    logger.error("%s: another run has taken over this output", self._output)
                self._renewal.notify_all()
            if not kept:
                return

    def _renew(self) -> bool:
        """Write a heartbeat; return False if another run has the lease."""
        started, record = clock.monotonic(), self._record()
        if not storage.replace_if_unchanged(self.uri, record, self._etag):
            # The lease is ours if the answer to an earlier renewal was lost.
            data, etag = storage.read_versioned(self.uri)
            holder = _parse_holder(data)
            is_ours = holder.run_id == self.run_id and not holder.released
            if not is_ours or not storage.replace_if_unchanged(self.uri, record, etag):
                return False
        return self._has_written(record, started)

    def _is_released_within(self, seconds: float) -> bool:
        """Wait until the lease is released, at most for some seconds; return whether it is."""
        end = clock.monotonic() + seconds
        with self._renewal:
            while not self._released and (left := end - clock.monotonic()) > 0:
                self._renewal.wait(timeout=left)
            return self._released

    def _record(self, *, released: bool = False) -> bytes:
        holder = Holder(
            run_id=self.run_id,
            host=socket.gethostname(),
            pid=os.getpid(),
            process=process_identity(os.getpid()) or machine_identity(),
            started_at=self._started_at,
            heartbeat_at=clock.now().isoformat(),
            released=released,
            unexcluded=self._unexcluded,
        )
        return json.dumps(asdict(holder), indent=2).encode()


def current_holder(output: str) -> Holder | None:
    """Return the holder of the lease on an output, whether it still runs or not; None if nobody holds it."""
    try:
        holder = _parse_holder(storage.read_bytes(_lease_uri(output)))
        return None if holder.released else holder
    except storage.StorageError as error:
        if error.error_type not in ("not_found", "no_bucket"):
            raise
        return None


def _lease_uri(output: str) -> str:
    return storage.join(output, "lease.json")


def _parse_holder(data: bytes) -> Holder:
    """Read a lease; an unreadable one is treated as expired."""
    try:
        record = json.loads(data)
        needed = {field.name: record[field.name] for field in fields(Holder) if field.default is MISSING}
        unexcluded = tuple(record.get("unexcluded", ()))
        return Holder(**needed, released=record.get("released", False), unexcluded=unexcluded)
    except (ValueError, KeyError, TypeError):
        long_ago = datetime.fromtimestamp(0, UTC).isoformat()
        return Holder(run_id="?", host="?", pid=0, process="", started_at=long_ago, heartbeat_at=long_ago)
