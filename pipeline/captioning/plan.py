"""The plan of a run: the catalogue without finished tracks, divided into shards."""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.captioning.config import CaptioningConfig
from pipeline.captioning.masters import VersionGroups, group_column, sources_of
from pipeline.captioning.rows import input_rows
from pipeline.catalogue import Catalogue
from pipeline.output.anti_join import captioned_tracks, failed_tracks, rows_to_do, tracks_of_any_model
from pipeline.output.same_files import refusal, same_files
from pipeline.output.schema import CAPTION_SCHEMA
from pipeline.output.shared_captions import without_outdated

SHARD_TRACKS, SHARD_TRACKS_PER_CPU = (2_000, 100_000), 1_000
"""Tracks of one Ray execution: minimum, maximum, and number per core. An execution is about ten minutes of work, so
that the start of the workers is negligible. Ray's bookkeeping in the driver grows by 5 KB per track until the execution
ends."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The tracks of a catalogue that a run processes."""

    selected: np.ndarray
    """True for tracks to process, (num_tracks,) bool; versions that share a caption included."""
    attempts: np.ndarray
    """Number of earlier attempts of each selected track, (num_selected,) int."""
    already_captioned: int
    """Tracks with a caption of an earlier run."""
    already_failed: int
    """Tracks whose last failure is final, and which are therefore not processed."""
    groups: VersionGroups | None = None
    """Which of them are captioned, and which share a caption; None if all are captioned."""

    @property
    def num_tracks(self) -> int:
        """Tracks to process."""
        return len(self.attempts)


def plan_run(catalogue: Catalogue, config: CaptioningConfig, model_id: str) -> Plan:
    """Read finished and failed tracks from the output and select the tracks to process.

    Raises:
        StorageError: The output cannot be read.
        ValueError: The output holds files of the catalogue under other ids, and `config.match_by` is None; or the
            catalogue lacks the column to group by.
    """
    column = group_column(catalogue, config.group_by)
    done = captioned_tracks(config.output, model_id, config.options, column, effort=config.recorded_effort)
    captioned = without_outdated(done, catalogue)
    elsewhere = None
    if config.match_by == "uri":
        elsewhere = same_files(catalogue, captioned).rows
    elif config.match_by is None:
        found = same_files(catalogue, tracks_of_any_model(config.output))
        if (found.rows & rows_to_do(catalogue, captioned)).any():
            raise ValueError(refusal(config.output, catalogue, found))
    return select_tracks(
        catalogue,
        captioned,
        failed_tracks(config.output),
        model_id=model_id,
        only_failed=config.only_failed,
        limit=config.limit,
        captioned_elsewhere=elsewhere,
        group_by=column,
    )


def select_tracks(
    catalogue: Catalogue,
    captioned: pa.Table,
    failures: pa.Table,
    *,
    model_id: str,
    only_failed: bool = False,
    limit: int | None = None,
    captioned_elsewhere: np.ndarray | None = None,
    group_by: str | None = None,
) -> Plan:
    """Select the tracks without a caption, except those whose last failure is final.

    Args:
        catalogue: The tracks that are wanted.
        captioned: `track_id` and `etag` of tracks with a caption of this model and decoding.
        failures: The last failure of each failed track, see `FAILURE_SCHEMA`.
        model_id: Model of this run; failures of the caption stage with another model are ignored.
        only_failed: Select only tracks whose last attempt failed, with a final failure or not.
        limit: Maximum number of tracks to caption, the first of the catalogue.
        captioned_elsewhere: Tracks that count as captioned although their id is not in `captioned`, (num_tracks,) bool.
        group_by: Column of the catalogue whose values are groups of versions, see `masters`; `captioned` then has
            `shared_from` and `group`.
    """
    same_model = pc.or_(pc.not_equal(failures["stage"], "caption"), pc.equal(failures["model_id"], model_id))
    failures = failures.filter(pc.fill_null(same_model, True))
    without_caption = rows_to_do(catalogue, captioned)
    if captioned_elsewhere is not None:
        without_caption &= ~captioned_elsewhere
    blocking = failures if only_failed else failures.filter(pc.invert(failures["retryable"]))
    has_failed = ~rows_to_do(catalogue, blocking)
    skipped = without_caption & (~has_failed if only_failed else has_failed)
    selected, groups = without_caption & ~skipped, None
    if group_by is not None:
        is_final = ~rows_to_do(catalogue, failures.filter(pc.invert(failures["retryable"])))
        sources = sources_of(catalogue, group_by, captioned)
        groups = VersionGroups(catalogue, group_by, selected, sources, alone=is_final, limit=limit)
        selected = groups.selected
    elif limit is not None:
        selected[np.flatnonzero(selected)[limit:]] = False
    return Plan(
        selected=selected,
        attempts=_earlier_attempts(catalogue.rows["track_id"].filter(pa.array(selected)), failures),
        already_captioned=int((~without_caption).sum()),
        already_failed=0 if only_failed else int(skipped.sum()),
        groups=groups,
    )


