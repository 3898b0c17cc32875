"""Settings of tagger training."""

from dataclasses import dataclass

from muscaps.config import TrainingConfig
from muscaps.training.augmentation import AugmentationConfig


@dataclass(frozen=True, kw_only=True)
class TaggingConfig(TrainingConfig):
    """How a tagger is trained. The learning rate rises for 200 steps at most, then falls along a cosine."""

    learning_rate: float = 2e-3
    batch_size: int = 32
    max_epochs: int = 40
    patience: int = 1_000
    """Epochs without a better validation ROC-AUC before training stops."""
    weight_decay: float = 0.01
    """AdamW's decoupled weight decay."""
    excerpts_per_clip: int = 2
    """Excerpts drawn from every training clip an epoch."""
    min_tag_count: int = 20
    """Training clips a tag needs to be learned."""
    average_decay: float = 0.998
    """How slowly the averaged weights follow, per step."""
    dropout: float = 0.3
    """Dropout probability before the outputs."""
    validation_clips: int = 400
    """Validation clips scored each epoch, at most."""
    additive_tags: tuple[str, ...] | None = None
    """Tags of things that still sound when a second clip is added; None takes all."""
    augmentation: AugmentationConfig = AugmentationConfig()  # noqa: RUF009  (frozen)
    """How training excerpts are augmented."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.average_decay < 1:
            raise ValueError(f"average_decay must lie in [0, 1), not {self.average_decay}")
        if self.excerpts_per_clip < 1 or self.min_tag_count < 1:
            raise ValueError("excerpts_per_clip and min_tag_count must be at least 1")
