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
    """How captions read, beyond what metrics see (paper section IV-D4)."""

    num_captions: int
    """Captions looked at."""
    mean_words: float
    """Words per caption, `<unk>` included."""
    unk_per_caption: float
    """`<unk>` tokens per caption."""
    repetitions_per_caption: float
    """Stretches of one to four words said twice in a row, as in "rock rock", per caption."""
    repeated_ngrams_per_caption: float
    """Pairs, triples and quadruples of words that occurred earlier in the same caption, per caption."""
    captions_with_repetition: float
    """Share of captions with a stretch said twice in a row, 0 to 1."""
    vocabulary_used: int
    """Different words over all captions, special tokens apart."""
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
        training_captions: What the model was trained on, to tell novel captions from remembered ones.

    Raises:
        ValueError: There are no captions.
    """
    if not captions:
        raise ValueError("decoding statistics need at least one caption")
    spoken = [plain_words(_BRACKETS.sub(" ", caption)) for caption in captions]
    repetitions = [count_immediate_repetitions(words) for words in spoken]
    distinct = {tuple(words) for words in spoken}
    novel = None
    if training_captions is not None:
        known = {tuple(plain_words(_BRACKETS.sub(" ", caption))) for caption in training_captions}
        novel = sum(tuple(words) not in known for words in spoken) / len(spoken)
    return DecodingStatistics(
        num_captions=len(spoken),
        mean_words=sum(map(len, spoken)) / len(spoken),
        unk_per_caption=sum(words.count("<unk>") for words in spoken) / len(spoken),
        repetitions_per_caption=sum(repetitions) / len(spoken),
        repeated_ngrams_per_caption=sum(map(_count_repeated_ngrams, spoken)) / len(spoken),
        captions_with_repetition=sum(count > 0 for count in repetitions) / len(spoken),
        vocabulary_used=len({word for words in spoken for word in words} - {"<unk>"}),
        distinct_captions=len(distinct) / len(spoken),
        empty_captions=sum(not words for words in spoken),
        novel_captions=novel,
    )


def count_immediate_repetitions(words: Sequence[str], *, longest: int = 4) -> int:
    """Count places where a stretch of one to `longest` words is directly followed by itself.

    A word said three times in a row counts twice, and not again as a repeated pair.
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
