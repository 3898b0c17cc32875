"""Columns of an export that are made from others: tags as text, vocals, the file's name, what is AI-written.

Conventions: terms are separated by a comma and a blank; a parent comes before its term; no term occurs twice in a cell.
A cell without terms is empty.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

import pyarrow as pa

from muscaps.lexicon import FACETS
from muscaps.tags import MIN_TAG_SCORE, Tag
from pipeline import storage
from pipeline.output.schema import TAGS
from pipeline.reading.taxonomy import ScoredTerm, Taxonomy

TAG_COLUMNS = tuple(f"tags_{facet}" for facet in FACETS)
"""One column of terms a facet."""
KEYWORDS, CATEGORY, SUBCATEGORY, GENRE_WORD = "tags_keywords", "category", "subcategory", "genre_word"
FILENAME, VOCALS, AI_NOTE = "filename", "vocals_yes_no", "ai_note"
AI_COLUMN, MODEL_COLUMN = "description_ai_generated", "description_model"
"""The caption is AI-written, and by which model."""

MADE_FROM: Mapping[str, tuple[str, ...]] = {
    **{name: ("tags",) for name in (*TAG_COLUMNS, KEYWORDS, CATEGORY, SUBCATEGORY, GENRE_WORD)},
    FILENAME: ("uri",),
    VOCALS: ("has_vocals",),
    AI_NOTE: ("model_id",),
    MODEL_COLUMN: ("model_id",),
    AI_COLUMN: (),
}
"""Columns of `captions/` that each one needs."""


@dataclass(frozen=True, kw_only=True)
class TagWords:
    """How tags become words."""

    taxonomy: Taxonomy = field(default_factory=Taxonomy)
    """The customer's words."""
    min_score: float = MIN_TAG_SCORE
    """Score from which a tag counts."""

    def terms(self, cell: Sequence[Mapping[str, Any]] | None) -> list[ScoredTerm]:
        """Return the terms of one cell of column `tags`."""
        tags = [Tag(facet=tag["facet"], tag=tag["tag"], score=tag["score"]) for tag in cell or ()]
        return self.taxonomy.terms_of(tags, self.min_score)


def made_column(name: str, batch: pa.RecordBatch, words: TagWords) -> pa.Array:
    """Make a column of `MADE_FROM` from the columns that it needs."""
    if name == AI_COLUMN:
        return pa.array([True] * batch.num_rows)
    if name == AI_NOTE:
        names = [name for name in ("model_id", "shared_from") if name in batch.schema.names]
        return pa.array([_note(row) for row in batch.select(names).to_pylist()], pa.string())
    cells = batch[MADE_FROM[name][0]].to_pylist()
    if name in _OF_CELL:
        return pa.array([None if cell is None else _OF_CELL[name](cell) for cell in cells], pa.string())
    return pa.array([_text_of_terms(name, words.terms(cell)) or None for cell in cells], pa.string())


def counted_column(column: pa.Array, words: TagWords) -> pa.Array:
    """Return a column `tags` with the tags that count, by the customer's words."""
    rows = [
        None
        if cell is None
        else [{"facet": term.facet, "tag": term.term.name, "score": term.score} for term in words.terms(cell)]
        for cell in column.to_pylist()
    ]
    return pa.array(rows, TAGS)


def text_of_facet(terms: Sequence[ScoredTerm], facet: str) -> list[str]:
    """Return the words of one facet, parents first."""
    words = [word for one in terms if one.facet == facet for word in (*one.term.parents, one.term.name)]
    return list(dict.fromkeys(words))


def _text_of_terms(name: str, terms: Sequence[ScoredTerm]) -> str:
    if name == KEYWORDS:
        return ", ".join(dict.fromkeys(word for one in terms for word in _keywords(one)))
    if name in (CATEGORY, SUBCATEGORY, GENRE_WORD):
        levels = next(((*one.term.parents, one.term.name) for one in terms if one.facet == "genre"), ())
        place = {CATEGORY: 0, SUBCATEGORY: 1, GENRE_WORD: len(levels) - 1}[name]
        return levels[place] if 0 <= place < len(levels) else ""
    return ", ".join(text_of_facet(terms, name.removeprefix("tags_")))


def _keywords(one: ScoredTerm) -> Sequence[str]:
    """The words that find a track; `high` and `slow` alone would not say what they are about."""
    if one.term.name == one.tag and one.facet in ("energy", "tempo"):
        return [f"{one.tag} {one.facet}"]
    return [*one.term.parents, one.term.name, *one.term.synonyms]


def _file_name(uri: str) -> str:
    name = storage.public_uri(uri).rpartition("/")[2]
    return unquote(name) if "://" in uri else name


def _note(row: Mapping[str, Any]) -> str:
    of = f" of the master {row['shared_from']}" if row.get("shared_from") else ""
    return f"AI-written description{of} ({row['model_id']}); may be wrong"


_OF_CELL: Mapping[str, Callable[[Any], str | None]] = {
    FILENAME: _file_name,
    VOCALS: lambda has_vocals: "Yes" if has_vocals else "No",
    MODEL_COLUMN: lambda model_id: model_id,
}
