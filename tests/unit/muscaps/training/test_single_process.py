"""Training a tagger in one process."""

from pathlib import Path

import numpy as np

from muscaps.checkpoint import load_extractor
from muscaps.training.augmentation import NO_AUGMENTATION
from muscaps.training.data_parallel import Workers
from muscaps.training.dataset.reader import PreparedDataset
from muscaps.training.loop import TrainingLoop
from muscaps.training.single_process import train_tagger
from muscaps.training.tagger_config import TaggingConfig
from muscaps.training.tagger_model import tag_scores
from muscaps.training.tagger_objective import TaggerObjective
from tests.training_data import SMALL, write_tagged


def test_a_tagger_learns_saves_and_resumes(tmp_path: Path) -> None:
    dataset = PreparedDataset(write_tagged(tmp_path / "data"))
    config = TaggingConfig(
        batch_size=8,
        max_epochs=6,
        excerpts_per_clip=4,
        min_tag_count=2,
        average_decay=0.8,
        learning_rate=1e-2,
        augmentation=NO_AUGMENTATION,
    )
    scores = train_tagger(dataset, tmp_path / "out", SMALL, config)
    assert scores.mean_roc_auc > 0.9
    extractor, found, card, head = load_extractor(tmp_path / "out" / "extractor")
    assert found == SMALL
    assert card["training"]["chunks_seen"] == 6 * 64
    hat = [tag_scores(extractor, head, [np.full((2, extractor.feature_dim), level)]) for level in (0.0, 1.0)]
    assert hat[0].shape == (1, 2)
    again = TrainingLoop(TaggerObjective(dataset, SMALL, config, workers=Workers()))
    again.resume(tmp_path / "out" / "state")
    assert again.counters.epoch == 6
    assert len(again.counters.history) == 6
