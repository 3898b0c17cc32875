"""A search: its configuration and its result."""

from dataclasses import dataclass, field
from typing import Any

from pipeline.cluster.address import check_address


@dataclass(frozen=True, kw_only=True)
class SearchConfig:
    """One query over one output."""

    output: str
    """Folder or bucket prefix of a run; for a query in words it needs `features/`."""
    query: str = ""
    """What the music is like; see `query_text` for exclusions and columns. Empty with `like` or `where`."""
    like: str | None = None
    """`track_id` of a track that the tracks found sound like."""
    where: str | None = None
    """DuckDB condition over the columns of `captions/`."""
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
        if not self.query.strip() and self.like is None and self.where is None:
            raise ValueError(
                "the query is empty: write a sentence, such as 'relaxed acoustic guitar', or use --like or --where"
            )
        if self.where is not None and not self.where.strip():
            raise ValueError("--where is empty: write a condition, such as 'bpm < 100'")
        if not 1 <= self.top <= 100_000:
            raise ValueError(f"top must lie in 1 to 100000, not {self.top}")


@dataclass(frozen=True, kw_only=True)
class Hit:
    """A track and how well the query fits it."""

    track_id: str
    """The track."""
    score: float | None
    """What tracks are ranked by: log P(words | audio) in nats, minus the track's bias if `bias_correction` is set; with
    tag heads, the evidence for the tags and a quarter of log P. With `like` alone, the cosine. None for columns."""
    fit: float | None = None
    """Geometric mean of the probabilities of the query's tags. With `like` alone, the cosine. None without both."""
    is_weak: bool = False
    """Whether the track fits the query little."""
    known: dict[str, Any] = field(default_factory=dict)
    """Its uri, title, artist and caption, as far as `captions/` has them."""


@dataclass(frozen=True, kw_only=True)
class SearchResult:
    """The best tracks for a query."""

    hits: tuple[Hit, ...]
    """Best first; equal scores by track_id."""
    tracks: int
    """Tracks ranked."""
    seconds: float
    """Duration of the ranking, without loading the checkpoint."""
    read_as: dict[str, str] = field(default_factory=dict)
    """Words of the query that are not known, and the known words for which they were taken."""
    unknown: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Words of the query that were left out, with similar words that are known."""
