"""The comment that is written, and which comments of a file are ours."""

from dataclasses import dataclass

COMMENT_PREFIX = "AI-generated: "
"""Start of a comment of ours."""
CAPTION_KEY, MODEL_KEY = "MUSCAPS_CAPTION", "MUSCAPS_MODEL"
"""Names of the two fields that hold the caption and the model in formats with named fields."""


@dataclass(frozen=True, kw_only=True)
class Comment:
    """A caption as a comment."""

    caption: str
    """The sentence."""
    model_id: str
    """The checkpoint that wrote it."""

    @property
    def text(self) -> str:
        """The comment that players show."""
        return COMMENT_PREFIX + self.caption

    @property
    def fields(self) -> tuple[tuple[str, str], ...]:
        """The named fields."""
        return ((CAPTION_KEY, self.caption), (MODEL_KEY, self.model_id))
