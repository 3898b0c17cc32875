"""The work of cells."""

from pathlib import Path

import numpy as np

from muscaps.training.dataset.layout import Example
from pipeline.paper.cells import TRACKS_PER_PART, features_in_parts


def example(index: int) -> Example:
    return Example(
        index=index,
        track_id=str(index),
        uri="",
        captions=("a",),
        tags=(),
        split="train",
        duration_s=None,
        audio_start=0,
        num_samples=0,
        feature_start=-1,
        num_chunks=0,
    )


def test_a_repeated_cell_computes_only_the_features_of_unfinished_parts(tmp_path: Path) -> None:
    examples, computed = [example(index) for index in range(TRACKS_PER_PART + 1)], []

    def compute(of: Example) -> np.ndarray:
        computed.append(of.index)
        if len(computed) == TRACKS_PER_PART + 1:
            raise KeyboardInterrupt
        return np.full((2, 3), of.index)

    try:
        list(features_in_parts(examples, compute, tmp_path))
    except KeyboardInterrupt:
        computed.clear()
    found = dict(features_in_parts(examples, compute, tmp_path))
    assert computed == [TRACKS_PER_PART]
    assert [int(found[index][0, 0]) for index in (0, 7, TRACKS_PER_PART)] == [0, 7, TRACKS_PER_PART]
