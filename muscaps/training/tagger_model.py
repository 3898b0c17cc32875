"""A music tagger: an audio feature extractor, a hidden layer and one output per tag."""

from collections.abc import Mapping, Sequence
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from muscaps.inference.tall_convolution import training_features
from muscaps.models.feature_extractor import FeatureExtractor

_HEAD_DIM = 200  # the hidden layer of the published taggers


class Tagger(nn.Module):
    """An extractor, a hidden layer and one output per tag."""

    def __init__(self, extractor: FeatureExtractor, num_tags: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.extractor = extractor
        self.head = tagging_head(extractor.feature_dim, num_tags, dropout)

    def forward(self, spectrogram: Tensor) -> Tensor:
        """Compute logits, (batch, tags), from spectrograms of chunks."""
        return cast(Tensor, self.head(training_features(self.extractor, spectrogram)))


def tagging_head(feature_dim: int, num_tags: int, dropout: float = 0.0) -> nn.Sequential:
    """Build the classification layers, (batch, feature) -> logits, (batch, tags)."""
    return nn.Sequential(
        nn.Linear(feature_dim, _HEAD_DIM),
        nn.BatchNorm1d(_HEAD_DIM),
        nn.ReLU(),
        nn.Dropout(dropout),
        nn.Linear(_HEAD_DIM, num_tags),
    )


def tag_scores(extractor: FeatureExtractor, head: Mapping[str, Tensor], features: Sequence[np.ndarray]) -> np.ndarray:
    """Score tags of tracks from their chunk features.

    Args:
        extractor: The extractor of the features; only its width is used.
        head: Weights of the tagging head.
        features: One array per track, (chunks, feature).

    Returns:
        Mean logits over the chunks of each track, (tracks, tags).
    """
    module = tagging_head(extractor.feature_dim, len(head["4.bias"]))
    module.load_state_dict(dict(head))
    module.eval()
    with torch.no_grad():
        rows = [module(torch.from_numpy(np.asarray(row, dtype=np.float32))).mean(dim=0).numpy() for row in features]
    return np.stack(rows)
