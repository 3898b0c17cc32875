"""What a run did, as its caller and `OUTPUT/runs/<run_id>.json` get it."""

from dataclasses import dataclass, field
from typing import Any, Literal

Status = Literal["running", "done", "nothing_to_do", "drained", "stopped", "failed"]
"""How a run stands:

- `running`: it works, or ended without writing its record (see `ended_at`).
- `done`: every track it set out to process has a caption or a failure.
- `nothing_to_do`: the output held everything already.
- `drained`: it ended early, on a signal or the time limit; the rest is left for the next run.
- `stopped`: it ended early because too many tracks failed.
- `failed`: an error ended it, see `reason`.
"""


@dataclass(frozen=True, kw_only=True)
class RunSummary:
    """What a run did."""

    run_id: str
    """Its name, also in every row it wrote."""
    output: str
    """Where it wrote."""
    status: Status
    """How it ended."""
    reason: str = ""
    """Why it ended before all was done."""
    model_id: str = ""
    """Of the checkpoint."""
    num_tracks: int = 0
    """In the catalogue."""
    files_left_out: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Files of a listed folder that are not audio: suffix -> `files`, their number, and `example`, one of them."""
    num_unreadable: int = 0
    """Folders and links of a listed folder that could not be read."""
    unreadable: list[str] = field(default_factory=list)
    """The first 1,000 of them, each with its reason."""
    already_captioned: int = 0
    """Tracks of the catalogue that earlier runs captioned."""
    already_failed: int = 0
    """Tracks of the catalogue that failed for good in earlier runs and are not tried again."""
    to_do: int = 0
    """Tracks this run set out to process."""
    captioned: int = 0
    """Tracks it captioned."""
    failed: int = 0
    """Tracks it ended without a caption for."""
    left: int = 0
    """Tracks it did not process."""
    damaged: int = 0
    """Captioned tracks whose file was damaged in part; column `damage` of `captions/` has the reasons."""
    damaged_tracks: list[dict[str, str]] = field(default_factory=list)
    """The first 100 of them, each with `track_id` and `damage`."""
    failures_by_reason: dict[str, int] = field(default_factory=dict)
    """`stage/error_type` -> attempts."""
    audio_seconds: float = 0.0
    """Length of the tracks captioned."""
    wall_seconds: float = 0.0
    """From the first line to the last."""
    startup_seconds: float = 0.0
    """Of those, until the first track was returned, its own processing included."""
    stage_seconds: dict[str, float] = field(default_factory=dict)
    """Work by stage (fetch, decode, feature, search), summed over workers; commit is the driver's."""
    peak_memory_bytes: dict[str, int] = field(default_factory=dict)
    """Most memory of the driver, of any decode worker and of any captioning worker, the object store excluded."""
    rounds: int = 0
    """Ray executions it took."""
    started_at: str = ""
    """UTC."""
    ended_at: str = ""
    """UTC; while it runs, when the record was last written."""
    config: dict[str, Any] = field(default_factory=dict)
    """Its configuration, without secrets."""
    versions: dict[str, str] = field(default_factory=dict)
    """Of Python, muscaps and what it builds on."""

    @property
    def real_time_factor(self) -> float:
        """Seconds of audio captioned per second of the run."""
        return self.audio_seconds / self.wall_seconds if self.wall_seconds else 0.0


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a run is."""

    total: int
    """Tracks to process."""
    captioned: int = 0
    """Tracks captioned so far."""
    failed: int = 0
    """Tracks failed so far."""
    step: str = ""
    """The current step, in words."""