@dataclass(frozen=True, kw_only=True)
class Shard:
    """The tracks of one Ray execution."""

    rows: pa.Table
    """Rows for the first stage, see `rows.input_rows`; `attempt` is the number of the coming attempt."""
    versions: pa.Table | None = None
    """Rows of the tracks that share their captions, with `shared_from` and `shared_from_etag`; None without groups."""


def shards(
    catalogue: Catalogue, plan: Plan, num_cpus: int, failed: Callable[[], Collection[str]] = tuple
) -> Iterator[Shard]:
    """Divide the planned tracks into shards, one per Ray execution.

    Args:
        catalogue: The tracks that are wanted.
        plan: The tracks to process.
        num_cpus: Cores of the cluster; shards are larger with more cores.
        failed: Called when all shards before are processed: the tracks that have failed. The next version of each of
            their groups follows.
    """
    least, most = SHARD_TRACKS
    size = min(most, max(least, SHARD_TRACKS_PER_CPU * num_cpus))
    planned = np.flatnonzero(plan.selected)
    tracks = planned if plan.groups is None else plan.groups.first()
    while len(tracks):
        for start in range(0, len(tracks), size):
            chosen = tracks[start : start + size]
            attempts = pa.array(plan.attempts[np.searchsorted(planned, chosen)] + 1)
            rows = input_rows(catalogue.rows.take(pa.array(chosen)), attempts)
            yield Shard(rows=rows, versions=_versions(catalogue, plan, chosen))
        tracks = tracks[:0] if plan.groups is None else plan.groups.after_failures(failed())


def copies(catalogue: Catalogue, plan: Plan) -> Iterator[pa.Table]:
    """Yield the tracks that share a caption which the output holds, as `Shard.versions`."""
    if plan.groups is not None:
        for tracks, track_ids, etags in plan.groups.copies(SHARD_TRACKS[1]):
            yield _sharing(catalogue, tracks, track_ids, etags)


def _versions(catalogue: Catalogue, plan: Plan, chosen: np.ndarray) -> pa.Table | None:
    if plan.groups is None:
        return None
    tracks, captioned = plan.groups.versions_of(chosen)
    sources = catalogue.rows.select(["track_id", "etag"]).take(pa.array(captioned))
    return _sharing(catalogue, tracks, sources["track_id"], sources["etag"])


def _sharing(
    catalogue: Catalogue, tracks: np.ndarray, track_ids: pa.ChunkedArray | pa.Array, etags: pa.ChunkedArray | pa.Array
) -> pa.Table:
    rows = input_rows(catalogue.rows.take(pa.array(tracks)), pa.array(np.ones(len(tracks), np.int32)))
    for name, values in (("shared_from", track_ids), ("shared_from_etag", etags)):
        rows = rows.append_column(CAPTION_SCHEMA.field(name), values)
    return rows


def _earlier_attempts(track_ids: pa.ChunkedArray, failures: pa.Table) -> np.ndarray:
    """Return the number of earlier attempts of each track, (num_tracks,) int."""
    positions = pc.index_in(track_ids, value_set=failures["track_id"].combine_chunks())
    attempts = failures["attempt"].combine_chunks().take(positions.combine_chunks())
    return np.asarray(pc.fill_null(attempts, 0).to_numpy(zero_copy_only=False))
