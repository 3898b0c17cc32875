"""Failures of the Java processes."""

import shutil

import pytest

from muscaps.evaluation.java_scorers import JavaToolError, Meteor

needs_java = pytest.mark.skipif(shutil.which("java") is None, reason="no java on the PATH")


@needs_java
def test_a_dead_meteor_is_an_error_not_a_hang() -> None:
    with Meteor("java") as meteor:
        meteor._process.kill()
        with pytest.raises(JavaToolError, match="METEOR stopped"):
            meteor.score(["a"] * 20_000, [["a"]] * 20_000)
