"""Masters and versions: which track of a group is captioned, and which tracks share its caption.

Conventions:

- The group of a track is its value in the grouping column (`master_id`), or its own `track_id` where that is empty. So
  a master may leave the column empty or name itself, and a catalogue without versions has groups of one.
- The master is the track whose `track_id` is the value. In a group without one it is the longest track by `duration_s`
  of the catalogue, of equal lengths the first.
- The master is captioned. If it fails, the longest other track is tried, and so on. Tracks after the one that is
  captioned share its caption; tracks that failed before it keep their failure.
- A group that has a caption in the output shares it with further versions, without captioning. A master is always
  captioned from its own audio.
"""

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.catalogue import Catalogue

MASTER_COLUMN = "master_id"
"""The grouping column, in any case and with spaces or underscores, if none is named."""
NO_GROUPS = "none"
"""Value of `group_by` that captions every track."""
_ALONE = "\x1falone\x1f"
"""Start of the keys of tracks that are not grouped."""


def group_column(catalogue: Catalogue, group_by: str | None) -> str | None:
    """Return the catalogue's grouping column; None without one.

    Args:
        catalogue: The tracks.
        group_by: Name of a column, `NO_GROUPS`, or None for `MASTER_COLUMN` if the catalogue has it.

    Raises:
        ValueError: The catalogue has no column of this name.
    """
    names = catalogue.rows.column_names
    if group_by == NO_GROUPS:
        return None
    if group_by is None:
        return next((name for name in names if name.lower().replace(" ", "_") == MASTER_COLUMN), None)
    found = next((name for name in (group_by, catalogue.renamed.get(group_by)) if name in names), None)
    if found is None or found in ("track_id", "uri", "etag"):
        own = [name for name in names if name not in ("track_id", "uri", "etag")]
        raise ValueError(
            f"--group-by {group_by}: {catalogue.source} has no such column to group by; it has: {', '.join(own) or '-'}"
        )
    return found


