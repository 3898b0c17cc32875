"""The configuration of a benchmark."""

import pytest

from pipeline.bench.config import BenchmarkConfig


@pytest.mark.parametrize("wrong", [{"num_tracks": ()}, {"num_tracks": (0,)}, {"repeats": 0}, {"reference_words": -1}])
def test_an_impossible_benchmark_is_rejected(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        BenchmarkConfig(catalogue="x.csv", **wrong)
