"""Pairs of neighbouring words: what is new in the language of a caption.

Conventions: words are those of `vocabulary.tokenize`; the beginning and the end of a caption count as words.
"""

from collections.abc import Iterable

from muscaps.vocabulary import tokenize

_START, _END = "<sos>", "<eos>"


def word_pairs(captions: Iterable[str]) -> set[tuple[str, str]]:
    """Return the pairs of neighbouring words of some captions."""
    return {pair for text in captions for pair in _pairs(text)}


def new_word_pairs(caption: str, known: set[tuple[str, str]]) -> int:
    """Return how many different pairs of a caption are not known."""
    return len(set(_pairs(caption)) - known)


def _pairs(text: str) -> list[tuple[str, str]]:
    words = [_START, *tokenize(text), _END]
    return list(zip(words, words[1:], strict=False))
