"""What a run did: its summary, its progress and the versions it ran on."""

import contextlib
import importlib.metadata
import platform
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from muscaps import __version__
from pipeline import storage
from pipeline.captioning.config import CaptioningConfig

Status = Literal["running", "done", "nothing_to_do", "drained", "stopped", "failed"]


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
    already_captioned: int = 0
    """Of those, captioned by earlier runs."""
    already_failed: int = 0
    """Of those, failed for good in earlier runs and not tried again."""
    to_do: int = 0
    """Tracks this run set out to do."""
    captioned: int = 0
    """Tracks it captioned."""
    failed: int = 0
    """Tracks it ended without a caption for."""
    left: int = 0
    """Tracks it did not get to."""
    damaged: int = 0
    """Captioned tracks whose file was damaged in part."""
    failures_by_reason: dict[str, int] = field(default_factory=dict)
    """`stage/error_type` -> attempts."""
    audio_seconds: float = 0.0
    """Length of the tracks captioned."""
    wall_seconds: float = 0.0
    """From the first line to the last."""
    startup_seconds: float = 0.0
    """Of those, until the first track was through, its own work included."""
    stage_seconds: dict[str, float] = field(default_factory=dict)
    """Work by stage, added up over workers; commit is the driver's."""
    peak_memory_bytes: dict[str, int] = field(default_factory=dict)
    """Most memory of the driver, of any decode worker and of any captioning worker, the object store apart."""
    rounds: int = 0
    """Executions it took."""
    started_at: str = ""
    """UTC."""
    ended_at: str = ""
    """UTC; of the last sign of life while it runs."""
    config: dict[str, Any] = field(default_factory=dict)
    """What was asked for."""
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
    """Tracks to do."""
    captioned: int = 0
    """Tracks captioned so far."""
    failed: int = 0
    """Tracks failed so far."""
    step: str = ""
    """What goes on, in words."""


def config_as_json(config: CaptioningConfig) -> dict[str, Any]:
    """The configuration without anything that is secret or not JSON."""
    values = asdict(config)
    for name in ("catalogue", "output", "checkpoint"):
        if values[name] is not None:
            values[name] = storage.redacted(str(values[name]))
    return values


def installed_versions() -> dict[str, str]:
    """Versions of Python, muscaps and what it builds on, and the platform."""
    found = {"python": platform.python_version(), "muscaps": __version__, "platform": platform.platform()}
    for name in ("torch", "ray", "pyarrow", "numpy", "soundfile", "av"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found
