"""Faster versions of a trained model's layers, which compute the same function.

Everywhere, batch normalisations are folded into the convolutions before them and weight normalisation into the
weights, and the captioner is arranged for search (see `search_model`). On a CPU musicnn's tall filters are
rearranged as well (see `tall_correlation`), and Harmonic CNN's maps lie channels last.
"""

import contextlib
import copy
import logging
from collections.abc import Iterator
from typing import cast

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from muscaps.config import Precision
from muscaps.inference.musicnn_original import FoldedMusicnnOriginal
from muscaps.inference.search_model import SearchModel
from muscaps.inference.tall_convolution import has_bfloat16_units
from muscaps.inference.tall_correlation import TallCorrelationMax
from muscaps.models.caption_model import CaptionModel, CaptionNetwork
from muscaps.models.combined_extractor import CombinedExtractor
from muscaps.models.feature_extractor import FeatureExtractor
from muscaps.models.harmonic_cnn import HarmonicCNN
from muscaps.models.muscaps import MusCaps
from muscaps.models.musicnn import Musicnn
from muscaps.models.musicnn_original import MusicnnOriginal
from muscaps.models.weight_norm import WeightNormLinear

logger = logging.getLogger(__name__)


def prepare_extractor(extractor: FeatureExtractor, precision: Precision = "float32") -> FeatureExtractor:
    """Return a copy in evaluation mode, arranged for the device the network is on.

    Agreement with the original: about 1e-6 of the largest feature; 1e-2 with `bfloat16`.

    Args:
        extractor: The network.
        precision: `bfloat16` lets those layers multiply in it that are faster so; a CPU without units for it stays
            with float32, and so does every CPU for `tf32`, which `convolution_precision` switches on a GPU.
    """
    if isinstance(extractor, CombinedExtractor):
        parts = [cast(FeatureExtractor, part) for part in extractor.parts]
        return CombinedExtractor([prepare_extractor(part, precision) for part in parts]).eval()
    folded = copy.deepcopy(extractor).eval().requires_grad_(False)
    if isinstance(folded, MusicnnOriginal):  # its normalisation follows ReLU and cannot be folded into the convolution
        return FoldedMusicnnOriginal(folded).eval() if next(folded.parameters()).device.type == "cpu" else folded
    for module in list(folded.modules()):
        for conv_name, conv in list(module.named_children()):
            norm_name = conv_name.replace("conv", "norm")
            norm = getattr(module, norm_name, None)
            if isinstance(conv, nn.Conv1d | nn.Conv2d) and isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d):
                setattr(module, conv_name, fuse_conv_bn_eval(conv, norm))
                setattr(module, norm_name, nn.Identity())
    on_cpu = all(weight.device.type == "cpu" for weight in folded.parameters())  # log-mel frames have no weights
    if isinstance(folded, Musicnn) and on_cpu:
        # On a GPU the plain convolution is fast, and many small steps would be slow.
        folded.vertical = nn.ModuleList([TallCorrelationMax([cast(nn.Conv2d, one.conv) for one in folded.vertical])])
    if isinstance(folded, HarmonicCNN) and on_cpu:
        folded.blocks.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in torch's stub
    if precision == "tf32" and on_cpu:
        logger.warning("tf32 needs a GPU: float32 is used")
    if precision == "bfloat16":
        _lower(folded, on_cpu)
    return folded


@contextlib.contextmanager
def convolution_precision(precision: Precision) -> Iterator[None]:
    """Let a GPU's convolutions use tf32 only if `precision` is `tf32`; torch uses it by default."""
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=precision == "tf32"):
        yield


def _lower(extractor: FeatureExtractor, on_cpu: bool) -> None:
    """Convert the layers that gain by it to bfloat16, in place."""
    if on_cpu and not has_bfloat16_units():
        logger.warning("this processor has no units for bfloat16: float32 is faster here and is used")
    elif isinstance(extractor, HarmonicCNN):
        extractor.blocks.bfloat16()
    elif isinstance(extractor, Musicnn):
        extractor.temporal.bfloat16()
        if not on_cpu:  # on a CPU, short rows of Fourier coefficients cost more than the units gain
            extractor.vertical.bfloat16()
            extractor.horizontal.bfloat16()


@torch.no_grad()
def fold_weight_norm(model: CaptionNetwork) -> CaptionNetwork:
    """Replace the output layer by a plain linear one of the same weights, in place; returns the model."""
    if isinstance(model.output, WeightNormLinear):
        plain = nn.Linear(model.output.direction.shape[1], len(model.output.bias))
        plain.weight.copy_(model.output.weight())
        plain.bias.copy_(model.output.bias)
        model.output = plain.to(model.output.bias.device).requires_grad_(False)
    return model


def prepare_decoder(model: CaptionNetwork) -> CaptionModel:
    """Return the model arranged for search. The DCASE baseline is returned as it is."""
    return SearchModel(model) if isinstance(model, MusCaps) else model
