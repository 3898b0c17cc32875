"""A captioner whose vocabulary grows."""

from collections.abc import Callable
from pathlib import Path

import torch

from muscaps.checkpoint import load_checkpoint
from muscaps.training.captioner_objective import CaptionerObjective
from muscaps.training.checkpoints import save_captioners
from muscaps.training.dataset.pairs import Pair
from muscaps.training.dataset.reader import PreparedDataset
from muscaps.training.dataset.writer import DatasetWriter
from muscaps.training.initial_captioner import grow_captioner
from muscaps.training.loop import TrainingLoop
from muscaps.vocabulary import tokenize
from tests.training_data import caption_of, new_extractor_dim


def test_growing_keeps_what_old_words_mean(
    start: Callable[..., TrainingLoop[CaptionerObjective]], tmp_path: Path
) -> None:
    training = start("attention")
    training.step(0, 0)
    save_captioners(training, tmp_path / "old", name="old")
    before = load_checkpoint(tmp_path / "old" / "last")
    writer = DatasetWriter(tmp_path / "team")
    texts = ["a slow tune for theremin and harp", "a fast polka for theremin and brass"]
    pairs = [Pair(track_id=text, uri=text, captions=(text,), split="train") for text in texts]
    writer.finish(pairs, min_count=1)
    model, vocabulary = grow_captioner(before, PreparedDataset(tmp_path / "team"))
    old = len(before.vocabulary)
    assert vocabulary.words[:old] == before.vocabulary.words
    assert vocabulary.words[old:] == ["theremin", "polka"]
    assert torch.equal(model.word_embedding.weight[:old], before.model.word_embedding.weight)
    assert model.word_embedding.weight[old:].abs().sum(dim=1).min() > 0
    features, mask = torch.randn(2, 3, new_extractor_dim()), torch.ones(2, 3, dtype=torch.bool)
    word_ids = torch.tensor([before.vocabulary.encode(tokenize(text))[:-1] for text in (caption_of(0), caption_of(1))])
    with torch.no_grad():
        then = before.model(features, mask, word_ids)
        now = model.eval()(features, mask, word_ids)
    assert torch.allclose(now[:, :, :old], then, atol=1e-5)
