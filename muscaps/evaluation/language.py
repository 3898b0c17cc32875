"""How captions read, whatever they describe: variety, repetitions, unknown words, opening patterns.

Conventions: tokens are those of `vocabulary.tokenize`; content words are those of `lexicon.content_word`, so that a
plural repeats its singular. An opening pattern is a caption's first three words, claims replaced by their layer.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from muscaps.lexicon import claims, content_word
from muscaps.vocabulary import tokenize

OPENING_WORDS = 3


@dataclass(frozen=True, kw_only=True)
class CaptionLanguage:
    """Statistics of a set of captions."""

    num_captions: int
    distinct_captions: int
    repeated_word_captions: int
    """Captions that hold a content word twice."""
    repeated_bigram_captions: int
    """Captions that hold two neighbouring words twice."""
    unknown_word_captions: int
    """Captions with `<unk>`."""
    mean_words: float
    """Words a caption, commas not counted."""
    vocabulary_size: int
    """Different words."""
    opening_pattern: str
    """The most frequent one."""
    opening_share: float
    """Its share of the captions."""


def caption_language(captions: Sequence[str]) -> CaptionLanguage:
    """Measure how captions read.

    Raises:
        ValueError: There are no captions.
    """
    if not captions:
        raise ValueError("there are no captions to measure")
    tokens = [[token for token in tokenize(text) if token != ","] for text in captions]
    [(pattern, count)] = Counter(map(opening_pattern, captions)).most_common(1)
    return CaptionLanguage(
        num_captions=len(captions),
        distinct_captions=len(set(captions)),
        repeated_word_captions=sum(bool(repeated_words(text)) for text in captions),
        repeated_bigram_captions=sum(_repeats(list(zip(words, words[1:], strict=False))) for words in tokens),
        unknown_word_captions=sum("<unk>" in words for words in tokens),
        mean_words=sum(map(len, tokens)) / len(tokens),
        vocabulary_size=len({word for words in tokens for word in words}),
        opening_pattern=pattern,
        opening_share=count / len(captions),
    )


def repeated_words(text: str) -> list[str]:
    """Return the content words that a text holds more than once, in order of their first use."""
    words = Counter(word for token in tokenize(text) if (word := content_word(token)) is not None)
    return [word for word, count in words.items() if count > 1]


def opening_pattern(text: str) -> str:
    """Return the first three words with every claim replaced by its layer: "a <tempo> piece"."""
    lowered = text.lower()
    ends: dict[int, tuple[int, str]] = {}
    for claim in claims(lowered):
        end = claim.start + len(claim.phrase)
        if end > ends.get(claim.start, (0, ""))[0]:
            ends[claim.start] = end, claim.layer
    masked, position = [], 0
    for start in sorted(ends):
        if start < position:
            continue  # within a longer phrase
        masked += [lowered[position:start], f" {ends[start][1]}_claim "]
        position = ends[start][0]
    masked.append(lowered[position:])
    tokens = [token for token in "".join(masked).replace(",", " ").split() if any(map(str.isalnum, token))]
    opening = (token.strip(".;:!?") for token in tokens[:OPENING_WORDS])
    names = (f"<{token.removesuffix('_claim')}>" if token.endswith("_claim") else token for token in opening)
    return " ".join("a" if name == "an" else name for name in names)


def _repeats(items: list[tuple[str, str]]) -> bool:
    return len(items) != len(set(items))
