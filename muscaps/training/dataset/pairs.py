"""Audio-caption pairs as handed in, and the error that names what is wrong with them."""

from dataclasses import dataclass


class DatasetError(ValueError):
    """Pairs or a prepared dataset that cannot be used; the message names what is wrong and where."""


@dataclass(frozen=True, kw_only=True)
class Pair:
    """One track with its captions, as handed in."""

    track_id: str
    """Unique name of the track."""
    uri: str
    """Where its audio is."""
    captions: tuple[str, ...]
    """What people wrote about it; at least one."""
    tags: tuple[str, ...] = ()
    """Labels a tagger can learn; none for captions alone."""
    split: str | None = None
    """`train`, `validation` or `test`; None to be drawn."""
    duration_s: float | None = None
    """Length of the whole track in seconds; None while unknown."""
