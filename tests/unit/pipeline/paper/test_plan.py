"""The plan of an experiment."""

from pathlib import Path
from typing import Any

import pytest

from pipeline.paper.cell_results import captioner_cells, chosen_trial, result_path, write_json
from pipeline.paper.plan import ExperimentConfig, plan_cells, trial_cells


def test_the_plan_holds_every_system_once_a_seed_after_what_it_needs() -> None:
    cells = plan_cells(ExperimentConfig(dataset=Path("d"), output=Path("o"), seeds=(0, 1)))
    seen: set[str] = set()
    for cell in cells:
        assert seen.issuperset(cell.needs)
        seen.add(cell.name)
    assert len(cells) == 3 + 4 + 2 * 7
    only = plan_cells(ExperimentConfig(dataset=Path("d"), output=Path("o"), seeds=(0,), systems=("dcase",)))
    assert [cell.name for cell in only] == ["features-log_mel", "dcase-0"]


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"systems": ("transformer",)}, "transformer"),
        ({"systems": ()}, "none at all"),
        ({"seeds": (1, 1)}, "different numbers"),
        ({"ablation": "vgg"}, "ablation"),
        ({"scratch": "vgg"}, "scratch"),
        ({"beam_sizes": (3, 5)}, "beam_sizes"),
        ({"learning_rates": (1e-3, 1e-3)}, "learning_rates"),
    ],
)
def test_impossible_experiments_are_refused(changes: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        ExperimentConfig(dataset=Path("d"), output=Path("o"), **changes)


def test_learning_rates_are_tried_with_the_first_seed_only() -> None:
    config = ExperimentConfig(
        dataset=Path("d"), output=Path("o"), seeds=(4, 5), systems=("dcase",), learning_rates=(1e-3, 3e-4)
    )
    _, *trials, first, second = plan_cells(config)
    assert [(cell.kind, cell.name, cell.seed, cell.learning_rate) for cell in trials] == [
        ("trial", "dcase-4-0.001", 4, 1e-3),
        ("trial", "dcase-4-0.0003", 4, 3e-4),
    ]
    assert [(cell.kind, cell.name) for cell in (first, second)] == [("captioner", "dcase-4"), ("captioner", "dcase-5")]
    assert set(first.needs) == set(second.needs) >= {cell.name for cell in trials}


def test_the_trial_with_the_lowest_validation_loss_is_chosen(tmp_path: Path) -> None:
    config = ExperimentConfig(
        dataset=Path("d"), output=tmp_path, seeds=(0, 1), systems=("dcase",), learning_rates=(1e-3, 3e-4)
    )
    first, second = trial_cells(config, "dcase")
    write_json(result_path(config, first), {"validation_loss": [3.0, 1.0, 2.0]})
    write_json(result_path(config, second), {"validation_loss": [2.0, 1.5]})
    assert chosen_trial(config, "dcase") == first
    assert captioner_cells(config) == {}
    own = plan_cells(config)[-2]
    write_json(result_path(config, own), {})
    assert captioner_cells(config) == {("dcase", 0): own}
