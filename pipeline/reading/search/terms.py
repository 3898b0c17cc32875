"""What the words of a query mean to a model: tags that are wanted or excluded, words that it can predict.

Conventions: with tag heads, a query is scored by its tags and by its content words, without words such as "a" and
"piece"; so "piano" and "a piano piece" are one query. Without tag heads, the whole sentence is scored. A word that
neither the vocabulary nor the tags know is read as the known word of the most similar spelling, or left out and
reported; a query that is mostly unknown is refused.
"""

import difflib
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

from muscaps.lexicon import claims, content_word
from pipeline.reading.search.query_text import QueryText

TagName = tuple[str, str]
"""Facet and tag."""
INSTRUMENTAL: TagName = ("vocals", "none")
_VOCALS = frozenset("vocal vocals voice voices singing singer singers song lyrics".split())
_GENERIC = frozenset(
    "piece pieces track tracks song songs music musical tune tunes number sound sounds something "
    "featuring some any very really rather quite".split()
)
"""Words that say nothing about a piece of music."""
READ_AS_RATIO = 0.84
"""Similarity of spelling from which an unknown word is read as a known one: one letter in seven differs."""
SIMILAR_RATIO = 0.6
"""Similarity of spelling from which a known word is proposed."""

MIN_KNOWN_WORDS = 2
"""Known words that are enough for a search although most words are unknown: a long description of a project."""


@dataclass(frozen=True, kw_only=True)
class SearchTerms:
    """What a query asks for."""

    sentence: str = ""
    """Words whose probability is scored; empty for none."""
    wanted: tuple[TagName, ...] = ()
    unwanted: tuple[TagName, ...] = ()
    read_as: dict[str, str] = field(default_factory=dict)
    """Unknown words, and the known words for which they are taken."""
    unknown: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Unknown words that are left out, with known words of similar spelling."""


def search_terms(text: QueryText, vocabulary: Any, tag_names: Collection[TagName]) -> SearchTerms:
    """Find out what a query asks for.

    Args:
        text: The query.
        vocabulary: The model's `Vocabulary`.
        tag_names: Tags that the model scores; none without tag heads.

    Raises:
        ValueError: More than half of the words are unknown, or something cannot be excluded.
    """
    words, unwanted, wanted = text.words, [], []
    for exclusion in text.exclusions:
        tags = _tags_in(exclusion.text, tag_names)
        about_vocals = bool(_VOCALS & set(exclusion.text.lower().split())) and INSTRUMENTAL in tag_names
        if about_vocals:
            wanted.append(INSTRUMENTAL)
        elif tags:
            unwanted += tags
        elif exclusion.is_strict:
            raise ValueError(_not_excluded(exclusion.text, tag_names))
        else:
            words = f"{words} {exclusion.text}"
    known = set(vocabulary.words[4:])
    words, read_as, unknown = _known_words(words, known, tag_names)
    wanted = [*_tags_in(words, tag_names), *wanted]
    sentence = " ".join(_content_words(words, known)) if tag_names else words
    terms = SearchTerms(
        sentence=sentence,
        wanted=tuple(dict.fromkeys(wanted)),
        unwanted=tuple(tag for tag in dict.fromkeys(unwanted) if tag not in wanted),
        read_as=read_as,
        unknown=unknown,
    )
    if not (terms.sentence or terms.wanted or terms.unwanted):
        raise ValueError(f"{text.words!r} says nothing about the music: name an instrument, a genre or a mood")
    return terms


def _not_excluded(text: str, tag_names: Collection[TagName]) -> str:
    if not tag_names:
        return f"{text!r} cannot be excluded: the model has no tags; use --where on the columns instead"
    return f"{text!r} cannot be excluded: no tag of the model is about it; leave it out, or use --where"


def _tags_in(text: str, tag_names: Collection[TagName]) -> list[TagName]:
    return list(dict.fromkeys((c.facet, c.tag) for c in claims(text) if (c.facet, c.tag) in tag_names))


def _known_words(
    text: str, known: Collection[str], tag_names: Collection[TagName]
) -> tuple[str, dict[str, str], dict[str, tuple[str, ...]]]:
    """Replace or leave out unknown words; return the text, what was replaced and what was left out.

    Raises:
        ValueError: More than half of the content words are left out.
    """
    from muscaps.vocabulary import tokenize

    tokens = tokenize(text)
    phrases = " ".join(c.phrase for c in claims(text) if (c.facet, c.tag) in tag_names).split()
    candidates = sorted({*known, *(word for word in _tag_words(tag_names) if " " not in word)})
    understood: list[str] = []
    read_as: dict[str, str] = {}
    unknown: dict[str, tuple[str, ...]] = {}
    for token in tokens:
        if token in known or token in phrases or (tag_names and _is_empty_word(token)):
            understood.append(token)
        elif nearest := difflib.get_close_matches(token, candidates, 1, READ_AS_RATIO):
            understood.append(nearest[0])
            read_as[token] = nearest[0]
        else:
            unknown[token] = tuple(difflib.get_close_matches(token, candidates, 3, SIMILAR_RATIO))
    content = {token for token in tokens if not _is_empty_word(token)}
    lost = {token for token in unknown if not _is_empty_word(token)}
    is_mostly_unknown = len(lost) * 2 > len(content) and len(content) - len(lost) < MIN_KNOWN_WORDS
    if is_mostly_unknown or (unknown and not content):
        raise ValueError(_mostly_unknown(text, unknown, len(lost), len(content)))
    return " ".join(understood), read_as, unknown


def _mostly_unknown(text: str, unknown: dict[str, tuple[str, ...]], num_lost: int, num_content: int) -> str:
    similar = [f"{word} ({', '.join(alike)})" if alike else word for word, alike in unknown.items()]
    return (
        f"the model does not know {num_lost or len(unknown)} of {num_content or len(unknown)} words of {text!r}; "
        f"unknown, with similar known words: {'; '.join(similar)}"
    )


def _is_empty_word(token: str) -> bool:
    return content_word(token) is None or token in _GENERIC


def _content_words(text: str, known: Collection[str]) -> list[str]:
    from muscaps.vocabulary import tokenize

    return list(dict.fromkeys(word for word in tokenize(text) if word in known and not _is_empty_word(word)))


def _tag_words(tag_names: Collection[TagName]) -> Sequence[str]:
    return [tag for _, tag in tag_names]
