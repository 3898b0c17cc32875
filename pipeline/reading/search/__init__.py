"""Tracks ranked by a sentence."""

from pipeline.reading.search.query import Hit, SearchConfig, SearchResult, unknown_words
from pipeline.reading.search.ranking import search

__all__ = ["Hit", "SearchConfig", "SearchResult", "search", "unknown_words"]
