"""The text of a query in its parts: words, words that are excluded, text to find in columns.

Conventions: `title:"blue ska"` finds text in a column. `no drums`, `without drums or vocals`, `not dark` and `-drums`
exclude; what is excluded ends at a comma, `but` or `with`.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

_FILTER = re.compile(r'(?<!\S)([^\W\d]\w*):("[^"]*"|[^\s"]+)')
_MINUS = re.compile(r"(?<!\S)-([^\W\d_][\w'-]*)")
_NEGATION = re.compile(
    r"(?<!\w)(no|without|excluding|minus|not|never|non)(?!\w)[\s-]+(?:(?:any|a|an|the|too|very|so|much)\s+)*"
    r"(.+?)(?=\s*(?:[,;.!?]|$|(?<!\w)(?:but|with|without|no|not)(?!\w)))",
    re.IGNORECASE,
)
_STRICT = frozenset({"no", "without", "excluding", "minus"})
"""Words after which something must be excluded; `not` and `never` are also used in other ways."""


@dataclass(frozen=True, kw_only=True)
class Exclusion:
    """A part of a query that is excluded."""

    text: str
    """Words without the negation."""
    whole: str
    """Words with the negation."""
    is_strict: bool
    """Whether the search must exclude it or be refused."""


@dataclass(frozen=True, kw_only=True)
class QueryText:
    """The parts of a query."""

    words: str
    """What the music is like."""
    exclusions: tuple[Exclusion, ...] = ()
    filters: tuple[tuple[str, str], ...] = ()
    """Column and text to find in it."""


def parse_query(text: str, columns: Sequence[str]) -> QueryText:
    """Split a query.

    Args:
        text: As typed.
        columns: Columns that can be searched.

    Raises:
        ValueError: It names a column that does not exist.
    """
    names = {name.lower(): name for name in columns}
    filters = []
    for match in _FILTER.finditer(text):
        if match[1].lower() not in names:
            raise ValueError(f"no column {match[1]!r} to search; there are {', '.join(columns) or 'none'}")
        filters.append((names[match[1].lower()], match[2].strip('"')))
    words = _FILTER.sub(" ", text)
    exclusions = [Exclusion(text=match[1], whole=match[0], is_strict=True) for match in _MINUS.finditer(words)]
    words = _MINUS.sub(" ", words)
    exclusions += [
        Exclusion(text=match[2], whole=match[0], is_strict=match[1].lower() in _STRICT)
        for match in _NEGATION.finditer(words)
    ]
    words = _NEGATION.sub(" ", words)
    return QueryText(words=" ".join(words.split()), exclusions=tuple(exclusions), filters=tuple(filters))
