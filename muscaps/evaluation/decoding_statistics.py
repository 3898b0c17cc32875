"""Statistics of decoded captions: length, unknown words, repetition, variety, novelty (paper section IV-D4)."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from muscaps.evaluation.caption_text import (
    plain_words,
)

_BRACKETS = re.compile(r"<(?:pad|sos|eos)>")


@dataclass(frozen=True, kw_only=True)
class DecodingStatistics:
    """Statistics of decoded captions that metrics do not show (paper section IV-D4)."""

    num_captions: int
    """Captions counted."""
    mean_words: float
    """Words per caption, `<unk>` included."""
    unk_per_caption: float
    """`<unk>` tokens per caption."""
    repetitions_per_caption: float
    """Immediate repetitions of one to four words, as in "rock rock", per caption."""
    repeated_ngrams_per_caption: float
    """Pairs, triples and quadruples of words that occurred earlier in the same caption, per caption."""
    captions_with_repetition: float
    """Share of captions with an immediate repetition, 0 to 1."""
    vocabulary_used: int
    """Different words over all captions, without special tokens."""
    distinct_captions: float
    """Different captions as a share of all, 0 to 1."""
    empty_captions: int
    """Captions without a word."""
    novel_captions: float | None
    """Share of captions that are no training caption, 0 to 1; None where those were not given."""


def decoding_statistics(
    captions: Sequence[str], *, training_captions: Iterable[str] | None = None
) -> DecodingStatistics:
    """Describe decoded captions: unknown words, repetition, length, variety and novelty (section IV-D4).

    Args:
        captions: Decoded captions, `<unk>` left in.
        training_captions: The model's training captions, to count the captions that are not among them.

    Raises:
        ValueError: There are no captions.
    """
    if not captions:
        raise ValueError("decoding statistics need at least one caption")
    tokenized = [plain_words(_BRACKETS.sub(" ", caption)) for caption in captions]
    repetitions = [count_immediate_repetitions(words) for words in tokenized]
    distinct = {tuple(words) for words in tokenized}
    novel = None
    if training_captions is not None:
        known = {tuple(plain_words(_BRACKETS.sub(" ", caption))) for caption in training_captions}
        novel = sum(tuple(words) not in known for words in tokenized) / len(tokenized)
    return DecodingStatistics(
        num_captions=len(tokenized),
        mean_words=sum(map(len, tokenized)) / len(tokenized),
        unk_per_caption=sum(words.count("<unk>") for words in tokenized) / len(tokenized),
        repetitions_per_caption=sum(repetitions) / len(tokenized),
        repeated_ngrams_per_caption=sum(map(_count_repeated_ngrams, tokenized)) / len(tokenized),
        captions_with_repetition=sum(count > 0 for count in repetitions) / len(tokenized),
        vocabulary_used=len({word for words in tokenized for word in words} - {"<unk>"}),
        distinct_captions=len(distinct) / len(tokenized),
        empty_captions=sum(not words for words in tokenized),
        novel_captions=novel,
    )


def count_immediate_repetitions(words: Sequence[str], *, longest: int = 4) -> int:
    """Count places where one to `longest` words are directly followed by the same words.

    A word that occurs three times in a row counts twice, and not again as a repeated pair.
    """
    count = position = 0
    while position < len(words):
        length = next(
            (
                size
                for size in range(1, longest + 1)
                if words[position : position + size] == words[position + size : position + 2 * size]
                and position + 2 * size <= len(words)
            ),
            0,
        )
        count += length > 0
        position += length or 1
    return count


def _count_repeated_ngrams(words: Sequence[str]) -> int:
    return sum(
        count - 1
        for size in (2, 3, 4)
        for count in Counter(tuple(words[i : i + size]) for i in range(len(words) - size + 1)).values()
    )
