"""Calibration of tag scores: hand-counted bins, a perfect and an overconfident scorer, which scores are judged."""

import numpy as np
import pytest

from muscaps.evaluation.calibration import calibration, judged_scores

ROW = {"instruments": "Piano, Violin", "feel": "Dark, Eerie", "genre": "", "bpm": 70}


def test_bins_counted_by_hand():
    found = calibration(np.array([0.95, 0.91, 0.15, 1.0]), np.array([True, False, False, True]))
    first, last = found.bins[1], found.bins[9]
    assert (first.num_scores, first.mean_score, first.share_right) == (1, 0.15, 0.0)
    assert (last.low, last.num_scores, last.share_right) == (0.9, 3, pytest.approx(2 / 3))
    expected = 1 / 4 * 0.15 + 3 / 4 * abs((0.95 + 0.91 + 1.0) / 3 - 2 / 3)
    assert found.expected_calibration_error == pytest.approx(expected)
    assert found.brier_score == pytest.approx((0.05**2 + 0.91**2 + 0.15**2) / 4)
    assert found.bins[5].mean_score is None


def test_scores_that_are_probabilities_have_almost_no_error_and_doubled_odds_have_some():
    rng = np.random.default_rng(0)
    scores = rng.random(20_000)
    right = rng.random(20_000) < scores
    odds = 4 * scores / (1 - scores)
    assert calibration(scores, right).expected_calibration_error < 0.02
    assert calibration(odds / (1 + odds), right).expected_calibration_error > 0.15


def test_only_tags_whose_facts_are_known_are_judged():
    tags = [("instrument", "piano", 0.9), ("instrument", "violin", 0.6), ("instrument", "sax", 0.2)]
    tags += [("mood", "bright", 0.3), ("mood", "eerie", 0.4), ("tempo", "slow", 0.8), ("energy", "medium", 0.5)]
    tags += [("genre", "rock", 0.7), ("vocals", "none", 0.9)]
    found = judged_scores([tags], [ROW])
    assert set(found) == {"instrument", "mood", "tempo"}
    assert found["instrument"][0].tolist() == [0.9, 0.6, 0.2]
    assert found["instrument"][1].tolist() == [True, True, False]
    assert found["mood"][1].tolist() == [False, True]


@pytest.mark.parametrize("scores", [[], [1.2], [-0.1], [float("nan")]])
def test_scores_outside_of_0_to_1_are_refused(scores):
    with pytest.raises(ValueError, match="between 0 and 1"):
        calibration(np.array(scores, dtype=float), np.ones(len(scores), dtype=bool))
