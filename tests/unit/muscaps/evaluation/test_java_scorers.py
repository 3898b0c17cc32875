"""Failures of the Java processes."""

import shutil

import pytest

from muscaps.evaluation.java_scorers import JavaToolError, Meteor

needs_java = pytest.mark.skipif(shutil.which("java") is None, reason="no java on the PATH")


@needs_java
def test_captions_that_were_scored_before_have_the_same_scores() -> None:
    predictions, references = ["a calm piano piece", "loud drums"], [["a calm piano tune"], ["drums and bass"]]
    with Meteor("java") as meteor:
        first = meteor.score(predictions, references)
        again = meteor.score([*predictions, predictions[0]], [*references, references[0]])
        other = meteor.score(predictions[:1], references[1:])
    with Meteor("java") as meteor:
        assert meteor.score([*predictions, predictions[0]], [*references, references[0]]) == again
        assert meteor.score(predictions[:1], references[1:]) == other
    assert again[1] == [*first[1], first[1][0]]


@needs_java
def test_a_dead_meteor_is_an_error_not_a_hang() -> None:
    with Meteor("java") as meteor:
        meteor._process.kill()
        with pytest.raises(JavaToolError, match="METEOR stopped"):
            meteor.score(["a"] * 20_000, [["a"]] * 20_000)
