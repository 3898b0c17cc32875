"""Tagger objective: loss, waveform extractors, what is refused."""

import math
from pathlib import Path

import pytest
import torch

from muscaps.config import ExtractorConfig
from muscaps.training.data_parallel import Workers
from muscaps.training.dataset.pairs import DatasetError, Pair
from muscaps.training.dataset.reader import PreparedDataset
from muscaps.training.dataset.writer import DatasetWriter
from muscaps.training.loop import TrainingLoop
from muscaps.training.tagger_config import TaggingConfig
from muscaps.training.tagger_objective import TaggerObjective, masked_tagging_loss
from tests.training_data import SMALL, write_tagged


def test_unknown_tags_leave_the_loss() -> None:
    logits = torch.tensor([[2.0, -1.0], [0.5, 3.0]])
    targets, known = torch.tensor([[1.0, 0.0], [1.0, 1.0]]), torch.tensor([[1.0, 1.0], [1.0, 0.0]])
    by_hand = [math.log1p(math.exp(-2)) * 3, math.log1p(math.exp(-1)), math.log1p(math.exp(-0.5)) * 3]
    loss = masked_tagging_loss(logits, targets, known, torch.tensor([3.0, 1.0]))
    assert float(loss) == pytest.approx(sum(by_hand) / 2, rel=1e-6)


def test_a_harmonic_cnn_trains_on_waveforms(tmp_path: Path) -> None:
    dataset = PreparedDataset(write_tagged(tmp_path, 12))
    config = TaggingConfig(batch_size=4, min_tag_count=1)
    objective = TaggerObjective(dataset, ExtractorConfig(name="hcnn", num_channels=2), config, workers=Workers())
    quality = objective.tagger.extractor.spectrogram.quality.detach().clone()
    assert math.isfinite(TrainingLoop(objective).step(0, 0))
    assert not torch.equal(objective.tagger.extractor.spectrogram.quality, quality)
    assert objective.validation_scores().clips == 8


def test_what_cannot_be_learned_from_is_refused(tmp_path: Path) -> None:
    DatasetWriter(tmp_path / "silent").finish(
        [Pair(track_id="a", uri="", captions=("slow piano",), tags=("piano",), split="train")], min_count=1
    )
    with pytest.raises(DatasetError, match="cannot train a tagger on 0 training and 0 validation clips"):
        TaggerObjective(PreparedDataset(tmp_path / "silent"), SMALL, TaggingConfig(), workers=Workers())
    dataset = PreparedDataset(write_tagged(tmp_path / "d"))
    with pytest.raises(ValueError, match="does not divide among 3 workers"):
        TaggerObjective(dataset, SMALL, TaggingConfig(batch_size=8), workers=Workers(rank=0, size=3))
    with pytest.raises(ValueError, match="exceeds an epoch"):
        TaggerObjective(dataset, SMALL, TaggingConfig(batch_size=512), workers=Workers())
