"""Cleaning of pairs for training (paper section IV-A), with the number of pairs that each rule removed."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from muscaps.training.dataset.pairs import Pair
from muscaps.vocabulary import tokenize


@dataclass(frozen=True, kw_only=True)
class CleaningRules:
    """Rules for unsuitable pairs (paper section IV-A); None disables a limit."""

    min_seconds: float | None = 30.0
    """Minimum length of a track in seconds."""
    max_seconds: float | None = 360.0
    """Maximum length of a track in seconds."""
    min_tokens: int = 3
    """Minimum length of a caption in tokens."""
    max_tokens: int = 22
    """Maximum length of a caption in tokens."""
    unique_captions: bool = True
    """Keep only the first of several equal captions."""

    def __post_init__(self) -> None:
        if self.min_seconds is not None and self.max_seconds is not None and self.min_seconds > self.max_seconds:
            raise ValueError(f"min_seconds={self.min_seconds} exceeds max_seconds={self.max_seconds}")
        if not 1 <= self.min_tokens <= self.max_tokens:
            raise ValueError(f"min_tokens={self.min_tokens} and max_tokens={self.max_tokens} leave no caption")


@dataclass(frozen=True, kw_only=True)
class CleaningReport:
    """Numbers of pairs and captions that cleaning kept and removed."""

    pairs: int
    """Tracks before cleaning."""
    captions: int
    """Captions before cleaning."""
    kept_pairs: int
    """Tracks kept."""
    kept_captions: int
    """Captions kept."""
    dropped_pairs: dict[str, int] = field(default_factory=dict)
    """Tracks dropped, by rule: `too_short`, `too_long`, `no_caption_left`, or the error of their audio."""
    dropped_captions: dict[str, int] = field(default_factory=dict)
    """Captions dropped from tracks of suitable length, by rule: `too_few_tokens`, `too_many_tokens`, `duplicate`."""


def clean(pairs: Sequence[Pair], rules: CleaningRules = CleaningRules()) -> tuple[list[Pair], CleaningReport]:
    """Remove unsuitable pairs (paper section IV-A) and count them by rule.

    A track of unknown duration satisfies the duration rule. Of several captions of a track, the suitable ones are kept.
    The paper does not say whether all copies of a repeated caption are removed; here the first one is kept.
    """
    kept: list[Pair] = []
    lost_pairs: Counter[str] = Counter()
    lost_captions: Counter[str] = Counter()
    seen: set[tuple[str, ...]] = set()
    for pair in pairs:
        if rules.min_seconds is not None and pair.duration_s is not None and pair.duration_s < rules.min_seconds:
            lost_pairs["too_short"] += 1
            continue
        if rules.max_seconds is not None and pair.duration_s is not None and pair.duration_s > rules.max_seconds:
            lost_pairs["too_long"] += 1
            continue
        captions = []
        for caption in pair.captions:
            tokens = tuple(tokenize(caption))
            if len(tokens) < rules.min_tokens:
                lost_captions["too_few_tokens"] += 1
            elif len(tokens) > rules.max_tokens:
                lost_captions["too_many_tokens"] += 1
            elif rules.unique_captions and tokens in seen:
                lost_captions["duplicate"] += 1
            else:
                seen.add(tokens)
                captions.append(caption)
        if captions:
            kept.append(replace(pair, captions=tuple(captions)))
        else:
            lost_pairs["no_caption_left"] += 1
    report = CleaningReport(
        pairs=len(pairs),
        captions=sum(len(pair.captions) for pair in pairs),
        kept_pairs=len(kept),
        kept_captions=sum(len(pair.captions) for pair in kept),
        dropped_pairs=dict(lost_pairs),
        dropped_captions=dict(lost_captions),
    )
    return kept, report
