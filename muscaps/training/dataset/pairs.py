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
    """Length of the whole track in seconds; None if unknown."""
