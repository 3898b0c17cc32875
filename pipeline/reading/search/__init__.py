"""Tracks ranked by words, by a track or by columns."""

from pipeline.reading.search.query import Hit, SearchConfig, SearchResult
from pipeline.reading.search.ranking import search

__all__ = ["Hit", "SearchConfig", "SearchResult", "search"]
