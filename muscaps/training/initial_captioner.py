"""The captioner at the start of training: new, or an existing one with a larger vocabulary."""

from collections.abc import Sequence
from dataclasses import replace
from typing import cast

import torch
import torch.distributed
from torch import Tensor

from muscaps.checkpoint import Checkpoint
from muscaps.config import ModelConfig
from muscaps.models.architectures import build_captioner
from muscaps.models.caption_model import CaptionNetwork
from muscaps.models.feature_extractor import FeatureExtractor
from muscaps.models.weight_norm import WeightNormLinear
from muscaps.training.dataset.reader import PreparedDataset
from muscaps.vocabulary import UNK, Vocabulary, tokenize, vectors_from_captions


def new_captioner(
    dataset: PreparedDataset,
    config: ModelConfig,
    *,
    extractor: FeatureExtractor | None = None,
    word_vectors: Tensor | None = None,
    seed: int = 0,
) -> CaptionNetwork:
    """Build a captioner for a dataset's vocabulary.

    Args:
        dataset: The dataset; its training captions are also used for word vectors.
        config: The model; `vocabulary_size` is replaced by that of the dataset.
        extractor: Trained audio network; random weights if not given.
        word_vectors: Rows of the frozen word embedding; learned from the training captions if not given.
        seed: Seed of the initial weights.
    """
    vocabulary = dataset.vocabulary
    config = replace(config, vocabulary_size=len(vocabulary))
    if word_vectors is None:
        captions = [tokenize(text) for example in dataset.split("train") for text in example.captions]
        word_vectors = vectors_from_captions(captions, vocabulary, config.word_embedding_dim, seed)
    torch.manual_seed(seed)
    model = build_captioner(config, word_vectors)
    if extractor is not None:
        model.feature_extractor.load_state_dict(extractor.state_dict())
    return model


@torch.no_grad()
def grow_captioner(
    checkpoint: Checkpoint, dataset: PreparedDataset, seed: int = 0
) -> tuple[CaptionNetwork, Vocabulary]:
    """Extend a captioner's vocabulary by the words of a dataset; known words keep id, vector and output weights.

    The vector of a new word is the mean of the vectors of known words near it in the new captions. Its output row is
    random, with the bias of a rare known word.

    Args:
        checkpoint: The captioner to start from; not changed.
        dataset: The pairs with new words.
        seed: Seed of the new rows.

    Returns:
        The extended model and its vocabulary.
    """
    old = checkpoint.vocabulary
    vocabulary = old.grown_by(dataset.vocabulary)
    config = replace(checkpoint.model_config, vocabulary_size=len(vocabulary))
    model = build_captioner(config)
    state = checkpoint.model.state_dict()
    grown = model.state_dict()
    captions = [tokenize(text) for example in dataset.split("train") for text in example.captions]
    generator = torch.Generator().manual_seed(seed)
    for name, value in state.items():
        if grown[name].shape == value.shape:
            grown[name] = value.clone()
        else:
            grown[name][: len(old)] = value
    known = state["word_embedding.weight"]
    grown["word_embedding.weight"][len(old) :] = _neighbours(captions, vocabulary, len(old), known)
    output = cast(WeightNormLinear, checkpoint.model.output)
    count, hidden = len(vocabulary) - len(old), output.direction.shape[1]
    if count:
        spread = float(output.direction.std())
        grown["output.direction"][len(old) :] = spread * torch.randn(count, hidden, generator=generator)
        grown["output.length"][len(old) :] = output.length.median()
        grown["output.bias"][len(old) :] = output.bias[4:].quantile(0.1) if len(old) > 4 else 0.0
    model.load_state_dict(grown)
    return model, vocabulary


def _neighbours(captions: Sequence[Sequence[str]], vocabulary: Vocabulary, num_old: int, known: Tensor) -> Tensor:
    """Return the mean vector of known words within two words of each new word, otherwise of `<unk>`, (new, dim)."""
    sums = torch.zeros(len(vocabulary) - num_old, known.shape[1])
    counts = torch.zeros(len(sums), 1)
    for caption in captions:
        ids = [vocabulary.id_of(word) for word in caption]
        for place, index in enumerate(ids):
            if index < num_old:
                continue
            for other in ids[max(0, place - 2) : place + 3]:
                if UNK < other < num_old:
                    sums[index - num_old] += known[other]
                    counts[index - num_old] += 1
    return torch.where(counts > 0, sums / counts.clamp(min=1), known[UNK])
