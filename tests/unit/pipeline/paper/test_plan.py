"""The plan of an experiment."""

from pathlib import Path
from typing import Any

import pytest

from pipeline.paper.plan import ExperimentConfig, plan_cells


def test_the_plan_holds_every_system_once_a_seed_after_what_it_needs() -> None:
    cells = plan_cells(ExperimentConfig(dataset=Path("d"), output=Path("o"), seeds=(0, 1)))
    seen: set[str] = set()
    for cell in cells:
        assert seen.issuperset(cell.needs)
        seen.add(cell.name)
    assert len(cells) == 2 + 3 + 2 * 6
    only = plan_cells(ExperimentConfig(dataset=Path("d"), output=Path("o"), seeds=(0,), systems=("dcase",)))
    assert [cell.name for cell in only] == ["features-log_mel", "dcase-0"]


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"systems": ("transformer",)}, "transformer"),
        ({"systems": ()}, "none at all"),
        ({"seeds": (1, 1)}, "different numbers"),
        ({"ablation": "vgg"}, "ablation"),
    ],
)
def test_impossible_experiments_are_refused(changes: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        ExperimentConfig(dataset=Path("d"), output=Path("o"), **changes)
