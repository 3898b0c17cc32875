"""Audio-caption pairs as a team provides them, and the error for pairs or datasets that cannot be used."""

from dataclasses import dataclass


class DatasetError(ValueError):
    """Pairs or a prepared dataset that cannot be used; the message names what is wrong and where."""


@dataclass(frozen=True, kw_only=True)
class Pair:
    """One track with its captions, before cleaning."""

    track_id: str
    """Unique name of the track."""
    uri: str
    """Where its audio is."""
    captions: tuple[str, ...]
    """Its captions; at least one."""
    tags: tuple[str, ...] = ()
    """Labels a tagger can learn; none for captions alone."""
    split: str | None = None
    """`train`, `validation` or `test`; None to be drawn."""
    duration_s: float | None = None
    """Length of the whole track in seconds; None while unknown."""
