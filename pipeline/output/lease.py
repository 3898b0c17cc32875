"""The lease on an output: at most one run writes to it at a time.

Conventions:

- One process, the run's driver, commits. It holds the lease `OUTPUT/lease.json` while it does, renews it every
  `HEARTBEAT_SECONDS` and commits nothing once it might have lost it.
- A lease is taken over at once when its holder was a process of this machine that is gone, else after `LEASE_SECONDS`
  without a sign of life.
"""

import contextlib
import json
import logging
import os
import socket
import threading
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from types import TracebackType

from pipeline import storage
from pipeline.output.process_identity import machine_identity, process_identity

logger = logging.getLogger(__name__)

HEARTBEAT_SECONDS = 10.0
LEASE_SECONDS = 60.0
"""Silence after which a lease may be taken over. A successor also waits one and a half heartbeats to see that
nothing moves, so clocks that disagree cannot give an output to two runs."""
OUTAGE_SECONDS = 900.0
"""How long a commit is tried again while the store does not answer, in seconds."""


class LeaseHeldError(RuntimeError):
    """Another run works on this output; the message names it."""


class LeaseLostError(RuntimeError):
    """Another run took this output over; nothing more may be committed."""


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
        return machine == machine_identity() and process_identity(self.pid) != self.process

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
            process=process_identity(os.getpid()) or machine_identity(),
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
