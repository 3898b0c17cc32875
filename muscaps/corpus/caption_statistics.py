"""How varied a set of captions is: openings, vocabulary, length and repetition."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from muscaps.corpus.captions import FUNCTION_WORDS, repeats_a_content_word, tokens
from muscaps.corpus.genres import GENRES, UNNAMED
from muscaps.corpus.instrument_phrases import PHRASES, PLAYED
from muscaps.corpus.mood_words import ENERGY_ADJECTIVES, MOODS, TEMPO_ADJECTIVES, TEXTURE_ADJECTIVES

OPENING_WORDS = 3


@dataclass(frozen=True, kw_only=True)
class CaptionStatistics:
    """Statistics of a set of captions. Shares are between 0 and 1."""

    num_captions: int
    distinct_share: float
    top_openings: tuple[tuple[str, float], ...]
    """The most frequent opening patterns with their shares."""
    vocabulary_size: int
    words_per_caption: float
    repeated_content_share: float
    """Captions in which a content word occurs twice."""

    @property
    def top_opening_share(self) -> float:
        """Share of the most frequent opening pattern."""
        return self.top_openings[0][1]


@cache
def _word_classes() -> dict[str, str]:
    sources: list[tuple[str, Sequence[str]]] = [
        ("PLAYING", [re.sub(r"\{\w+\}", "", p) for table in PLAYED.values() for ps in table.values() for p in ps]),
        ("GENRE", [p for genre in (*GENRES.values(), UNNAMED) for p in (*genre.counted, *genre.uncounted)]),
        ("INSTRUMENT", [phrase for phrases in PHRASES.values() for phrase in phrases]),
        ("TEMPO", [word for words in TEMPO_ADJECTIVES.values() for word in words]),
        ("MOOD", [word for mood in MOODS.values() for word in mood.words]),
        ("MOOD", [word for table in (ENERGY_ADJECTIVES, TEXTURE_ADJECTIVES) for ws in table.values() for word in ws]),
    ]
    return {
        word: name
        for name, phrases in sources
        for phrase in phrases
        for word in tokens(phrase)
        if word not in FUNCTION_WORDS
    }


def opening_pattern(text: str) -> str:
    """Return the first three words, content words replaced by their class: "A MOOD GENRE"."""
    classes = _word_classes()
    return " ".join(classes.get(word, word) for word in tokens(text)[:OPENING_WORDS])


def measure_captions(captions: Sequence[str], num_openings: int = 10) -> CaptionStatistics:
    """Measure a set of captions.

    Raises:
        ValueError: There is no caption.
    """
    if not captions:
        raise ValueError("no captions to measure")
    openings = Counter(map(opening_pattern, captions))
    words = [tokens(text) for text in captions]
    return CaptionStatistics(
        num_captions=len(captions),
        distinct_share=len(set(captions)) / len(captions),
        top_openings=tuple((name, count / len(captions)) for name, count in openings.most_common(num_openings)),
        vocabulary_size=len({word for caption in words for word in caption}),
        words_per_caption=sum(map(len, words)) / len(captions),
        repeated_content_share=sum(map(repeats_a_content_word, captions)) / len(captions),
    )
