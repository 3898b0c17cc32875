"""Verdicts on the paper's statements."""

from pipeline.paper.verdicts import findings
from tests.experiment_results import EVERY_SYSTEM, FakeResults


def test_verdicts_follow_two_standard_deviations() -> None:
    said = findings(FakeResults(EVERY_SYSTEM))
    assert len(said) == 3
    assert 'helps": **confirmed**. CIDEr 41.0 with, 21.0 without' in said[0]
    assert "**confirmed**" in said[1]
    assert "**confirmed**" in said[2]
    assert "(-50%)" in said[2]
    worse = findings(FakeResults(EVERY_SYSTEM | {"scratch": (0.6, 0.61), "late": (0.9, 0.91)}, unk=(0.5, 1.0)))
    assert all("**contradicted**" in sentence for sentence in worse)
    noisy = findings(FakeResults(EVERY_SYSTEM | {"scratch": (0.1, 0.6)}, unk=(0.0, 0.0)))
    assert "**not decided**" in noisy[0]
    assert "**not decided**" in noisy[2]
    assert findings(FakeResults({"dcase": (0.1,)})) == []
