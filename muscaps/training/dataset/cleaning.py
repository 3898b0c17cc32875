"""Cleaning of pairs for training (paper section IV-A), with what each rule removed and examples of it."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from muscaps.training.dataset.fragments import is_fragment
from muscaps.training.dataset.pairs import Pair
from muscaps.training.dataset.sentences import sentences
from muscaps.vocabulary import tokenize

MAX_EXAMPLES = 3
"""Dropped tracks or captions of each rule that the report names."""


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
    fragments: bool = False
    """Keep captions that `fragments.is_fragment` finds incomplete or empty of content."""
    split_sentences: bool = False
    """Replace a caption of more than `max_tokens` tokens by its sentences, each a caption of its own."""

    def __post_init__(self) -> None:
        if self.min_seconds is not None and self.max_seconds is not None and self.min_seconds > self.max_seconds:
            raise ValueError(f"min_seconds={self.min_seconds} exceeds max_seconds={self.max_seconds}")
        if not 1 <= self.min_tokens <= self.max_tokens:
            raise ValueError(f"min_tokens={self.min_tokens} and max_tokens={self.max_tokens} leave no caption")


@dataclass(frozen=True, kw_only=True)
class Dropped:
    """One track or caption that a rule removed."""

    track_id: str
    value: float | None = None
    """What exceeded the limit: seconds or tokens; None if the rule has no limit."""
    caption: str | None = None
    """The caption; None if the rule is about the track."""


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
    """Captions dropped from tracks of suitable length, by rule: `too_few_tokens`, `too_many_tokens`, `fragment`,
    `duplicate`."""
    examples: dict[str, list[Dropped]] = field(default_factory=dict)
    """By rule, the first few that it dropped."""
    extremes: dict[str, float] = field(default_factory=dict)
    """By rule with a limit, the limit that would have kept everything, in seconds or tokens."""


def clean(pairs: Sequence[Pair], rules: CleaningRules = CleaningRules()) -> tuple[list[Pair], CleaningReport]:
    """Remove unsuitable pairs (paper section IV-A) and count them by rule.

    A track of unknown duration satisfies the duration rule. Of several captions of a track, the suitable ones are kept.
    The paper does not say whether all copies of a repeated caption are removed; here the first one is kept.
    """
    kept: list[Pair] = []
    lost_pairs: dict[str, list[Dropped]] = defaultdict(list)
    lost_captions: dict[str, list[Dropped]] = defaultdict(list)
    seen: set[tuple[str, ...]] = set()
    for pair in pairs:
        rule = _broken_duration_rule(pair, rules)
        if rule is not None:
            lost_pairs[rule].append(Dropped(track_id=pair.track_id, value=pair.duration_s))
            continue
        captions = []
        for caption in _candidates(pair, rules):
            tokens = tuple(tokenize(caption))
            rule = _broken_caption_rule(caption, tokens, seen, rules)
            if rule is None:
                seen.add(tokens)
                captions.append(caption)
            else:
                value = len(tokens) if rule in ("too_few_tokens", "too_many_tokens") else None
                lost_captions[rule].append(Dropped(track_id=pair.track_id, value=value, caption=caption))
        if captions:
            kept.append(replace(pair, captions=tuple(captions)))
        else:
            lost_pairs["no_caption_left"].append(Dropped(track_id=pair.track_id))
    report = CleaningReport(
        pairs=len(pairs),
        captions=sum(len(pair.captions) for pair in pairs),
        kept_pairs=len(kept),
        kept_captions=sum(len(pair.captions) for pair in kept),
        dropped_pairs={rule: len(found) for rule, found in lost_pairs.items()},
        dropped_captions={rule: len(found) for rule, found in lost_captions.items()},
        examples={rule: found[:MAX_EXAMPLES] for rule, found in {**lost_pairs, **lost_captions}.items()},
        extremes=_extremes({**lost_pairs, **lost_captions}),
    )
    return kept, report


def _candidates(pair: Pair, rules: CleaningRules) -> list[str]:
    """Return the captions of a pair, long ones as sentences if the rules say so."""
    if not rules.split_sentences:
        return list(pair.captions)
    found = []
    for caption in pair.captions:
        found += sentences(caption) if len(tokenize(caption)) > rules.max_tokens else [caption]
    return found


def _broken_duration_rule(pair: Pair, rules: CleaningRules) -> str | None:
    if pair.duration_s is None:
        return None
    if rules.min_seconds is not None and pair.duration_s < rules.min_seconds:
        return "too_short"
    if rules.max_seconds is not None and pair.duration_s > rules.max_seconds:
        return "too_long"
    return None


def _broken_caption_rule(
    caption: str, tokens: tuple[str, ...], seen: set[tuple[str, ...]], rules: CleaningRules
) -> str | None:
    if len(tokens) < rules.min_tokens:
        return "too_few_tokens"
    if len(tokens) > rules.max_tokens:
        return "too_many_tokens"
    if not rules.fragments and is_fragment(caption):
        return "fragment"
    if rules.unique_captions and tokens in seen:
        return "duplicate"
    return None


def _extremes(dropped: Mapping[str, Sequence[Dropped]]) -> dict[str, float]:
    """Return by rule the limit that would have kept everything that it dropped."""
    found = {}
    for rule, items in dropped.items():
        values = [item.value for item in items if item.value is not None]
        if values:
            found[rule] = max(values) if rule in ("too_long", "too_many_tokens") else min(values)
    return found
