"""ROC-AUC and average precision."""

import math

import numpy as np
import pytest

from muscaps.evaluation.tag_metrics import pr_auc, roc_auc, score_tags


def test_roc_and_pr_auc_agree_with_scikit_learn() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(0)
    for size, levels in ((50, None), (200, 7), (3, 2)):
        truth = rng.random(size) < 0.3
        truth[:2] = True, False
        scores = rng.normal(size=size) + truth
        if levels:  # many equal scores
            scores = np.round(scores * levels / 4)
        assert roc_auc(truth, scores) == pytest.approx(metrics.roc_auc_score(truth, scores), abs=1e-12)
        assert pr_auc(truth, scores) == pytest.approx(metrics.average_precision_score(truth, scores), abs=1e-12)


def test_auc_is_undefined_without_both_kinds() -> None:
    assert math.isnan(roc_auc(np.ones(3), np.arange(3)))
    assert math.isnan(pr_auc(np.zeros(3), np.arange(3)))
    scores = score_tags(np.array([[1, 1], [1, 0]], bool), np.zeros((2, 2)), ["always", "sometimes"])
    assert scores.roc_auc == {"sometimes": 0.5}
    assert scores.mean_roc_auc == 0.5
