"""A customer's own words for tags: terms, synonyms, hierarchy, tags to drop, most terms of a facet.

Conventions: tags are those of `muscaps.lexicon`. A tag without an entry keeps its name; vocals: none is instrumental.
Several tags can have the same term, which then counts once, with their highest score. Parents are given broad first.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from muscaps.lexicon import FACETS
from muscaps.tags import MIN_TAG_SCORE, Tag, counted_tags

TagName = tuple[str, str]
"""Facet and tag."""


def own_term(facet: str, tag: str) -> str:
    """Return what a tag is called without a taxonomy."""
    return "instrumental" if (facet, tag) == ("vocals", "none") else tag


@dataclass(frozen=True, kw_only=True)
class Term:
    """What a customer calls a tag."""

    name: str
    """The word that is written."""
    synonyms: tuple[str, ...] = ()
    """Other words for it; written as keywords."""
    parents: tuple[str, ...] = ()
    """Broader terms, the broadest first."""


@dataclass(frozen=True, kw_only=True)
class ScoredTerm:
    """A term of a track."""

    facet: str
    term: Term
    score: float
    """Highest score of its tags."""
    tag: str
    """The tag with this score."""


@dataclass(frozen=True, kw_only=True)
class Taxonomy:
    """The words of one customer; without entries, our own."""

    terms: Mapping[TagName, Term] = field(default_factory=dict)
    """By tag."""
    dropped: frozenset[TagName] = frozenset()
    """Tags that are not written."""
    only_listed: frozenset[str] = frozenset()
    """Facets of which tags without a term are not written."""
    top: Mapping[str, int] = field(default_factory=dict)
    """Most terms of a facet."""

    def terms_of(self, tags: Sequence[Tag], min_score: float = MIN_TAG_SCORE) -> list[ScoredTerm]:
        """Return the terms of a track, by facet, the highest score first.

        Args:
            tags: The track's tags.
            min_score: Score from which a tag counts.
        """
        found: dict[TagName, ScoredTerm] = {}
        for tag in sorted(counted_tags(tags, min_score), key=lambda tag: (_place(tag.facet), -tag.score)):
            term = self.term_of(tag)
            if term is not None:
                scored = ScoredTerm(facet=tag.facet, term=term, score=tag.score, tag=tag.tag)
                found.setdefault((tag.facet, term.name), scored)
        kept: list[ScoredTerm] = []
        for scored in found.values():
            before = sum(other.facet == scored.facet for other in kept)
            if before < self.top.get(scored.facet, before + 1):
                kept.append(scored)
        return kept

    def term_of(self, tag: Tag) -> Term | None:
        """Return the term of a tag; None if it is not written."""
        name = (tag.facet, tag.tag)
        if name in self.dropped:
            return None
        return self.terms.get(name, None if tag.facet in self.only_listed else Term(name=own_term(*name)))


def _place(facet: str) -> int:
    known: Sequence[str] = FACETS
    return known.index(facet) if facet in known else len(known)
