"""Fitting and calibrating tag heads, and what facts say about tags."""

import numpy as np
import pytest

from muscaps.training.tag_heads import fit_heads, platt_scaling, reliability
from muscaps.training.tag_labels import TAGS, labels_of_catalogue_row, labels_of_clip_row

ROW = {"instruments": "", "feel": "", "genre": "", "bpm": ""}


def noisy_tracks(count=400, width=6, seed=0):
    """Mean features of which the first two decide a tag each, and the labels."""
    generator = np.random.default_rng(seed)
    means = generator.standard_normal((count, width)).astype(np.float32) * 3 + 1
    labels = (means[:, :2] + generator.standard_normal((count, 2)) > 1).astype(np.float32)
    return means, labels


def tags_where(values):
    return {TAGS[place] for place in np.flatnonzero(values)}


def test_heads_find_the_features_that_decide_a_tag():
    means, labels = noisy_tracks()
    heads = fit_heads(means, labels, np.ones_like(labels), np.ones(len(means), dtype=np.float32), ridge=1.0)
    right = (heads.logits(means) > 0) == (labels > 0)
    assert right.mean(axis=0).min() > 0.85
    assert np.abs(heads.weight).argmax(axis=1).tolist() == [0, 1]


def test_unknown_labels_do_not_count():
    means, labels = noisy_tracks()
    known = np.ones_like(labels)
    known[::2, 0] = 0
    wrong = labels.copy()
    wrong[::2, 0] = 1 - wrong[::2, 0]
    importance = np.ones(len(means), dtype=np.float32)
    expected = fit_heads(means, labels, known, importance, ridge=1.0)
    found = fit_heads(means, wrong, known, importance, ridge=1.0)
    np.testing.assert_allclose(found.weight, expected.weight, atol=1e-4)


def test_a_larger_ridge_gives_smaller_weights():
    means, labels = noisy_tracks()
    ones, importance = np.ones_like(labels), np.ones(len(means), dtype=np.float32)
    norms = [np.linalg.norm(fit_heads(means, labels, ones, importance, ridge).weight) for ridge in (1.0, 100.0)]
    assert norms[1] < norms[0]


def test_importance_counts_a_track_several_times():
    means, labels = noisy_tracks(count=60)
    twice = np.ones(60, dtype=np.float32)
    twice[:20] = 2
    repeated = np.r_[np.arange(60), np.arange(20)]
    weighted = fit_heads(means, labels, np.ones_like(labels), twice, 1.0, means)
    copied = fit_heads(
        means[repeated], labels[repeated], np.ones((80, 2), np.float32), np.ones(80, np.float32), 1.0, means
    )
    np.testing.assert_allclose(weighted.weight, copied.weight, rtol=0.02, atol=0.01)


def test_platt_scaling_undoes_overconfidence():
    generator = np.random.default_rng(1)
    true = generator.normal(0, 1.5, (4000, 2))
    labels = (generator.random((4000, 2)) < 1 / (1 + np.exp(-true))).astype(np.float32)
    slopes, offsets = platt_scaling(4 * true - 2, labels, np.ones_like(labels), [[0, 1]])
    np.testing.assert_allclose(slopes, 0.25, atol=0.03)
    np.testing.assert_allclose(offsets, 0.5, atol=0.1)


def test_platt_scaling_leaves_tags_of_no_group_alone():
    logits = np.array([[1.0, -1.0], [0.5, 2.0]])
    labels = np.array([[1.0, 0.0], [0.0, 1.0]], dtype=np.float32)
    slopes, offsets = platt_scaling(logits, labels, np.ones_like(labels), [[0]])
    assert (slopes[1], offsets[1]) == (1.0, 0.0)


def test_reliability_compares_scores_with_the_share_of_true_tags():
    scores = np.array([[0.9], [0.9], [0.1], [0.9]])
    labels = np.array([[1.0], [0.0], [0.0], [1.0]], dtype=np.float32)
    known = np.array([[1.0], [1.0], [1.0], [0.0]], dtype=np.float32)
    assert reliability(scores, labels, known) == [
        {"mean_score": 0.1, "share_right": 0.0, "num_scores": 1},
        {"mean_score": 0.9, "share_right": 0.5, "num_scores": 2},
    ]


def test_empty_columns_say_nothing():
    labels, known = labels_of_catalogue_row(ROW)
    assert not labels.any()
    assert not known.any()


def test_a_list_of_instruments_says_what_is_missing():
    labels, known = labels_of_catalogue_row(ROW | {"instruments": "Violins, Piano"})
    assert tags_where(labels) == {
        ("instrument", "piano"),
        ("instrument", "strings"),
        ("instrument", "violin"),
        ("vocals", "none"),
    }
    assert ("instrument", "drums") in tags_where(known)
    assert not {facet for facet, _ in tags_where(known)} & {"mood", "energy", "tempo", "genre"}


def test_voices_say_that_there_are_vocals_and_not_which():
    labels, known = labels_of_catalogue_row(ROW | {"instruments": "Vocals, Guitar"})
    assert ("vocals", "none") in tags_where(known) - tags_where(labels)
    assert ("vocals", "female") not in tags_where(known)


def test_moods_and_tempo_are_read():
    labels, known = labels_of_catalogue_row(ROW | {"feel": "Dark, Driving", "bpm": "140"})
    assert {("mood", "dark"), ("mood", "driving"), ("energy", "high"), ("tempo", "fast")} <= tags_where(labels)
    assert ("mood", "bright") in tags_where(known) - tags_where(labels)


def test_a_rendered_clip_says_nothing_of_mood_and_energy():
    row = {"instruments": ["violin", "drum kit"], "families": ["strings", "drums"], "tempo": "slow"}
    labels, known = labels_of_clip_row(row | {"style": "solo strings", "nouns": ["piece"]})
    assert {("instrument", "strings"), ("instrument", "drums"), ("tempo", "slow")} <= tags_where(labels)
    assert not {facet for facet, _ in tags_where(known)} & {"mood", "energy"}


@pytest.mark.parametrize(("bpm", "tempo"), [("84", "slow"), ("85", "medium"), ("129", "fast")])
def test_tempo_classes_follow_the_lexicon(bpm, tempo):
    labels, _ = labels_of_catalogue_row(ROW | {"bpm": bpm})
    assert tags_where(labels) == {("tempo", tempo)}
