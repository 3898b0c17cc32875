"""Fig. 4 and its curves."""

import math
from pathlib import Path

import numpy as np

from pipeline.paper.figure import mean_curve, write_figure
from tests.experiment_results import EVERY_SYSTEM, FakeResults


def test_a_curve_averages_the_seeds_still_training() -> None:
    points = mean_curve([[1.0, 2.0, math.nan], [3.0]])
    assert points[0][:2] == (1, 2.0)
    assert points[0][2] is not None
    assert points[1] == (2, 2.0, None)
    assert len(points) == 2


def test_the_figure_is_drawn_with_its_numbers_beside_it(tmp_path: Path) -> None:
    import matplotlib.image

    assert write_figure(FakeResults(EVERY_SYSTEM), tmp_path)
    pixels = matplotlib.image.imread(tmp_path / "figure_4.png")
    assert len(np.unique(pixels.reshape(-1, pixels.shape[2]), axis=0)) > 20
    lines = (tmp_path / "figure_4.csv").read_text().splitlines()
    assert lines[1].startswith("scratch,1,10.0")
    assert len(lines) == 1 + 6 * 2
    assert not write_figure(FakeResults({}), tmp_path)