def group_keys(values: pa.ChunkedArray, track_ids: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return the group of each track, as text."""
    text = pc.utf8_trim_whitespace(values.cast(pa.string()))
    return pc.coalesce(pc.if_else(pc.equal(text, ""), None, text), track_ids)


@dataclass(frozen=True, kw_only=True)
class Sources:
    """Captioned tracks of an output whose caption further versions share, one per group."""

    keys: pa.Array
    """Groups, each once."""
    track_ids: pa.Array
    """The captioned track of each group."""
    etags: pa.Array
    """Version of its file."""


def sources_of(catalogue: Catalogue, column: str, captioned: pa.Table) -> Sources:
    """Choose a captioned track of each group: the master, otherwise the first of the catalogue, otherwise any.

    Args:
        catalogue: The tracks that are wanted.
        column: Its grouping column.
        captioned: `track_id`, `etag`, `shared_from` and the values of the grouping column (`group`) of captioned rows.
    """
    own = captioned.filter(captioned["shared_from"].is_null())
    places = pc.index_in(own["track_id"], value_set=catalogue.rows["track_id"].combine_chunks())
    here = catalogue.rows.select([column, "etag"]).take(places)
    changed = pc.fill_null(pc.not_equal(here["etag"], own["etag"]), False)
    keys = group_keys(own["group"], own["track_id"])
    keys = pc.if_else(places.is_valid(), group_keys(here[column], own["track_id"]), keys)
    rows = pa.table(
        {
            "key": keys,
            "track_id": own["track_id"],
            "etag": own["etag"],
            "is_other": pc.not_equal(keys, own["track_id"]),
            "place": pc.fill_null(places.cast(pa.int64()), catalogue.num_tracks),
        }
    ).filter(pc.invert(changed))
    rows = rows.sort_by([("is_other", "ascending"), ("place", "ascending")]).combine_chunks()
    first = rows.group_by("key", use_threads=False).aggregate([("track_id", "first"), ("etag", "first")])
    first = first.combine_chunks()
    return Sources(keys=_flat(first["key"]), track_ids=_flat(first["track_id_first"]), etags=_flat(first["etag_first"]))


class VersionGroups:
    """The groups of the tracks of a run."""

    def __init__(
        self,
        catalogue: Catalogue,
        column: str,
        selected: np.ndarray,
        sources: Sources,
        *,
        alone: np.ndarray | None = None,
        limit: int | None = None,
    ) -> None:
        """Form groups.

        Args:
            catalogue: The tracks that are wanted.
            column: Its grouping column.
            selected: True for tracks without a row, (num_tracks,) bool.
            sources: Captioned tracks of the output.
            alone: True for tracks that are captioned themselves in any case, (num_tracks,) bool.
            limit: Maximum number of tracks that are captioned if none fails: the first groups of the catalogue.
        """
        self._catalogue = catalogue
        tracks = np.flatnonzero(selected)
        rows = catalogue.rows.take(pa.array(tracks))
        ids, keys = rows["track_id"].combine_chunks(), _flat(group_keys(rows[column], rows["track_id"]))
        is_master = pc.equal(ids, keys).to_numpy(zero_copy_only=False)
        if alone is not None:
            keys = pc.if_else(pa.array(alone[tracks]), pc.binary_join_element_wise(_ALONE, ids, ""), keys)
        group = keys.dictionary_encode().indices.to_numpy()
        places = pc.index_in(keys, value_set=sources.keys)
        has_master = np.isin(group, group[is_master])
        copied = places.is_valid().to_numpy(zero_copy_only=False) & ~has_master
        self._copies = tracks[copied]
        self._sources = places.filter(pa.array(copied)), sources
        self._form(tracks[~copied], group[~copied], is_master[~copied], rows.filter(pa.array(~copied)))
        if limit is not None:
            self._keep_groups(np.argsort(np.minimum.reduceat(self._members, self._starts))[:limit])

    def _form(self, tracks: np.ndarray, group: np.ndarray, is_master: np.ndarray, rows: pa.Table) -> None:
        lengths = np.full(len(tracks), -1.0)
        if "duration_s" in rows.column_names:
            lengths = pc.fill_null(rows["duration_s"], -1.0).to_numpy()
        order = np.lexsort((tracks, -lengths, ~is_master, group))
        self._members, ordered = tracks[order], group[order]
        """Tracks by group, in the order in which they are tried."""
        self._starts = np.flatnonzero(np.diff(ordered, prepend=-1))
        self._ends = np.append(self._starts[1:], len(tracks))
        self._tried = self._starts.copy()
        """Position in `members` of the track that is captioned, by group."""

    def _keep_groups(self, kept: np.ndarray) -> None:
        sizes = self._ends[kept] - self._starts[kept]
        self._members = self._members[_ranges(self._starts[kept], sizes)]
        self._ends = np.cumsum(sizes)
        self._starts = self._ends - sizes
        self._tried = self._starts.copy()

    @property
    def selected(self) -> np.ndarray:
        """True for all tracks of the run, captioned or not, (num_tracks,) bool."""
        mask = np.zeros(self._catalogue.num_tracks, bool)
        mask[self._copies] = mask[self._members] = True
        return mask

    @property
    def num_copies(self) -> int:
        """Versions whose group has a caption in the output."""
        return len(self._copies)

    def copies(self, slice_rows: int) -> "list[tuple[np.ndarray, pa.Array, pa.Array]]":
        """Return tracks that share a caption of the output, with id and file version of its track, in slices."""
        places, sources = self._sources
        return [
            (
                self._copies[start : start + slice_rows],
                sources.track_ids.take(places.slice(start, slice_rows)),
                sources.etags.take(places.slice(start, slice_rows)),
            )
            for start in range(0, len(self._copies), slice_rows)
        ]

    def first(self) -> np.ndarray:
        """Return the tracks to caption first, one per group, in the order of the catalogue."""
        return np.sort(self._members[self._tried])

    def after_failures(self, failed: Collection[str]) -> np.ndarray:
        """Return the next track of each group whose track has failed, in the order of the catalogue."""
        has_next = np.flatnonzero(self._tried + 1 < self._ends)
        if not failed or not len(has_next):
            return np.zeros(0, np.int64)
        ids = self._catalogue.rows["track_id"].take(pa.array(self._members[self._tried[has_next]]))
        is_failed = pc.is_in(ids, value_set=pa.array(list(failed), pa.string())).to_numpy()
        groups = has_next[is_failed]
        self._tried[groups] += 1
        return np.sort(self._members[self._tried[groups]])

    def versions_of(self, tracks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the tracks that share the captions of some tracks, and for each of them the track."""
        captioned = self._members[self._tried]
        order = np.argsort(captioned)
        groups = order[np.searchsorted(captioned, tracks, sorter=order)]
        sizes = self._ends[groups] - self._tried[groups] - 1
        return self._members[_ranges(self._tried[groups] + 1, sizes)], np.repeat(tracks, sizes)


def _ranges(starts: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Return the numbers of some ranges, one after the other."""
    ends = np.cumsum(sizes)
    shifted: np.ndarray = np.arange(sizes.sum()) + np.repeat(starts - (ends - sizes), sizes)
    return shifted


def _flat(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
