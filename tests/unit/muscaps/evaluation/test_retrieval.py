"""Retrieval scores, by hand counts."""

import math

import numpy as np
import pytest

from muscaps.evaluation.retrieval import retrieval_scores


def test_a_model_that_cannot_tell_tracks_apart_gets_chance() -> None:
    scores = retrieval_scores(np.full((20, 100), -7.0), np.arange(20))
    assert scores.median_rank == 50.5
    assert (scores.recall_at_1, scores.recall_at_5, scores.recall_at_10) == pytest.approx((0.01, 0.05, 0.1))


def test_retrieval_ranks_match_sorting_where_nothing_ties() -> None:
    log_probs = np.random.default_rng(0).normal(-30, 5, size=(40, 60))
    targets = np.arange(40)
    ranks = [list(np.argsort(-row)).index(target) + 1 for row, target in zip(log_probs, targets, strict=True)]
    scores = retrieval_scores(log_probs, targets, queries_with_unk=3)
    assert scores.median_rank == np.median(ranks)
    for k, recall in ((1, scores.recall_at_1), (5, scores.recall_at_5), (10, scores.recall_at_10)):
        assert recall == pytest.approx(np.mean(np.array(ranks) <= k))
    assert (scores.num_queries, scores.num_tracks, scores.queries_with_unk) == (40, 60, 3)


def test_retrieval_ties_count_by_chance_and_infinity_is_a_score() -> None:
    scores = retrieval_scores([[-1.0, -1.0, -9.0], [-np.inf, -2.0, -np.inf]], [0, 0])
    assert scores.recall_at_1 == pytest.approx((0.5 + 0) / 2)
    assert scores.recall_at_5 == 1
    assert scores.median_rank == pytest.approx((1.5 + 2.5) / 2)


@pytest.mark.parametrize(
    ("log_probs", "targets", "complaint"),
    [
        ([[0.0, math.nan]], [0], "not a number"),
        ([[0.0, 1.0]], [2], "0 to 1"),
        ([[0.0, 1.0]], [0.5], "whole numbers"),
        ([0.0, 1.0], [0], "queries, tracks"),
        ([[0.0, 1.0]], [0, 1], "queries, tracks"),
    ],
)
def test_unusable_retrieval_scores_are_refused(log_probs: list, targets: list, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        retrieval_scores(log_probs, targets)
