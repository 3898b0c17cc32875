"""The result of a run, for the caller and for `OUTPUT/runs/<run_id>.json`."""

from dataclasses import dataclass, field
from typing import Any, Literal

Status = Literal["running", "done", "nothing_to_do", "drained", "stopped", "failed"]
"""Status of a run:

- `running`: it is in progress, or ended without writing its record (see `updated_at`).
- `done`: every planned track has a caption or a failure.
- `nothing_to_do`: no track of the catalogue was left to process.
- `drained`: it ended early, on a signal or the time limit; the next run processes the rest.
- `stopped`: it ended early because too many tracks failed.
- `failed`: it ended with an error, see `reason`.
"""


@dataclass(frozen=True, kw_only=True)
class RunSummary:
    """The result of a run."""

    run_id: str
    """Name of the run, also in every row that it wrote."""
    output: str
    """Folder or bucket prefix of the output."""
    status: Status
    """See `Status`."""
    reason: str = ""
    """Why the run ended early; empty otherwise."""
    model_id: str = ""
    """Model id of the checkpoint."""
    num_tracks: int = 0
    """Number of tracks in the catalogue."""
    files_left_out: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Files of a listed folder that are not audio: suffix -> `files` (their number) and `example` (one of them)."""
    num_unreadable: int = 0
    """Folders and links of a listed folder that could not be read."""
    unreadable: list[str] = field(default_factory=list)
    """The first 1,000 folders and links that could not be read, each with its reason."""
    num_undecodable: int = 0
    """Tracks of a listed folder whose name is not UTF-8; their `track_id` is percent-encoded."""
    undecodable: list[str] = field(default_factory=list)
    """The first 1,000 of them, percent-encoded."""
    already_captioned: int = 0
    """Tracks with a caption of an earlier run."""
    already_failed: int = 0
    """Tracks whose last failure is final, and which are therefore not processed."""
    to_do: int = 0
    """Tracks that this run planned to process."""
    captioned: int = 0
    """Tracks that this run captioned."""
    shared: int = 0
    """Versions that got the caption of another track in this run, without being processed."""
    saved_seconds: float | None = None
    """Time by which the run would have been longer without that, at its rate; None if it captioned nothing."""
    failed: int = 0
    """Tracks that failed in this run and have no caption."""
    left: int = 0
    """Planned tracks that were not processed."""
    damaged: int = 0
    """Captioned tracks whose file is partly damaged; column `damage` of `captions/` has the reasons."""
    damaged_tracks: list[dict[str, str]] = field(default_factory=list)
    """The first 100 damaged tracks, each with `track_id` and `damage`."""
    not_music: int = 0
    """Captioned tracks that are probably speech or noise; column `music_score` of `captions/` is below 0.5."""
    failures_by_reason: dict[str, int] = field(default_factory=dict)
    """`stage/error_type` -> number of attempts."""
    audio_seconds: float = 0.0
    """Total length of the captioned tracks."""
    wall_seconds: float = 0.0
    """Duration of the run."""
    startup_seconds: float = 0.0
    """Time from the start until the first track was finished."""
    recent_tracks: int = 0
    """Tracks captioned or failed in the last minutes of the run, see `record.RECENT_SECONDS`."""
    recent_seconds: float = 0.0
    """Length of these last minutes."""
    stage_seconds: dict[str, float] = field(default_factory=dict)
    """Working time by stage (fetch, decode, feature, search), summed over workers; `commit` is time of the driver."""
    peak_memory_bytes: dict[str, int] = field(default_factory=dict)
    """Peak memory of the driver, and the largest of all decode workers and of all captioning workers, without Ray's
    object store."""
    rounds: int = 0
    """Number of Ray executions."""
    started_at: str = ""
    """Start, UTC."""
    updated_at: str = ""
    """Last write of the record, UTC."""
    ended_at: str = ""
    """End, UTC; empty during the run."""
    config: dict[str, Any] = field(default_factory=dict)
    """Configuration of the run, without secrets."""
    versions: dict[str, str] = field(default_factory=dict)
    """Versions of Python, muscaps and its dependencies."""

    @property
    def real_time_factor(self) -> float:
        """Seconds of captioned audio per second of the run."""
        return self.audio_seconds / self.wall_seconds if self.wall_seconds else 0.0


@dataclass(frozen=True, kw_only=True)
class Progress:
    """The progress of a run."""

    total: int
    """Tracks to process."""
    captioned: int = 0
    """Tracks captioned so far, versions that share a caption included."""
    failed: int = 0
    """Tracks failed so far."""
    step: str = ""
    """The current step, in words."""
