"""A search: its configuration, its result, and words of the query that are not in the vocabulary."""

import difflib
from dataclasses import dataclass, field
from typing import Any

from pipeline.cluster.address import check_address


@dataclass(frozen=True, kw_only=True)
class SearchConfig:
    """One query over one output."""

    output: str
    """Folder or bucket prefix that holds `features/`."""
    query: str
    """A sentence, worded like the captions."""
    top: int = 10
    """Tracks to return."""
    checkpoint: str | None = None
    """Checkpoint that computed the features; None for the bundled one."""
    bias_correction: bool = False
    """Subtract the score that the track has on average for sentences of this length."""
    exact: bool = False
    """With attention: score every track on all its chunks, not only candidates."""
    address: str | None = None
    """Ray cluster; None searches in this process, or on an embedded Ray from 300,000 tracks."""

    def __post_init__(self) -> None:
        check_address(self.address)
        if not self.query.strip():
            raise ValueError("the query is empty: write a sentence, such as 'relaxed acoustic guitar'")
        if not 1 <= self.top <= 100_000:
            raise ValueError(f"top must lie in 1 to 100000, not {self.top}")


@dataclass(frozen=True, kw_only=True)
class Hit:
    """A track and how well the query fits it."""

    track_id: str
    """The track."""
    score: float
    """log P(query | audio), minus the track's bias if `bias_correction` is set."""
    known: dict[str, Any] = field(default_factory=dict)
    """Its uri, title, artist and caption, as far as `captions/` has them."""


@dataclass(frozen=True, kw_only=True)
class SearchResult:
    """The best tracks for a query."""

    hits: tuple[Hit, ...]
    """Best first; equal scores by track_id."""
    tracks: int
    """Tracks ranked."""
    unknown: dict[str, tuple[str, ...]]
    """Words of the query that are not in the vocabulary, with similar words that are."""
    seconds: float
    """Duration of the ranking, without loading the checkpoint."""


def unknown_words(vocabulary: Any, query: str) -> dict[str, tuple[str, ...]]:
    """List the words of a query that a model does not know.

    Args:
        vocabulary: The model's `Vocabulary`.
        query: A sentence.

    Returns:
        Each unknown word, with up to three known words of similar spelling.

    Raises:
        ValueError: The query holds no known word.
    """
    from muscaps.vocabulary import tokenize

    known = set(vocabulary.words[4:])
    tokens = tokenize(query)
    unknown = {word: tuple(difflib.get_close_matches(word, known, 3, 0.72)) for word in tokens if word not in known}
    if len(unknown) == len(set(tokens)):
        alike = sorted({word for words in unknown.values() for word in words})
        hint = f"; it knows {', '.join(alike)}" if alike else ""
        raise ValueError(f"the model knows no word of {query!r}{hint}")
    return unknown
