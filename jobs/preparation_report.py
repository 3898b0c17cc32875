"""What `muscaps dataset prepare` prints: what was dropped and by which option, unknown words, sizes to be trusted."""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

SPLITS = ("train", "validation", "test")

_LIMITS = {
    "too_short": ("shorter than {min_seconds:g} s", "--min-seconds {extreme:.0f} keeps all; 0: no limit"),
    "too_long": ("longer than {max_seconds:g} s", "--max-seconds 0: no limit"),
    "too_few_tokens": ("fewer than {min_tokens} tokens", "--min-tokens {extreme:.0f} keeps all"),
    "too_many_tokens": ("more than {max_tokens} tokens", "{split}--max-tokens {extreme:.0f} keeps all"),
    "fragment": ("end in the middle of a phrase or describe nothing", "--keep-fragments keeps all"),
    "duplicate": ("the same caption as an earlier one", "--keep-duplicates keeps all"),
    "no_caption_left": ("no caption left", ""),
}
"""By rule: the reason, and the option that changes it."""
_SPLIT = "--split-sentences makes captions of their sentences; "
_EXAMPLE_CHARACTERS = 70
TESTED_PAIRS = 100
"""Test pairs from which the 95 % interval of a share is at most +-0.10: 1.96 * 0.5 / sqrt(100)."""
VALIDATED_PAIRS = 30
"""Validation pairs from which the interval is at most +-0.18: with fewer, the best epoch is chosen by chance."""
TRAINED_PAIRS = 1_000
"""Training pairs below which a captioner is better fine-tuned: the paper trains on thousands."""
UNKNOWN_SHARE = 0.1
"""Share of unknown words from which it is warned."""


def preparation_lines(card: Mapping[str, Any], output: Path) -> Iterator[str]:
    """Yield the lines about a prepared dataset.

    Args:
        card: The dataset's card.
        output: Its folder.
    """
    cleaning = card["cleaning"]
    yield f"{cleaning['kept_pairs']} of {cleaning['pairs']} tracks kept, with {cleaning['kept_captions']} captions"
    for what, name in (("pairs", "tracks"), ("captions", "captions")):
        for rule, count in cleaning[f"dropped_{what}"].items():
            yield from _dropped(rule, f"{count} {name}", cleaning, card["rules"])
    splits = ", ".join(f"{name} {card['splits'].get(name, 0)}" for name in SPLITS)
    yield f"{splits}; {card['vocabulary_size']} words; {card['audio_seconds'] / 3600:.1f} hours in {output}"
    yield from _unknown_words(card)
    yield from size_warnings(card["splits"])


def _dropped(rule: str, what: str, cleaning: Mapping[str, Any], rules: Mapping[str, Any]) -> Iterator[str]:
    reason, remedy = _LIMITS.get(rule, (rule.replace("_", " "), ""))
    extreme = cleaning["extremes"].get(rule, 0.0)
    if rule == "too_short":
        extreme = math.floor(extreme)
    split = "" if rules["split_sentences"] else _SPLIT
    remedy = f" ({remedy.format(extreme=extreme, split=split)})" if remedy else ""
    yield f"  dropped {what}: {reason.format(**rules)}{remedy}"
    for example in cleaning["examples"].get(rule, []):
        text = example["caption"] or ""
        if len(text) > _EXAMPLE_CHARACTERS:
            text = f"{text[:_EXAMPLE_CHARACTERS].rstrip()}..."
        unit = "tokens" if example["caption"] else "s"
        value = "" if example["value"] is None else f", {example['value']:g} {unit}"
        yield f"    {example['track_id']}{value}{f': {text}' if text else ''}"


def _unknown_words(card: Mapping[str, Any]) -> Iterator[str]:
    shares = {name: found for name, found in card["unknown_words"].items() if found["num_words"]}
    listed = ", ".join(f"{found['unknown_share']:.1%} {name}" for name, found in shares.items())
    yield f"words that become <unk>, because they occur fewer than {card['min_count']} times in training: {listed}"
    train = shares["train"]
    if train["num_unknown"]:
        yield f"  for example {', '.join(train['examples'])}"
    if train["unknown_share"] > UNKNOWN_SHARE:
        yield (
            f"warning: more than {UNKNOWN_SHARE:.0%} of the words become <unk>; more pairs, shorter captions in a "
            "uniform style or `--min-count 1` change it; `train --from` adds the words of the captioner it starts from"
        )


def size_warnings(splits: Mapping[str, int]) -> Iterator[str]:
    """Yield a warning for each split that is too small to be trusted."""
    train, validation, test = (splits.get(name, 0) for name in SPLITS)
    if train < TRAINED_PAIRS:
        yield (
            f"warning: {train} training pairs are too few to train from nothing (at least {TRAINED_PAIRS:,}); start "
            "from a captioner: `muscaps train --from bundled`"
        )
    if validation < VALIDATED_PAIRS:
        yield (
            f"warning: {validation} validation pairs choose the best epoch almost by chance; {VALIDATED_PAIRS} or more "
            "are better"
        )
    if test < TESTED_PAIRS:
        yield (
            f"warning: {test} test pairs: the 95 % interval of a share is up to +-{_half_width(test):.2f}; with "
            f"{TESTED_PAIRS} pairs it is +-{_half_width(TESTED_PAIRS):.2f}. `muscaps train --folds 5` tests "
            "on every pair"
        )


def _half_width(count: int) -> float:
    """Return the largest half width of the 95 % interval of a share of `count` items."""
    return min(1.0, 1.96 * 0.5 / math.sqrt(count)) if count else 1.0
