"""Build a feature extractor or a captioner from its configuration.

This module imports every architecture, and no architecture imports it.
"""

from typing import assert_never

import torch
from torch import Tensor

from muscaps.config import ExtractorConfig, ModelConfig
from muscaps.models.caption_model import CaptionNetwork
from muscaps.models.combined_extractor import CombinedExtractor
from muscaps.models.dcase import DcaseBaseline, LogMelFrames
from muscaps.models.feature_extractor import FeatureExtractor
from muscaps.models.harmonic_cnn import HarmonicCNN
from muscaps.models.muscaps import MusCaps
from muscaps.models.musicnn import Musicnn
from muscaps.models.musicnn_original import MusicnnOriginal


def build_extractor(config: ExtractorConfig) -> FeatureExtractor:
    """Build the extractor of a configuration, with fresh weights."""
    if config.name == "combined":
        return CombinedExtractor([build_extractor(part) for part in config.parts])
    if config.name == "musicnn_original":
        return MusicnnOriginal(config.num_channels, config.layers)
    if config.name == "musicnn":
        return Musicnn(config.num_channels, config.frontend_scale)
    if config.name == "log_mel":
        return LogMelFrames(config.frames_per_step)
    if config.name == "hcnn":
        return HarmonicCNN(config.num_channels)
    assert_never(config.name)  # mypy reports a name of `ExtractorName` without a branch


def build_captioner(config: ModelConfig, word_vectors: Tensor | None = None) -> CaptionNetwork:
    """Build a captioner with fresh weights.

    Args:
        config: The model.
        word_vectors: Rows for the frozen word embedding, (vocab, word); random if not given.

    Raises:
        ValueError: The word vectors do not have the configured shape.
    """
    if config.fusion == "dcase":
        return DcaseBaseline(config)  # has no frozen word vectors
    model = MusCaps(config, build_extractor(config.extractor))
    if word_vectors is not None:
        expected = (config.vocabulary_size, config.word_embedding_dim)
        if tuple(word_vectors.shape) != expected:
            raise ValueError(f"word vectors have shape {tuple(word_vectors.shape)}, the model needs {expected}")
        with torch.no_grad():
            model.word_embedding.weight.copy_(word_vectors)
    return model
