"""Settings of captioner training (paper section IV-B)."""

from dataclasses import dataclass
from typing import Literal

from muscaps.config import TrainingConfig

ExtractorMode = Literal["frozen", "fine-tuned", "scratch"]
MonitorName = Literal["loss", "cider"]


@dataclass(frozen=True, kw_only=True)
class CaptionTrainingConfig(TrainingConfig):
    """How a captioner is trained; defaults are the paper's (section IV-B)."""

    extractor_mode: ExtractorMode = "frozen"
    """`frozen`: not trained, features are cached; `fine-tuned`: trained, with fixed BatchNorm statistics; `scratch`:
    trained from random weights (paper, Table II)."""
    excerpt_seconds: float = 20.0
    """Length of the random excerpt of a track in seconds, if the extractor is trained."""
    monitor: MonitorName = "loss"
    """Validation score of early stopping and of the best checkpoint."""
    validation_tracks: int = 1_000
    """Maximum number of validation tracks, evenly spaced."""
    validation_chunks: int = 20
    """Maximum number of chunks of a validation track, if the extractor is trained."""
    decode_every: int = 1
    """Epochs between validations that decode captions, for CIDEr."""
    disturbed_versions: int = 0
    """Number of augmented copies of every training track; each step draws the track or a copy. `frozen` only."""
    learn_unknown: bool = True
    """Whether `<unk>` counts in the loss, as in the paper; captions without `<unk>` are better trained without it."""
    mixed_precision: bool = True
    """Whether GPUs compute in bfloat16."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.extractor_mode not in ("frozen", "fine-tuned", "scratch"):
            raise ValueError(f"extractor_mode must be frozen, fine-tuned or scratch, not {self.extractor_mode!r}")
        if self.monitor not in ("loss", "cider"):
            raise ValueError(f"monitor must be 'loss' or 'cider', not {self.monitor!r}")
        for name in ("excerpt_seconds", "validation_tracks", "validation_chunks", "decode_every"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be positive, not {getattr(self, name)}")
        if self.disturbed_versions < 0 or (self.disturbed_versions and self.extractor_mode != "frozen"):
            raise ValueError(
                f"disturbed_versions={self.disturbed_versions} needs extractor_mode='frozen', "
                f"not {self.extractor_mode!r}"
            )
        if self.monitor == "cider" and self.decode_every != 1:
            raise ValueError(f"monitor='cider' needs decode_every=1, not {self.decode_every}")
