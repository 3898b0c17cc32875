"""Measures of a validation split's captions."""

import math

import pytest

from muscaps.training.validation_captions import NOT_DECODED, caption_measures


def test_words_and_distinct_captions_are_counted() -> None:
    found = caption_measures(["calm piano", "calm piano", "fast drums and bass", ""], [["calm piano"]] * 4)
    assert found["validation_words"] == 2
    assert found["validation_distinct"] == 0.75


def test_cider_is_that_of_the_evaluation() -> None:
    metrics = pytest.importorskip("pycocoevalcap") and pytest.importorskip("muscaps.evaluation.caption_metrics")
    captions, references = ["calm piano", "fast drums"], [["calm piano piece"], ["fast drums and bass"]]
    assert caption_measures(captions, references)["validation_cider"] == metrics.cider(captions, references)


def test_nothing_is_measured_without_captions() -> None:
    assert caption_measures([], []) == NOT_DECODED
    assert all(math.isnan(value) for value in NOT_DECODED.values())
