"""One thread, a small dataset, and a captioner to be trained on it."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from muscaps.training.captioner_config import CaptionTrainingConfig
from muscaps.training.captioner_objective import CaptionerObjective
from muscaps.training.data_parallel import Workers
from muscaps.training.dataset.reader import PreparedDataset
from muscaps.training.initial_captioner import new_captioner
from muscaps.training.loop import TrainingLoop
from tests.training_data import MODEL, write_dataset


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Threads cost more than they bring at this size, and all the more on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def dataset(tmp_path: Path) -> PreparedDataset:
    return PreparedDataset(write_dataset(tmp_path / "dataset"))


@pytest.fixture
def start(dataset: PreparedDataset) -> Callable[..., TrainingLoop[CaptionerObjective]]:
    def make(
        fusion: str = "early", workers: Workers | None = None, **settings: object
    ) -> TrainingLoop[CaptionerObjective]:
        config = CaptionTrainingConfig(**{"batch_size": 4, "learning_rate": 1e-3, "seed": 1, **settings})
        model = new_captioner(dataset, replace(MODEL, fusion=fusion), seed=1)
        objective = CaptionerObjective(dataset, model, dataset.vocabulary, config, workers=workers or Workers())
        return TrainingLoop(objective)

    return make
