"""Settings of tagger training."""

from dataclasses import dataclass

from muscaps.config import TrainingConfig
from muscaps.training.augmentation import AugmentationConfig


@dataclass(frozen=True, kw_only=True)
class TaggingConfig(TrainingConfig):
    """How a tagger is trained. The learning rate is `schedules.warmup_cosine`."""

    learning_rate: float = 2e-3
    batch_size: int = 32
    max_epochs: int = 40
    patience: int = 1_000
    """Epochs without a better validation ROC-AUC before training stops."""
    weight_decay: float = 0.01
    """AdamW's decoupled weight decay."""
    excerpts_per_clip: int = 2
    """Excerpts drawn from every training clip per epoch."""
    min_tag_count: int = 20
    """Minimum number of training clips of a tag; rarer tags are not learned."""
    average_decay: float = 0.998
    """Decay of the moving average of the weights, per step."""
    dropout: float = 0.3
    """Dropout probability before the outputs."""
    validation_clips: int = 400
    """Maximum number of validation clips."""
    additive_tags: tuple[str, ...] | None = None
    """Tags that remain true when a second clip is added, such as instruments; None for all tags."""
    augmentation: AugmentationConfig = AugmentationConfig()  # noqa: RUF009  (frozen)
    """How training excerpts are augmented."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.average_decay < 1:
            raise ValueError(f"average_decay must lie in [0, 1), not {self.average_decay}")
        if self.excerpts_per_clip < 1 or self.min_tag_count < 1:
            raise ValueError("excerpts_per_clip and min_tag_count must be at least 1")
