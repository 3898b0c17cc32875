"""Making a trained model fast without changing what it says.

Everywhere, batch normalisations are folded into the convolutions before them and weight normalisation into the
weights, and the captioner is arranged for search (see `search_model`). On a CPU musicnn's tall filters are
rearranged as well (see `tall_correlation`).
"""

import copy
from typing import cast

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from muscaps.feature_extractors import FeatureExtractor, Musicnn
from muscaps.model import MusCaps, WeightNormLinear
from muscaps.search_model import SearchModel
from muscaps.tall_correlation import TallCorrelationMax


def prepare_extractor(extractor: FeatureExtractor) -> FeatureExtractor:
    """Return a copy in evaluation mode, arranged for the device the network is on.

    Agreement with the original: about 1e-6 of the largest feature.
    """
    folded = copy.deepcopy(extractor).eval().requires_grad_(False)
    for module in list(folded.modules()):
        for conv_name, conv in list(module.named_children()):
            norm_name = conv_name.replace("conv", "norm")
            norm = getattr(module, norm_name, None)
            if isinstance(conv, nn.Conv1d | nn.Conv2d) and isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d):
                setattr(module, conv_name, fuse_conv_bn_eval(conv, norm))
                setattr(module, norm_name, nn.Identity())
    if isinstance(folded, Musicnn) and next(folded.parameters()).device.type == "cpu":
        # A GPU runs the plain convolution well, and would wait for many small steps.
        folded.vertical = nn.ModuleList(TallCorrelationMax(cast(nn.Conv2d, one.conv)) for one in folded.vertical)
    return folded


@torch.no_grad()
def fold_weight_norm(model: MusCaps) -> MusCaps:
    """Replace the output layer by a plain linear one of the same weights, in place; returns the model."""
    if isinstance(model.output, WeightNormLinear):
        plain = nn.Linear(model.output.direction.shape[1], len(model.output.bias))
        plain.weight.copy_(model.output.weight())
        plain.bias.copy_(model.output.bias)
        model.output = plain.to(model.output.bias.device).requires_grad_(False)
    return model


def prepare_decoder(model: MusCaps) -> MusCaps | SearchModel:
    """Return what does the model's `encode`, `start` and `step` in a search; the DCASE baseline stays as it is."""
    return SearchModel(model) if isinstance(model, MusCaps) else model
