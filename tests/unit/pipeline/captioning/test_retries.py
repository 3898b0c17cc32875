"""The retry state machine: what follows a round, given what returned from it."""

import pytest

from pipeline.captioning.retries import MAX_ATTEMPTS, NextRound, ShardRetries

TRACKS = [f"t{number}" for number in range(6)]
ALL = frozenset(TRACKS)


def after(retries: ShardRetries, *, missing: str = "", retryable: str = "", among: str = "") -> NextRound:
    """The decision after a round of the tracks `among` (all by default), each name being a digit."""
    pending = {f"t{name}" for name in among} or set(TRACKS)
    returned = pending - {f"t{name}" for name in missing}
    return retries.after_round(returned=returned, retryable={f"t{name}" for name in retryable})


def test_a_shard_whose_tracks_all_return_is_finished() -> None:
    following = after(ShardRetries(TRACKS))
    assert (following.track_ids, following.given_up, following.restart_ray) == (frozenset(), (), False)


def test_a_passing_failure_is_retried_as_another_attempt_without_restarting_ray() -> None:
    following = after(ShardRetries(TRACKS), retryable="14")
    assert following.track_ids == following.retried == {"t1", "t4"}
    assert not following.restart_ray
    assert not following.isolated


def test_a_passing_failure_is_retried_until_the_last_attempt() -> None:
    retries = ShardRetries(TRACKS)
    rounds = [after(retries, retryable="1")]
    while rounds[-1].track_ids:
        rounds.append(after(retries, among="1", retryable="1"))
    assert len(rounds) == MAX_ATTEMPTS
    assert rounds[-1].given_up == ()  # its failure was recorded when it returned


def test_missing_tracks_are_processed_again_as_the_same_attempt_after_a_restart_of_ray() -> None:
    following = after(ShardRetries(TRACKS), missing="25")
    assert following.track_ids == {"t2", "t5"}
    assert following.retried == frozenset()
    assert following.num_missing == 2
    assert following.restart_ray


def test_missing_and_failed_tracks_share_the_next_round() -> None:
    following = after(ShardRetries(TRACKS), missing="2", retryable="4")
    assert following.track_ids == {"t2", "t4"}
    assert following.retried == {"t4"}


def test_the_first_loss_leaves_the_next_round_shared() -> None:
    assert not after(ShardRetries(TRACKS), missing="25").isolated


def test_a_second_loss_makes_the_next_round_isolated() -> None:
    retries = ShardRetries(TRACKS)
    after(retries, missing="25")
    following = after(retries, among="25", missing="5")
    assert following.isolated
    assert retries.isolated
    assert following.track_ids == {"t5"}


def test_a_round_from_which_nothing_returns_makes_the_next_one_isolated() -> None:
    following = after(ShardRetries(TRACKS), missing="012345")
    assert following.isolated
    assert following.track_ids == ALL


def test_rounds_stay_isolated() -> None:
    retries = ShardRetries(TRACKS)
    after(retries, missing="012345")
    assert after(retries, retryable="1").isolated


def test_a_loss_in_a_shared_round_is_blamed_on_no_track() -> None:
    retries = ShardRetries(TRACKS)
    after(retries, missing="012345")
    for _ in range(MAX_ATTEMPTS - 1):
        assert after(retries, missing="0", among="0").given_up == ()


def test_a_track_missing_from_enough_isolated_rounds_is_given_up() -> None:
    retries = ShardRetries(TRACKS)
    after(retries, missing="012345")
    rounds = [after(retries, missing="3")]
    while rounds[-1].track_ids:
        rounds.append(after(retries, among="3", missing="3"))
    assert len(rounds) == MAX_ATTEMPTS
    assert rounds[-1].given_up == ("t3",)


def test_other_tracks_go_on_when_one_is_given_up() -> None:
    retries = ShardRetries(["killer", "late"])
    retries.after_round(returned=set(), retryable=set())
    for _ in range(MAX_ATTEMPTS - 1):
        retries.after_round(returned={"late"}, retryable={"late"})
    following = retries.after_round(returned=set(), retryable=set())
    assert following.given_up == ("killer",)
    assert following.track_ids == frozenset()


def rounds_without_results(tracks: list[str], errors: list[Exception | None]) -> NextRound:
    """The decision after rounds that return nothing, each ended by an error or, with None, by itself."""
    retries = ShardRetries(tracks)
    decisions = [retries.after_round(returned=set(), retryable=set(), error=error) for error in errors]
    return decisions[-1]


def test_a_cluster_that_returns_only_errors_is_not_a_failure_of_the_tracks() -> None:
    errors: list[Exception | None] = [ConnectionError("the head is gone")] * (MAX_ATTEMPTS + 1)
    rounds_without_results(TRACKS, errors[:-1])
    with pytest.raises(
        RuntimeError, match="returned none of 6 tracks in 4 rounds; the last one ended with: the head is gone"
    ):
        rounds_without_results(TRACKS, errors)


def test_a_single_track_is_given_up_although_each_round_ended_with_an_error() -> None:
    errors: list[Exception | None] = [ConnectionError("the worker is gone")] * (MAX_ATTEMPTS + 1)
    assert rounds_without_results(["killer"], errors).given_up == ("killer",)


def test_tracks_are_given_up_if_a_round_ended_without_an_error() -> None:
    errors = [ConnectionError("the worker is gone"), None, None, None]
    assert set(rounds_without_results(TRACKS, errors).given_up) == ALL


def test_tracks_are_given_up_if_another_track_of_the_shard_returned() -> None:
    retries = ShardRetries(["killer", "killer too", "healthy"])
    lost = ConnectionError("the worker is gone")
    retries.after_round(returned={"healthy"}, retryable=set(), error=lost)
    for _ in range(MAX_ATTEMPTS):
        retries.after_round(returned=set(), retryable=set(), error=lost)
    following = retries.after_round(returned=set(), retryable=set(), error=lost)
    assert set(following.given_up) == {"killer", "killer too"}
