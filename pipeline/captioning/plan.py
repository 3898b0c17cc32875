"""What a run has to do: the catalogue minus what the output holds, cut into shards."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.captioning.config import CaptioningConfig
from pipeline.captioning.rows import input_rows
from pipeline.catalogue import Catalogue
from pipeline.output.anti_join import captioned_tracks, failed_tracks, rows_to_do

SHARD_TRACKS, SHARD_TRACKS_PER_CPU = (2_000, 100_000), 1_000
"""Tracks of one Ray execution, at least and at most, and per core: some ten minutes of work, so that starting the
workers does not count. Ray's bookkeeping in the driver grows by 5 KB a track and is freed with the execution."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The tracks of a catalogue that a run processes."""

    selected: np.ndarray
    """(num_tracks,) bool, true where there is work."""
    attempts: np.ndarray
    """Earlier attempts of each selected track, (num_selected,) int."""
    already_captioned: int
    """Tracks that earlier runs captioned."""
    already_failed: int
    """Tracks that failed for good in earlier runs and are not tried again."""

    @property
    def num_tracks(self) -> int:
        """Tracks to process."""
        return len(self.attempts)


def plan_run(catalogue: Catalogue, config: CaptioningConfig, model_id: str) -> Plan:
    """Read what the output holds and choose the tracks to process.

    Raises:
        StorageError: The output cannot be read.
    """
    captioned = captioned_tracks(config.output, model_id, config.options)
    failures = failed_tracks(config.output)
    return select_tracks(
        catalogue, captioned, failures, model_id=model_id, only_failed=config.only_failed, limit=config.limit
    )


def select_tracks(
    catalogue: Catalogue,
    captioned: pa.Table,
    failures: pa.Table,
    *,
    model_id: str,
    only_failed: bool = False,
    limit: int | None = None,
) -> Plan:
    """Choose the tracks without a caption, except those whose last failure is final.

    Args:
        catalogue: What was asked for.
        captioned: `track_id` and `etag` of tracks with a caption of this model and decoding.
        failures: The last failure of each failed track, see `FAILURE_SCHEMA`.
        model_id: Of the checkpoint; a failure to caption counts for that model only.
        only_failed: Choose the tracks whose last attempt failed, final or not, and no others.
        limit: Most tracks to choose, the first of the catalogue.
    """
    same_model = pc.or_(pc.not_equal(failures["stage"], "caption"), pc.equal(failures["model_id"], model_id))
    failures = failures.filter(pc.fill_null(same_model, True))
    without_caption = rows_to_do(catalogue, captioned)
    blocking = failures if only_failed else failures.filter(pc.invert(failures["retryable"]))
    has_failed = ~rows_to_do(catalogue, blocking)
    skipped = without_caption & (~has_failed if only_failed else has_failed)
    selected = without_caption & ~skipped
    if limit is not None:
        selected[np.flatnonzero(selected)[limit:]] = False
    return Plan(
        selected=selected,
        attempts=_earlier_attempts(catalogue.rows["track_id"].filter(pa.array(selected)), failures),
        already_captioned=int((~without_caption).sum()),
        already_failed=0 if only_failed else int(skipped.sum()),
    )


def shards(catalogue: Catalogue, plan: Plan, num_cpus: int) -> Iterator[pa.Table]:
    """Cut the planned tracks into executions.

    Args:
        catalogue: What was asked for.
        plan: The tracks to process.
        num_cpus: Cores of the cluster; more cores get larger shards.

    Yields:
        Rows for the first stage, see `rows.input_rows`; `attempt` counts the attempt that follows.
    """
    least, most = SHARD_TRACKS
    size = min(most, max(least, SHARD_TRACKS_PER_CPU * num_cpus))
    for number, rows in enumerate(catalogue.select(plan.selected, slice_rows=size)):
        yield input_rows(rows, pa.array(plan.attempts[number * size : (number + 1) * size] + 1))


def _earlier_attempts(track_ids: pa.ChunkedArray, failures: pa.Table) -> np.ndarray:
    """How often each track has failed before, (num_tracks,) int."""
    positions = pc.index_in(track_ids, value_set=failures["track_id"].combine_chunks())
    attempts = failures["attempt"].combine_chunks().take(positions.combine_chunks())
    return np.asarray(pc.fill_null(attempts, 0).to_numpy(zero_copy_only=False))
