"""A resumed training equals an uninterrupted one, for captioner and tagger."""

from collections.abc import Callable
from pathlib import Path

import torch

from muscaps.training.captioner_objective import CaptionerObjective
from muscaps.training.data_parallel import Workers
from muscaps.training.dataset.reader import PreparedDataset
from muscaps.training.loop import TrainingLoop
from muscaps.training.tagger_config import TaggingConfig
from muscaps.training.tagger_objective import TaggerObjective
from tests.training_data import SMALL, write_tagged


def test_resuming_gives_the_same_weights_bit_for_bit(
    start: Callable[..., TrainingLoop[CaptionerObjective]], tmp_path: Path
) -> None:
    uninterrupted = start("attention", max_epochs=4)
    uninterrupted.train()
    halves: list[Path] = []

    def stop_after_two(metrics: object, save: Callable[[Path], None]) -> None:
        if not halves and len(interrupted.counters.history) == 2:
            save(tmp_path / "state")
            halves.append(tmp_path / "state")

    interrupted = start("attention", max_epochs=4)
    interrupted.train(stop_after_two)
    resumed = start("attention", max_epochs=4)
    resumed.resume(halves[0])
    assert resumed.counters.epoch == 2
    resumed.train()
    expected = uninterrupted.objective.model.state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in resumed.objective.model.state_dict().items())
    assert [row["validation_loss"] for row in resumed.counters.history] == [
        row["validation_loss"] for row in uninterrupted.counters.history
    ]


def test_resuming_a_tagger_gives_the_same_weights(tmp_path: Path) -> None:
    dataset = PreparedDataset(write_tagged(tmp_path / "data"))
    config = TaggingConfig(batch_size=8, max_epochs=2, excerpts_per_clip=1, min_tag_count=2)
    uninterrupted = TrainingLoop(TaggerObjective(dataset, SMALL, config, workers=Workers()))
    uninterrupted.train(lambda metrics, save: save(tmp_path / f"state{metrics['epoch']}"))
    resumed = TrainingLoop(TaggerObjective(dataset, SMALL, config, workers=Workers()))
    resumed.resume(tmp_path / "state1")
    resumed.train()
    for module in ("tagger", "average"):
        expected = getattr(uninterrupted.objective, module).state_dict()
        assert all(torch.equal(v, expected[k]) for k, v in getattr(resumed.objective, module).state_dict().items())
