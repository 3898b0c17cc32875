"""Which tracks of a shard are processed next, and how: the retry state machine, without Ray.

A shard is processed in rounds; one round is one Ray execution. Three things can go wrong with a track:

- A temporary failure (throttled storage, not enough memory): the track is retried after a pause, in at most
  `MAX_ATTEMPTS` rounds. Each retry is another attempt of the track.
- The track does not return because a worker or a machine was lost: Ray is restarted and the track is processed again.
- The track crashes the worker that processes it. Other tracks are lost with it. Therefore all later rounds are isolated
  after a round that returned nothing, or after a second or later round that lost tracks.

A worker that crashes repeatedly on one track leads to these steps:

1. First round: Ray repeats the task up to `MAX_ATTEMPTS` times. Then the track is missing.
2. Second round, after a restart of Ray: the same again. This step is skipped if the first round returned nothing.
3. Isolated rounds: one track per task, no repetition by Ray. After `MAX_ATTEMPTS` of them without a result, the track
   gets a failure row with `worker_died`. The other tracks return from the first isolated round.

If a shard has several tracks, none of them returns from any round, and each round ends with an error, the cluster has
failed. Then the run ends with this error, and no track gets a failure row.
"""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from pipeline.cluster.execution import root_cause

MAX_ATTEMPTS = 3
"""Most rounds for a track with temporary failures, and most isolated rounds for a track that does not return."""


@dataclass(frozen=True, kw_only=True)
class NextRound:
    """What to do after a round."""

    given_up: tuple[str, ...] = ()
    """Tracks to record as failed: they did not return from `MAX_ATTEMPTS` isolated rounds."""
    track_ids: frozenset[str] = frozenset()
    """Tracks of the next round; empty when the shard is finished."""
    retried: frozenset[str] = frozenset()
    """Tracks of the next round whose failure was temporary: another attempt, after a pause."""
    num_missing: int = 0
    """Tracks that did not return from the last round."""
    isolated: bool = False
    """Whether the next round processes one track per task."""

    @property
    def restart_ray(self) -> bool:
        """Whether processes were lost, so that Ray should be restarted before the next round."""
        return self.num_missing > 0


class ShardRetries:
    """The rounds of one shard."""

    def __init__(self, track_ids: Sequence[str]) -> None:
        """Begin with all tracks of the shard pending.

        Args:
            track_ids: Distinct tracks, in the order in which they are processed.
        """
        self._pending = list(track_ids)
        self._crashes: Counter[str] = Counter()
        self._num_rounds = 0
        self._only_errors = len(self._pending) > 1
        """Whether no track returned and each round ended with an error; one track alone may be the cause of that."""
        self.isolated = False
        """Whether the current round processes one track per task."""

    def after_round(
        self, *, returned: Collection[str], retryable: Collection[str], error: Exception | None = None
    ) -> NextRound:
        """Decide what follows a round.

        Args:
            returned: Tracks that came out of the round, with a caption or a failure.
            retryable: Tracks of `returned` whose failure is temporary.
            error: What ended the round early.

        Returns:
            The tracks to record as failed and the tracks of the next round.

        Raises:
            RuntimeError: No track of the shard returned from any round, because of errors of the cluster.
        """
        self._num_rounds += 1
        self._only_errors = self._only_errors and not returned and error is not None
        missing = [track_id for track_id in self._pending if track_id not in returned]
        given_up: list[str] = []
        if missing:
            if self.isolated:
                self._crashes.update(missing)
                given_up = [track_id for track_id in missing if self._crashes[track_id] >= MAX_ATTEMPTS]
            if given_up and self._only_errors and error is not None:
                raise RuntimeError(
                    f"the cluster returned none of {len(missing)} tracks in {self._num_rounds} rounds; the last one "
                    f"ended with: {root_cause(error)}"
                ) from error
            self.isolated = self.isolated or not returned or self._num_rounds > 1
        retried = frozenset(retryable) if self._num_rounds < MAX_ATTEMPTS else frozenset()
        pending = retried.union(missing).difference(given_up)
        self._pending = [track_id for track_id in self._pending if track_id in pending]
        return NextRound(
            given_up=tuple(given_up),
            track_ids=frozenset(self._pending),
            retried=retried,
            num_missing=len(missing),
            isolated=self.isolated,
        )
