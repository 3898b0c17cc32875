"""What is written into a file's tags, and which comments of a file are ours.

Conventions: our comment and the two named fields are always written. Genre, mood and description are written if they
are asked for, and so are the descriptions in `bext` and `iXML`; a value that the file has is left alone unless
`overwrite` is set, or the description is ours.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

COMMENT_PREFIX = "AI-written description: "
"""Start of a comment of ours; it speaks of the description, not of the music."""
_OWN_PREFIXES = (COMMENT_PREFIX, "AI-generated: ")
"""The second one was written by earlier versions."""
CAPTION_KEY, MODEL_KEY = "MUSCAPS_CAPTION", "MUSCAPS_MODEL"
"""Names of the two fields that hold the caption and the model in formats with named fields."""

FieldName = Literal["genre", "mood", "description"]
FIELD_NAMES: tuple[FieldName, ...] = ("genre", "mood", "description")
ChunkName = Literal["bext", "ixml"]
CHUNK_NAMES: tuple[ChunkName, ...] = ("bext", "ixml")
"""Chunks of a WAV file that hold a description for systems that read no ID3 tag in it."""


def is_own_text(text: str | bytes) -> bool:
    """Return whether a comment is ours."""
    plain = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    return plain.startswith(_OWN_PREFIXES)


@dataclass(frozen=True, kw_only=True)
class Comment:
    """A caption as a comment, and the fields that are asked for."""

    caption: str
    """The sentence."""
    model_id: str
    """The checkpoint that wrote it."""
    shared_from: str | None = None
    """The master whose caption it is, if the file is of a version."""
    values: Mapping[FieldName, tuple[str, ...]] = field(default_factory=dict)
    """Genres, moods and the description, where they are asked for and known."""
    chunks: tuple[ChunkName, ...] = ()
    """Chunks of a WAV file into which the comment is written as well; other formats have none."""
    overwrite: bool = False
    """Replace values of these fields and chunks that the file has."""

    @property
    def text(self) -> str:
        """The comment that players show."""
        note = "" if self.shared_from is None else f" (caption of the master {self.shared_from})"
        return COMMENT_PREFIX + self.caption + note

    @property
    def fields(self) -> tuple[tuple[str, str], ...]:
        """The named fields."""
        return ((CAPTION_KEY, self.caption), (MODEL_KEY, self.model_id))

    def writes(self, present: list[str]) -> bool:
        """Return whether a field is written where a file has these values of it."""
        return self.overwrite or not any(text.strip() and not is_own_text(text) for text in present)
