"""Pairs of audio and captions, and the error for unusable pairs or datasets."""

from dataclasses import dataclass


class DatasetError(ValueError):
    """Pairs or a prepared dataset cannot be used; the message names the problem and the place."""


@dataclass(frozen=True, kw_only=True)
class Pair:
    """One track with its captions, before cleaning."""

    track_id: str
    """Unique name of the track."""
    uri: str
    """Location of the audio."""
    captions: tuple[str, ...]
    """Captions of the track; cleaning drops a track without one."""
    tags: tuple[str, ...] = ()
    """Tags for training a tagger; may be empty."""
    split: str | None = None
    """`train`, `validation` or `test`; None for a random split."""
    duration_s: float | None = None
    """Length of the track, or of its excerpt, in seconds; None if unknown."""
    split_group: str | None = None
    """Pairs with the same group come into the same split, e.g. excerpts of one recording; None for a group of one."""
    start_s: float = 0.0
    """Start of the excerpt that the captions describe, in seconds."""
    end_s: float | None = None
    """End of the excerpt in seconds; None for the end of the track."""
