"""Tagger batches: tags of mixed clips."""

from dataclasses import replace
from pathlib import Path

from muscaps.training.augmentation import NO_AUGMENTATION, AugmentationConfig
from muscaps.training.data_parallel import Workers
from muscaps.training.dataset.reader import PreparedDataset
from muscaps.training.tagger_config import TaggingConfig
from muscaps.training.tagger_objective import TaggerObjective
from tests.training_data import SMALL, write_tagged


def test_a_mixed_clip_has_the_tags_of_both_and_hides_the_rest(tmp_path: Path) -> None:
    dataset = PreparedDataset(write_tagged(tmp_path))
    config = TaggingConfig(
        batch_size=16, min_tag_count=1, additive_tags=("hat",), augmentation=AugmentationConfig(mix_probability=1)
    )
    objective = TaggerObjective(dataset, SMALL, config, workers=Workers())
    _, targets, known = objective.batches.batch(0, 0)
    hat, kick = objective.tags.index("hat"), objective.tags.index("kick")
    assert known[:, hat].all()
    assert not known[:, kick].any()
    assert targets[:, hat].mean() > 0.5  # half of the clips have it, so three quarters of the pairs
    alone = replace(config, augmentation=NO_AUGMENTATION)
    assert TaggerObjective(dataset, SMALL, alone, workers=Workers()).batches.batch(0, 0)[2].all()
