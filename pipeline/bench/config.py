"""The configuration of a benchmark."""

from dataclasses import dataclass, field
from typing import Any

from muscaps.config import DecodingOptions, Precision, check_precision
from pipeline.captioning.config import WORKERS_PER_GPU
from pipeline.cluster.address import check_address
from pipeline.output.effort import DEFAULT_EFFORT, EFFORT_CHUNKS, Effort, check_effort


@dataclass(frozen=True, kw_only=True)
class BenchmarkConfig:
    """Settings of a benchmark."""

    catalogue: str
    """Tracks of the measurements; see `pipeline.catalogue`."""
    checkpoint: str | None = None
    """Checkpoint directory; None for the bundled one."""
    options: DecodingOptions = field(default_factory=DecodingOptions)
    """Beam search options."""
    precision: Precision = "float32"
    """Number format of the audio network; the plain program always uses float32."""
    effort: Effort = DEFAULT_EFFORT
    """How much of a track is processed, in the job, its parts and the plain program."""
    num_tracks: tuple[int, ...] = (60,)
    """Number of tracks of the whole job. With several numbers, the job runs once for each; the last run is
    the result."""
    repeats: int = 5
    """Measurements of each part; the median is the result."""
    reference_words: int = 2
    """Words after `<sos>` for which the plain program is timed; 0 omits the plain program."""
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
        check_effort(self.effort)
        check_address(self.address)
        if self.repeats < 1:
            raise ValueError(f"repeats must be at least 1, not {self.repeats}")
        if self.reference_words < 0:
            raise ValueError(f"reference_words must be 0 or more, not {self.reference_words}")

    @property
    def decoding(self) -> dict[str, Any]:
        """What of a track is decoded: keyword arguments of `stages.fetch_and_decode`."""
        return {"max_chunks": EFFORT_CHUNKS[self.effort], "only_needed": self.effort != "thorough"}
