"""The configuration of one captioning run."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from muscaps.config import DecodingOptions, Precision, check_precision
from pipeline import storage
from pipeline.captioning.stages.caption import MIN_STORED_SCORE
from pipeline.captioning.stages.decode import MAX_CHUNKS
from pipeline.cluster.address import check_address
from pipeline.output.effort import DEFAULT_EFFORT, EFFORT_CHUNKS, Effort, check_effort, effort_of

WORKERS_PER_GPU = 2
"""Captioning actors that share a GPU, so that it works on the features of one while another searches."""

MatchBy = Literal["track_id", "uri"]


@dataclass(frozen=True, kw_only=True)
class CaptioningConfig:
    """One run over one catalogue."""

    catalogue: str
    """File, folder or bucket prefix; see `pipeline.catalogue`."""
    output: str
    """Folder or bucket prefix that gets `captions/`, `failures/`, `features/` and `runs/`."""
    checkpoint: str | None = None
    """Checkpoint directory, local or remote; None for the bundled one."""
    options: DecodingOptions = field(default_factory=DecodingOptions)
    """Beam search options."""
    precision: Precision = "float32"
    """Arithmetic of the audio network; a caption made in any precision counts as done."""
    save_features: bool = False
    """Whether `features/` is written."""
    min_tag_score: float = MIN_STORED_SCORE
    """Lowest score of a tag that is written; readers apply a higher one of their own."""
    effort: Effort | None = None
    """How much of a track a caption is made from; None for `DEFAULT_EFFORT`, or for thorough with segments or
    attention."""
    max_chunks: int | None = None
    """Maximum number of chunks per track, instead of `effort`; longer tracks are sampled at even spacing."""
    decode_only_needed: bool = False
    """Whether only the chunks that are processed are decoded, if the format supports seeking, where `effort` does not
    say so anyway; damage between them is not detected."""
    limit: int | None = None
    """Maximum number of tracks of this run; None for all."""
    only_failed: bool = False
    """Process only the tracks whose last attempt failed."""
    max_error_rate: float = 0.2
    """Fraction of failed tracks above which the run stops, after `drain.MIN_ERROR_SAMPLE` tracks; 1 to never stop."""
    max_runtime_s: float | None = None
    """Seconds after which the run drains; None for no limit."""
    address: str | None = None
    """Ray cluster; None for an embedded Ray, or one that the caller has started."""
    gpus: int | None = None
    """Number of GPUs; None for all, 0 for CPUs only."""
    workers_per_gpu: int = WORKERS_PER_GPU
    """Number of captioning actors that share a GPU."""
    cpus: int | None = None
    """Number of cores of an embedded Ray; None for all."""
    match_by: MatchBy | None = None
    """What makes a captioned track the catalogue's: its `track_id`, or its file's `uri` too. None is `track_id`, and
    refuses a catalogue whose files the output holds under other ids."""
    group_by: str | None = None
    """Column of the catalogue whose values are groups of versions, of which one is captioned, see `masters`. None is
    `master_id` if the catalogue has it; "none" captions every track."""
    allow_local: bool = False
    """Whether a remote catalogue may name files of the machines that read it."""
    commit_seconds: float = 30.0
    """Maximum time that finished rows wait to be written, in seconds."""
    stall_seconds: float = 600.0
    """Seconds without a result after which an execution is ended and started again."""

    def __post_init__(self) -> None:
        check_precision(self.precision)
        if self.match_by not in (None, "track_id", "uri"):
            raise ValueError(f"match_by must be track_id or uri, not {self.match_by!r}")
        check_address(self.address)
        if not 0 <= self.min_tag_score <= 1:
            raise ValueError(f"min_tag_score must lie in 0 to 1, not {self.min_tag_score}")
        if self.effort is not None:
            check_effort(self.effort)
            if self.max_chunks is not None:
                raise ValueError(f"max_chunks={self.max_chunks} replaces an effort; leave out effort={self.effort}")
            if self.effort != "thorough" and self._over_time:
                raise ValueError(f"segments and attention need effort thorough, not {self.effort}")
        if self.max_chunks is not None and self.max_chunks < 1:
            raise ValueError(f"max_chunks must be at least 1, not {self.max_chunks}")
        if self.limit is not None and self.limit < 1:
            raise ValueError(f"limit must be at least 1, not {self.limit}")
        if not 0 <= self.max_error_rate <= 1:
            raise ValueError(f"max_error_rate must lie in 0 to 1, not {self.max_error_rate}")
        if self.max_runtime_s is not None and self.max_runtime_s <= 0:
            raise ValueError(f"max_runtime_s must be positive, not {self.max_runtime_s}")
        if self.gpus is not None and self.gpus < 0:
            raise ValueError(f"gpus must be 0 or more, not {self.gpus}")
        if self.workers_per_gpu < 1:
            raise ValueError(f"workers_per_gpu must be at least 1, not {self.workers_per_gpu}")
        if self.cpus is not None and self.cpus < 1:
            raise ValueError(f"cpus must be at least 1, not {self.cpus}")
        if storage.is_remote(self.output):
            if not storage.is_bucket(self.output):
                raise ValueError(
                    f"the output must be a local folder, s3://, gs:// or az://, not {storage.redacted(self.output)}"
                )
        elif Path(self.output).exists() and not Path(self.output).is_dir():
            raise ValueError(f"the output {self.output} is a file; choose a folder")

    @property
    def chunks_per_track(self) -> int:
        """Maximum number of chunks per track."""
        if self.max_chunks is not None:
            return self.max_chunks
        return MAX_CHUNKS if self._over_time else EFFORT_CHUNKS[self.recorded_effort]

    @property
    def only_needed(self) -> bool:
        """Whether only the chunks that are processed are decoded."""
        return self.decode_only_needed or (self.max_chunks is None and self.recorded_effort != "thorough")

    @property
    def recorded_effort(self) -> Effort:
        """Effort of the captions: a run skips tracks that have a caption of at least this."""
        if self.max_chunks is not None:
            return effort_of(self.max_chunks)
        return self.effort or ("thorough" if self._over_time else DEFAULT_EFFORT)

    @property
    def _over_time(self) -> bool:
        """Whether captions or weights of parts of the track are wanted."""
        return self.options.segment_seconds is not None or self.options.attention
