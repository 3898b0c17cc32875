"""The plan of a run: the catalogue without finished tracks, divided into shards."""

import functools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.captioning.config import CaptioningConfig
from pipeline.captioning.rows import input_rows
from pipeline.catalogue import Catalogue
from pipeline.output.anti_join import captioned_tracks, failed_tracks, rows_to_do, tracks_of_any_model
from pipeline.output.same_files import refusal, same_files

SHARD_TRACKS, SHARD_TRACKS_PER_CPU = (2_000, 100_000), 1_000
"""Tracks of one Ray execution: minimum, maximum, and number per core. An execution is about ten minutes of work, so
that the start of the workers is negligible. Ray's bookkeeping in the driver grows by 5 KB per track until the execution
ends."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The tracks of a catalogue that a run processes."""

    selected: np.ndarray
    """True for tracks to process, (num_tracks,) bool."""
    attempts: np.ndarray
    """Number of earlier attempts of each selected track, (num_selected,) int."""
    already_captioned: int
    """Tracks with a caption of an earlier run."""
    already_failed: int
    """Tracks whose last failure is final, and which are therefore not processed."""

    @property
    def num_tracks(self) -> int:
        """Tracks to process."""
        return len(self.attempts)


def plan_run(catalogue: Catalogue, config: CaptioningConfig, model_id: str) -> Plan:
    """Read finished and failed tracks from the output and select the tracks to process.

    Raises:
        StorageError: The output cannot be read.
        ValueError: The output holds files of the catalogue under other ids, and `config.match_by` is None.
    """
    captioned = captioned_tracks(config.output, model_id, config.options)
    failures = failed_tracks(config.output)
    plan = functools.partial(
        select_tracks,
        catalogue,
        captioned,
        failures,
        model_id=model_id,
        only_failed=config.only_failed,
        limit=config.limit,
    )
    if config.match_by == "track_id":
        return plan()
    if config.match_by == "uri":
        return plan(captioned_elsewhere=same_files(catalogue, captioned).rows)
    found = same_files(catalogue, tracks_of_any_model(config.output))
    if (found.rows & rows_to_do(catalogue, captioned)).any():
        raise ValueError(refusal(config.output, catalogue, found))
    return plan()


def select_tracks(
    catalogue: Catalogue,
    captioned: pa.Table,
    failures: pa.Table,
    *,
    model_id: str,
    only_failed: bool = False,
    limit: int | None = None,
    captioned_elsewhere: np.ndarray | None = None,
) -> Plan:
    """Select the tracks without a caption, except those whose last failure is final.

    Args:
        catalogue: The tracks that are wanted.
        captioned: `track_id` and `etag` of tracks with a caption of this model and decoding.
        failures: The last failure of each failed track, see `FAILURE_SCHEMA`.
        model_id: Model of this run; failures of the caption stage with another model are ignored.
        only_failed: Select only tracks whose last attempt failed, with a final failure or not.
        limit: Maximum number of tracks, the first of the catalogue.
        captioned_elsewhere: Tracks that count as captioned although their id is not in `captioned`, (num_tracks,) bool.
    """
    same_model = pc.or_(pc.not_equal(failures["stage"], "caption"), pc.equal(failures["model_id"], model_id))
    failures = failures.filter(pc.fill_null(same_model, True))
    without_caption = rows_to_do(catalogue, captioned)
    if captioned_elsewhere is not None:
        without_caption &= ~captioned_elsewhere
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
    """Divide the planned tracks into shards, one per Ray execution.

    Args:
        catalogue: The tracks that are wanted.
        plan: The tracks to process.
        num_cpus: Cores of the cluster; shards are larger with more cores.

    Yields:
        Rows for the first stage, see `rows.input_rows`; `attempt` is the number of the coming attempt.
    """
    least, most = SHARD_TRACKS
    size = min(most, max(least, SHARD_TRACKS_PER_CPU * num_cpus))
    for number, rows in enumerate(catalogue.select(plan.selected, slice_rows=size)):
        yield input_rows(rows, pa.array(plan.attempts[number * size : (number + 1) * size] + 1))


def _earlier_attempts(track_ids: pa.ChunkedArray, failures: pa.Table) -> np.ndarray:
    """Return the number of earlier attempts of each track, (num_tracks,) int."""
    positions = pc.index_in(track_ids, value_set=failures["track_id"].combine_chunks())
    attempts = failures["attempt"].combine_chunks().take(positions.combine_chunks())
    return np.asarray(pc.fill_null(attempts, 0).to_numpy(zero_copy_only=False))
