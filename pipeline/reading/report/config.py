"""What a report page shows."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class ReportConfig:
    """What the page shows."""

    output: str
    """Folder or bucket prefix of the run."""
    file: str
    """Page to write, a path or URI ending in .html."""
    title: str = "Captions of a music catalogue"
    """Heading of the page."""
    max_tracks: int = 5_000
    """Maximum number of tracks in the table."""
    max_spectrograms: int = 60
    """Maximum number of tracks whose audio is read for a spectrogram; those with attention or segments first."""
    listen_hours: float | None = None
    """Sign links to s3:// audio, valid for this many hours; None: no links to s3:// audio."""
    sample: Literal["random", "least_certain"] | None = None
    """Show `max_tracks` tracks without a decision of a person, drawn at random or by certainty; None shows all."""
    seed: int = 0
    """Seed of a random sample."""
    taxonomy: str | None = None
    """File of the customer's words for tags, see `taxonomy_files`; decisions are stored with our own names."""
    colours: str = "system"
    """Colours of the page when it opens: system, light or dark."""

    def __post_init__(self) -> None:
        if not self.file.lower().endswith((".html", ".htm")):
            raise ValueError(f"{self.file} must end in .html")
        if not 0 <= self.max_tracks <= 100_000:
            raise ValueError(f"max_tracks must lie in 0 to 100000, not {self.max_tracks}")
        if self.max_spectrograms < 0:
            raise ValueError(f"max_spectrograms must not be negative: {self.max_spectrograms}")
        if self.listen_hours is not None and not 0 < self.listen_hours <= 168:
            raise ValueError(f"listen_hours must lie in 0 to 168 (S3 signs for a week), not {self.listen_hours}")
        if self.sample not in (None, "random", "least_certain"):
            raise ValueError(f"sample must be random or least_certain, not {self.sample!r}")
        if self.colours not in ("system", "light", "dark"):
            raise ValueError(f"colours must be system, light or dark, not {self.colours!r}")
