"""The state of an output's newest run: progress, rates, time left and cost, from its record and the lease.

Conventions: "overall" counts the time from the start of the run, start-up included. "Now" counts the last minutes, as
the record has them (`recent_tracks`, `recent_seconds`). The time left follows from the rate now.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pipeline.output.lease import LEASE_SECONDS, current_holder
from pipeline.output.runs import last_run


@dataclass(frozen=True, kw_only=True)
class RunStatus:
    """A run in progress or the last one."""

    run_id: str
    """Name of the run."""
    state: str
    """Status of the record; of a run without a final record, whether and where it is still running."""
    is_running: bool
    """Whether the process of the run is alive."""
    started_at: str
    """Start, UTC."""
    updated_at: str
    """Last write of the record, UTC; the counts are those of this time."""
    ended_at: str | None
    """End, UTC; None while the run is in progress, and if it ended without a final record."""
    to_do: int
    """Tracks that the run planned to process."""
    captioned: int
    """Tracks captioned so far."""
    shared: int
    """Versions that got the caption of another track so far."""
    saved_seconds: float | None
    """Time that this has saved; None if unknown."""
    failed: int
    """Tracks failed so far."""
    left: int
    """Tracks not processed yet."""
    elapsed_seconds: float
    """Time since the start; of a run that has ended, its duration."""
    startup_seconds: float | None
    """Time until the first track was finished; None before."""
    tracks_per_second: float
    """Rate overall, start-up included."""
    tracks_per_second_now: float | None
    """Rate of the last minutes; None if the run is not in progress or has no result yet."""
    seconds_left: float | None
    """Estimated time left; None if the run is not in progress or has no result yet."""
    failures_by_reason: dict[str, int]
    """`stage/error_type` -> number of attempts."""
    damaged: int
    """Tracks captioned from damaged files."""
    damaged_tracks: list[dict[str, str]]
    """The first of them."""
    not_music: int
    """Captioned tracks that are probably speech or noise."""

    @property
    def done(self) -> int:
        """Tracks captioned or failed, versions that share a caption included."""
        return self.captioned + self.shared + self.failed

    def cost(self, hourly_price: float) -> dict[str, float | None]:
        """Return what the run costs at a price per hour of the whole cluster, start-up included.

        Returns:
            `cost_so_far`; `cost_per_1000_tracks`, None before the first track; `cost_at_end`, None if the run is not in
            progress or the time left is unknown.
        """
        so_far = self.elapsed_seconds / 3600 * hourly_price
        rest = None if self.seconds_left is None else self.seconds_left / 3600 * hourly_price
        return {
            "cost_so_far": round(so_far, 4),
            "cost_per_1000_tracks": round(1000 * so_far / self.done, 4) if self.done else None,
            "cost_at_end": None if rest is None else round(so_far + rest, 4),
        }


def run_status(output: str) -> RunStatus:
    """Read the state of the newest run of an output.

    Raises:
        StorageError: The output cannot be read.
        ValueError: No run has written there.
    """
    record = last_run(output)
    if record is None:
        raise ValueError(f"{output}: no run has written there")
    if record["status"] != "running":
        return status_of(record, host=None, now=datetime.now(UTC))
    holder = current_holder(output)
    is_alive = (
        holder is not None
        and holder.run_id == record["run_id"]
        and not holder.has_ended()
        and holder.silent_seconds < LEASE_SECONDS
    )
    return status_of(record, host=holder.host if holder is not None and is_alive else None, now=datetime.now(UTC))


def status_of(record: dict[str, Any], *, host: str | None, now: datetime) -> RunStatus:
    """Compute the state of a run.

    Args:
        record: `runs/<run_id>.json`; older versions lack some values.
        host: Machine on which the run is alive; None if it is not.
        now: Time of the question.
    """
    is_running = host is not None
    state = record["status"]
    if state == "running":
        state = f"running on {host}" if is_running else "ended without a final record (killed?)"
    done = record["captioned"] + record.get("shared", 0) + record["failed"]
    started_at = record.get("started_at", "")
    elapsed = float(record["wall_seconds"])
    if is_running and started_at:
        elapsed = max(elapsed, (now - datetime.fromisoformat(started_at)).total_seconds())
    rate_now = None
    if is_running and done:
        rate_now = _rate(record.get("recent_tracks", 0), record.get("recent_seconds", 0.0))
    overall = _rate(done, elapsed)
    basis = rate_now or (overall if is_running and done else 0.0)
    return RunStatus(
        run_id=record["run_id"],
        state=state,
        is_running=is_running,
        started_at=started_at,
        updated_at=record.get("updated_at") or record.get("ended_at", ""),
        ended_at=record.get("ended_at") or None if record["status"] != "running" else None,
        **{name: record[name] for name in ("to_do", "captioned", "failed", "left")},
        shared=record.get("shared", 0),
        saved_seconds=record.get("saved_seconds"),
        elapsed_seconds=round(elapsed, 1),
        startup_seconds=record["startup_seconds"] if done else None,
        tracks_per_second=round(overall, 4),
        tracks_per_second_now=None if rate_now is None else round(rate_now, 4),
        seconds_left=round(record["left"] / basis, 1) if basis else None,
        failures_by_reason=record.get("failures_by_reason", {}),
        damaged=record.get("damaged", 0),
        damaged_tracks=record.get("damaged_tracks", []),
        not_music=record.get("not_music", 0),
    )


def _rate(tracks: int, seconds: float) -> float:
    return tracks / seconds if seconds > 0 else 0.0
