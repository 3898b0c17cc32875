"""The configuration of a benchmark."""

from dataclasses import dataclass, field

from muscaps.config import DecodingOptions, Precision, check_precision
from pipeline.captioning.config import WORKERS_PER_GPU


@dataclass(frozen=True, kw_only=True)
class BenchmarkConfig:
    """What is measured."""

    catalogue: str
    """Tracks to work on; see `pipeline.catalogue`."""
    checkpoint: str | None = None
    """Checkpoint directory; None for the bundled one."""
    options: DecodingOptions = field(default_factory=DecodingOptions)
    """Beam search options."""
    precision: Precision = "float32"
    """Arithmetic of the audio network, except the plain program's."""
    num_tracks: tuple[int, ...] = (60,)
    """Tracks of the whole job; with several numbers it is run once for each, and the last run counts."""
    repeats: int = 5
    """Measurements of each part; the median counts."""
    reference_words: int = 2
    """Words after `<sos>` that are timed of the plain program; 0 leaves it out."""
    address: str | None = None
    """Ray cluster; None for an embedded Ray."""
    gpus: int | None = None
    """GPUs to use; None for all."""
    workers_per_gpu: int = WORKERS_PER_GPU
    """Captioning workers that share a GPU."""

    def __post_init__(self) -> None:
        if not self.num_tracks or min(self.num_tracks) < 1:
            raise ValueError(f"num_tracks must be one or more positive numbers, not {self.num_tracks}")
        check_precision(self.precision)
        if self.repeats < 1:
            raise ValueError(f"repeats must be at least 1, not {self.repeats}")
        if self.reference_words < 0:
            raise ValueError(f"reference_words must be 0 or more, not {self.reference_words}")
